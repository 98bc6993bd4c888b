"""An event's own attributes, which a step may set."""

from dataclasses import replace

from functions.transform.paths import Path
from shared.errors import Permanent
from shared.event import Event, attribute_text
from shared.expressions import kind_of
from shared.jsontext import Json, to_json


def with_attribute(event: Event, path: Path, value: Json) -> Event:
    """Raises Permanent (`path`) for what is no text, number or truth value, and for an empty type."""
    if isinstance(value, list | dict):
        raise Permanent("path", f"{path.text!r} is text; found {kind_of(value)}")
    text = attribute_text(value if isinstance(value, str) else to_json(value)) if value is not None else ""
    if path.root == "type":
        if not text:
            raise Permanent("path", "'type' cannot be empty")
        return replace(event, type=text)
    return replace(event, subject=text or None) if path.root == "subject" else replace(event, actor=text or None)
