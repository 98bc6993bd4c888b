"""The outcome of sending an event: a message for people and a code for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .http import NoResponse, Response

_REJECTIONS: Final[Mapping[str, str]] = {
    "signature_mismatch": "the signature does not match",
    "timestamp_out_of_range": "the signature's time is too far from the receiver's clock",
    "invalid_delivery_id": "the delivery id is invalid",
    "password_mismatch": "the password or token is missing or wrong",
    "address_not_allowed": "requests from this address are not allowed",
    "unknown_source": "there is no source with that name",
    "method_not_allowed": "the source does not accept this method",
    "request_timeout": "the body took too long to arrive",
    "body_too_large": "the body is too large",
    "decoded_body_too_large": "the body is too large",
    "unsupported_content_type": "the source does not accept this format",
    "schema_mismatch": "the event does not match the source's schema",
}
_STATUSES: Final[Mapping[int, str]] = {
    401: "the password or signature is missing or wrong",
    403: "the request is not allowed",
    404: "there is nothing at that path",
    405: "the method is not accepted",
    413: "the body is too large",
    415: "the format is not accepted",
    429: "too many requests; send it again later",
}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_UNKNOWN: Final = "it may or may not have arrived"
_MAX_CHARACTERS: Final = 255


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt.

    ok         the receiver confirmed it: a 2xx
    status     the HTTP status; None without a response
    message    the result in words, such as `rejected: the signature does not match (401 signature_mismatch)`. It never
               contains a secret or a part of the sent event
    event_id   the event's id, if the receiver returned one
    code       None if ok. After a response: the receiver's code (`signature_mismatch`, `unavailable` …), or `http` if
               it gave none. Without a response: `unreachable` or `untrusted` if the event was not sent; `timeout`,
               `cut` or `not_http` if it may have arrived
    retry_after_seconds
               the time to wait before the event is sent again, if the receiver asks for it
    """

    ok: bool
    status: int | None
    message: str
    event_id: str | None = None
    code: str | None = None
    retry_after_seconds: float | None = None


def read_outcome(response: Response | NoResponse, timeout_seconds: float) -> Outcome:
    """Return what a response means for the event that was sent, or what its absence within `timeout_seconds` means."""
    if isinstance(response, NoResponse):
        message = _failure_message(response, timeout_seconds)
        return Outcome(ok=False, status=None, message=message, code=response.code)
    # Any server may have answered, so its texts are cleaned before they are shown.
    fields = {name: _printable(value) for name, value in response.document.items() if isinstance(value, str)}
    if 200 <= response.status < 300:
        event_id = fields.get("id") or None
        message = f"accepted as event {event_id}" if event_id else f"accepted ({response.status})"
        return Outcome(ok=True, status=response.status, message=message, event_id=event_id)
    code = fields.get("code") or None
    return Outcome(
        ok=False,
        status=response.status,
        message=_rejection_message(response.status, code, fields.get("title")),
        code=code or "http",
        retry_after_seconds=response.retry_after_seconds,
    )


def _failure_message(failure: NoResponse, timeout_seconds: float) -> str:
    match failure.code:
        case "untrusted":
            return f"not sent: the receiver's certificate is not trusted: {failure.reason}"
        case "unreachable":
            return f"not sent: could not connect: {failure.reason}"
        case "timeout":
            return f"no response within {timeout_seconds:g} s: {_UNKNOWN}"
        case "not_http":
            return f"the response is not HTTP: {_UNKNOWN}"
        case _:
            return f"the connection closed before a response: {_UNKNOWN}"


def _rejection_message(status: int, code: str | None, title: str | None) -> str:
    shown = f"({status} {code})" if code else f"({status})"
    if status >= 500:
        return f"not confirmed: {_UNKNOWN}; send it again later {shown}"
    if status in _REDIRECTS:
        return f"rejected: the receiver redirects to another URL; send to that one {shown}"
    reason = (
        _REJECTIONS.get(code or "")
        or (title if code else None)
        or _STATUSES.get(status)
        or "the receiver gives no reason"
    )
    return f"rejected: {reason.removesuffix('.')} {shown}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_CHARACTERS]).strip()
