"""A source's own reply to an accepted request: a template with holes, which are filled from the event.

The template `{"received": "{{ id }}", "total": "{{ data.order.total }}"}` gives `{"received": "5f3c…", "total": 250}`.
"""

import re
from typing import Final, NamedTuple

from shared.event import Event
from shared.http import Reply
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.locations import first_value_at

# A hole is a place in the body that is filled from the event, such as `{{ id }}` or `{{ data.order.id }}`. Its group is
# the name. The pattern is a text, which `re` compiles at its first use, because few sources have a reply of their own.
_HOLE: Final = r"\{\{\s*([^{}\s]+)\s*\}\}"
_ATTRIBUTES: Final = ("id", "type", "action", "subject", "actor", "time", "receivedat", "deliveryid")
"""The attributes of an event that a hole may name."""


class Respond(NamedTuple):
    """A source's own reply to an accepted request. `body` is a text with holes, or JSON whose texts can have holes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content_type: str
    body: Json

    def reply(self, events: tuple[Event, ...]) -> Reply:
        """Return the reply with its holes filled from the first event. Without an event, they are empty."""
        event = events[0] if events else None
        headers = (("content-type", self.content_type), *self.headers) if self.content_type else self.headers
        return Reply(self.status, self._text(event).encode(), headers)

    def _text(self, event: Event | None) -> str:
        if not isinstance(self.body, str):
            return to_json(_filled(self.body, event))

        def escaped_value(hole: re.Match[str]) -> str:
            value = _value(hole[1], event)
            return _escaped(value, self.content_type)

        return re.sub(_HOLE, escaped_value, self.body)


def read_respond(settings: JsonObject) -> Respond:
    """Read a source's `respond`. By default, the status is 200, and the kind of the body decides the content type."""
    status = settings.get("status", 200)
    headers = settings.get("headers", {})
    body = settings.get("body", "")
    assert isinstance(status, int)
    assert isinstance(headers, dict)
    default_type = ""
    if not isinstance(body, str):
        default_type = "application/json"
    elif body:
        default_type = "text/plain; charset=utf-8"
    content_type = str(settings.get("content_type", default_type))
    lower_headers = tuple((name.lower(), str(value)) for name, value in headers.items())
    return Respond(status, lower_headers, content_type, body)


def template_fault(text: str) -> str | None:
    """Return what is wrong with a template, as the message for the operator; None if nothing is."""
    rest = re.sub(_HOLE, "", text)
    if "{{" in rest or "}}" in rest:
        return "a hole in the answer is written {{ id }} or {{ data.path.to.field }}"
    for name in re.findall(_HOLE, text):
        if name not in _ATTRIBUTES and not re.fullmatch(r"data(\.[^.]+)+", name):
            hole = "{{ " + name + " }}"
            return f"{hole} is not part of an event; a hole can name {', '.join(_ATTRIBUTES)} and data.…"
    return None


def _value(name: str, event: Event | None) -> Json:
    """Return the value that a hole names: an attribute such as `id`, or a value in the data such as `data.order.id`.

    Return None if the event does not have it.
    """
    if event is None:
        return None
    if name in _ATTRIBUTES:
        text: str | None = getattr(event, name)
        return text
    return first_value_at(tuple(name.split(".")[1:]), event.data)


def _filled(value: Json, event: Event | None) -> Json:
    """Return the JSON value with its holes filled. A text that is only one hole becomes the value itself, such as a
    number."""
    if isinstance(value, dict):
        return {key: _filled(item, event) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, event) for item in value]
    if not isinstance(value, str):
        return value
    only_hole = re.fullmatch(_HOLE, value)
    if only_hole:
        return _value(only_hole[1], event)
    return re.sub(_HOLE, lambda hole: _plain(_value(hole[1], event)), value)


def _escaped(value: Json, content_type: str) -> str:
    """Return the value as text that is safe in a document of the content type: it cannot add markup or end a string."""
    name = content_type.partition(";")[0].strip().lower()
    if name.endswith("json"):
        quoted = to_json(_plain(value))
        return quoted[1:-1]  # the template has its own quotation marks around the hole
    if not name.endswith(("html", "xml")):
        return _plain(value)
    # Imported here, because few sources answer with a page.
    import html

    return html.escape(_plain(value))


def _plain(value: Json) -> str:
    """Return a text as it is, any other value as JSON, and null as an empty text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)
