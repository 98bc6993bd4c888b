"""What came of parsing a body, as values that a test can compare."""

from shared.errors import REJECTION_STATUS, Rejected, RejectedCode
from shared.formats.parse import Parsed, parse_body
from shared.jsontext import Json, to_json
from shared.limits import DEFAULT, Limits


def outcome(body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed | RejectedCode:
    """What was parsed, or the code it was refused with."""
    try:
        return parse_body(body, content_type, limits)
    except Rejected as error:
        return error.code


def parsed(body: str | bytes, content_type: str, limits: Limits = DEFAULT) -> Json:
    return parse_body(body if isinstance(body, bytes) else body.encode(), content_type, limits).data


def rejection(body: str | bytes, content_type: str, limits: Limits = DEFAULT) -> RejectedCode:
    found = outcome(body if isinstance(body, bytes) else body.encode(), content_type, limits)
    assert isinstance(found, str), "it was taken"
    return found


def assert_taken_or_refused(body: bytes, content_type: str | None, limits: Limits) -> None:
    """What the property tests of hostile bodies claim: a 4xx, or JSON within the limits that UTF-8 can hold."""
    found = outcome(body, content_type, limits)
    if isinstance(found, str):
        assert 400 <= REJECTION_STATUS[found] < 500
        return
    to_json(found.data).encode()
    assert nodes_of(found.data) <= 2 * limits.max_nodes  # XML and CSV make lists and objects of what they count


def depth_of(value: Json) -> int:
    return 0 if not isinstance(value, dict | list) else 1 + max(map(depth_of, inner_of(value)), default=0)


def nodes_of(value: Json) -> int:
    return 1 + sum(map(nodes_of, inner_of(value)))


def inner_of(value: Json) -> list[Json]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
