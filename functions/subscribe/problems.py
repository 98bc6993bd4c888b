"""Requests that the API does not do: their codes and statuses. deploy/codes.md lists the codes with their meanings."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from shared.errors import Rejected
from shared.http import Headers, Reply
from shared.jsontext import Json, texts_json

ApiCode: TypeAlias = Literal[
    "already_configured",
    "answer_too_large",
    "delivery_held",
    "endpoint_inactive",
    "idempotency_key_reused",
    "invalid_cursor",
    "invalid_value",
    "limit_reached",
    "not_allowed",
    "not_authenticated",
    "not_found",
    "request_in_progress",
    "too_many_requests",
    "verification_failed",
    "version_mismatch",
]
"""Codes of the API, apart from the codes for a body that cannot be read."""

API_STATUS: Final[Mapping[ApiCode, int]] = {
    "invalid_cursor": 400,
    "not_authenticated": 401,
    "not_allowed": 403,
    "not_found": 404,
    "already_configured": 409,
    "answer_too_large": 409,
    "delivery_held": 409,
    "endpoint_inactive": 409,
    "limit_reached": 409,
    "request_in_progress": 409,
    "version_mismatch": 412,
    "idempotency_key_reused": 422,
    "invalid_value": 422,
    "verification_failed": 422,
    "too_many_requests": 429,
}
TITLES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}

FaultAt: TypeAlias = tuple[str, str]
"""A JSON pointer to a value of the request, and the rule that it breaks."""


class ApiProblem(Exception):
    """The reason why a request is not done, in words that its caller may read.

    errors               the values that are at fault
    retry_after_seconds  the time after which the same request can succeed; 0 if it never can
    """

    def __init__(
        self, code: ApiCode, detail: str, errors: Sequence[FaultAt] = (), *, retry_after_seconds: int = 0
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: ApiCode = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds

    @property
    def status(self) -> int:
        return API_STATUS[self.code]


class MethodRejected(Rejected):
    """A method that the path does not have."""

    def __init__(self, allowed: str) -> None:
        super().__init__("method_not_allowed", f"this path takes {allowed}")
        self.allowed = allowed


def not_found(thing: str) -> ApiProblem:
    """Return the problem of a thing that does not exist, or is another tenant's: the caller cannot tell which."""
    return ApiProblem("not_found", f"there is no such {thing}")


def invalid(path: str, rule: str) -> ApiProblem:
    """Return the problem of one value, by its JSON pointer."""
    return ApiProblem("invalid_value", f"{path}: {rule}", [(path, rule)])


def invalid_values(faults: Sequence[FaultAt]) -> ApiProblem:
    """Return the problem of one or more values. Its detail has the first fault and the number of the others."""
    path, rule = faults[0]
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return ApiProblem("invalid_value", f"{path or 'the body'}: {rule}{more}", faults)


def problem_reply(status: int, code: str, detail: str, errors: Sequence[FaultAt] = (), headers: Headers = ()) -> Reply:
    """Return a problem document (RFC 9457) as a reply. `status` is one of TITLES."""
    document: dict[str, Json] = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        document["errors"] = [{"path": path, "rule": rule} for path, rule in errors]
    return Reply(status, texts_json(document), (("content-type", "application/problem+json"), *headers))
