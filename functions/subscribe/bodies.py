"""The body or the query of a request, read and verified by the route's model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from functions.subscribe.problems import ApiProblem, FaultAt
from functions.subscribe.route import Route
from shared.config.values import fault_text
from shared.errors import Rejected
from shared.formats.json_body import parse
from shared.formats.media_type import media_type
from shared.http import ReadBody, Request
from shared.jsontext import Json
from shared.limits import Limits

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LIMITS: Final = Limits(max_depth=32, max_nodes=100_000, max_keys=2_000, max_key_characters=1_000)
MAX_QUERY_CHARACTERS: Final = 8_192
MAX_QUERY_FIELDS: Final = 30
MAX_FAULTS: Final = 20
_MAX_PATH_CHARACTERS: Final = 200
_JSON: Final = media_type("application/json")


async def read_body(route: Route, request: Request, read: ReadBody) -> None:
    """Set the request's body. Raises Rejected for one that is too large, or of another type than JSON."""
    if not route.takes_body:
        return
    request.body = await read(route.max_body_bytes)
    if request.body and not _is_json(request.header("content-type") or ""):
        raise Rejected("unsupported_content_type", "the body must be JSON, with `Content-Type: application/json`")
    if request.header("content-encoding") not in (None, "", "identity"):
        raise Rejected("unsupported_encoding", "the body must not be compressed")


def read_input(route: Route, request: Request) -> BaseModel:
    """Return what the route takes. Raises ApiProblem, and Rejected for a body that is not JSON."""
    value = _body_value(request.body) if route.takes_body else _query_value(request.query)
    try:
        return route.takes.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=True)
        prefix = "/" if route.takes_body else "?"
        raise invalid_values([_fault(each, prefix) for each in details[:MAX_FAULTS]]) from None


def invalid_values(faults: Sequence[FaultAt]) -> ApiProblem:
    path, rule = faults[0]
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return ApiProblem("invalid_value", f"{path or 'the body'}: {rule}{more}", faults)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _body_value(body: bytes) -> Json:
    return parse(body, _JSON, LIMITS) if body.strip() else {}


def _query_value(query: str) -> dict[str, str]:
    if len(query) > MAX_QUERY_CHARACTERS:
        raise ApiProblem("invalid_value", f"the query must have at most {MAX_QUERY_CHARACTERS} characters")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError as error:
        raise ApiProblem("invalid_value", "the query must be percent-encoded UTF-8, with few fields") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, _ in pairs if [each for each, _ in pairs].count(name) > 1)
        raise invalid_values([(f"?{twice}"[:_MAX_PATH_CHARACTERS], "must be given once")])
    return found


def _fault(detail: "ErrorDetails", prefix: str) -> FaultAt:
    """Return a JSON pointer and a rule. pydantic's marks, such as `[key]`, are no part of the request."""
    parts = [str(part) for part in detail["loc"] if part != "[key]"]
    if prefix == "?":
        path = f"?{parts[0]}" if parts else ""
    else:
        path = "".join([f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts])
    rule = "is not known" if detail["type"] == "extra_forbidden" else fault_text(detail)
    return path[:_MAX_PATH_CHARACTERS], rule[:500]
