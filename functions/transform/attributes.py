"""An event's own attributes, which a step may set."""

from dataclasses import replace

from functions.transform.expressions import kind_of
from functions.transform.paths import Path
from shared.errors import Permanent
from shared.event import Event, attribute_text
from shared.jsontext import Json, to_json


def with_attribute(event: Event, path: Path, value: Json) -> Event:
    """Raises Permanent: `path` for what is no text, number or truth value and for an empty type, `output` for a number
    that cannot be written."""
    if isinstance(value, list | dict):
        raise Permanent("path", f"{path.text!r} is text; found {kind_of(value)}")
    text = attribute_text(value if isinstance(value, str) else _written(value, path)) if value is not None else ""
    if path.root == "type":
        if not text:
            raise Permanent("path", "'type' cannot be empty")
        return replace(event, type=text)
    return replace(event, subject=text or None) if path.root == "subject" else replace(event, actor=text or None)


def _written(value: Json, path: Path) -> str:
    try:
        return to_json(value)
    except ValueError:
        raise Permanent(
            "output", f"{path.text!r} would be a number that JSON lacks, or one of too many digits"
        ) from None
