"""The outcomes of a request and the replies to it.

A rejection contains its code, and no reason if only the authenticated sender may know it.
"""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.receive.admission import MethodRejected
from shared.errors import HookchainError, Rejected
from shared.event import Event
from shared.http import Reply, Request, json_reply, problem
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.locations import value_at

if TYPE_CHECKING:
    from functions.receive.source import Source


RETRY_AFTER_SECONDS: Final = 5
_CLOSE: Final = ("connection", "close")


class Accepted(NamedTuple):
    """A request whose events the bus confirmed: one event, or one for each item of a batch, which may have none."""

    source: "Source"
    events: tuple[Event, ...]


class Answered(NamedTuple):
    """A request that was answered and makes no event, such as a handshake. `reason` is for the log."""

    source: "Source"
    reply: Reply
    reason: str


class DeadLettered(NamedTuple):
    """A message of a bus that can never be an event. The bus has confirmed its dead letter, so it is acknowledged."""

    source: "Source"
    error: Rejected


def accepted_reply(accepted: Accepted, request: Request) -> Reply:
    source = accepted.source
    if source.respond:
        reply = source.respond.reply(accepted.events)
    elif len(accepted.events) == 1:
        reply = Reply(200, b'{"id":"%b"}' % accepted.events[0].id.encode())  # hex digits
    else:
        reply = json_reply(200, {"ids": [event.id for event in accepted.events]})
    if request.method == "GET":
        reply = reply._replace(headers=(*reply.headers, ("cache-control", "no-store")))
    return source.form.reply(request, reply) if source.form else reply


def rejection_reply(error: HookchainError, source: "Source | None" = None) -> Reply:
    """Return the reply to a request that was rejected, or whose event could not be confirmed."""
    if not isinstance(error, Rejected):
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        return problem(503, "unavailable", "The event is not confirmed. Send it again later.", retry_after)
    if isinstance(error, MethodRejected):
        return problem(error.status, error.code, error.detail, ("allow", ", ".join(error.allowed)), _CLOSE)
    if error.status == 401:
        # If the source accepts no password, a browser that opened a link must not ask a person for one.
        asks_password = source is None or any(auth.scheme == "basic" for auth in source.auth)
        challenge = f'{"Basic" if asks_password else "Bearer"} realm="hookchain"'
        return problem(401, error.code, "The request is not authenticated.", ("www-authenticate", challenge), _CLOSE)
    return problem(error.status, error.code, error.detail, _CLOSE)


_HOLE: Final = r"\{\{\s*([^{}\s]+)\s*\}\}"
_ATTRIBUTES: Final = ("id", "type", "subject", "actor", "time", "receivedat", "deliveryid")


class Respond(NamedTuple):
    """A source's own reply to an accepted request. `body` is text with holes, or a JSON value with holes in texts."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content_type: str
    body: Json

    def reply(self, events: tuple[Event, ...]) -> Reply:
        """Fill the holes from the first event; without an event, they stay empty."""
        event = events[0] if events else None
        headers = (("content-type", self.content_type), *self.headers) if self.content_type else self.headers
        return Reply(self.status, self._text(event).encode(), headers)

    def _text(self, event: Event | None) -> str:
        if not isinstance(self.body, str):
            return to_json(_filled(self.body, event))
        return re.sub(_HOLE, lambda hole: _escaped(_value(hole[1], event), self.content_type), self.body)


def read_respond(settings: JsonObject) -> Respond:
    """Read a source's `respond`. The status is 200, and the body's kind decides the content type, unless set."""
    status, headers, body = settings.get("status", 200), settings.get("headers", {}), settings.get("body", "")
    assert isinstance(status, int)
    assert isinstance(headers, dict)
    usual = ("text/plain; charset=utf-8" if body else "") if isinstance(body, str) else "application/json"
    content_type = str(settings.get("content_type", usual))
    return Respond(status, tuple((name.lower(), str(value)) for name, value in headers.items()), content_type, body)


def template_fault(text: str) -> str | None:
    """Return the fault of a reply's template; None if it has none."""
    rest = re.sub(_HOLE, "", text)
    if "{{" in rest or "}}" in rest:
        return "a hole in the answer is written {{ id }} or {{ data.path.to.field }}"
    for name in re.findall(_HOLE, text):
        if name not in _ATTRIBUTES and not re.fullmatch(r"data(\.[^.]+)+", name):
            return f"{{{{ {name} }}}} is nothing of an event; there are: {', '.join(_ATTRIBUTES)} and data.…"
    return None


def _value(name: str, event: Event | None) -> Json:
    if event is None:
        return None
    if name in _ATTRIBUTES:
        text: str | None = getattr(event, name)
        return text
    return value_at(tuple(name.split(".")[1:]), event.data)


def _filled(value: Json, event: Event | None) -> Json:
    """Fill the holes in a JSON value. A text that is one hole becomes the value itself, of its own kind."""
    if isinstance(value, dict):
        return {key: _filled(item, event) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, event) for item in value]
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(_HOLE, value)
    return _value(whole[1], event) if whole else re.sub(_HOLE, lambda hole: _plain(_value(hole[1], event)), value)


def _escaped(value: Json, content_type: str) -> str:
    """Return a value as text that a browser or parser of the content type reads as nothing but text."""
    name = content_type.partition(";")[0].strip().lower()
    if name.endswith("json"):
        return to_json(_plain(value))[1:-1]
    if not name.endswith(("html", "xml")):
        return _plain(value)
    import html  # few sources answer with a page

    return html.escape(_plain(value))


def _plain(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)
