"""Handshakes: what a provider asks of an endpoint, answered as its catalogue entry says. They make no event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from functions.receive.authentication import SecretValues
from functions.receive.handshake_text import Filled, filled, parse_filled, places_of, signs
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.allowed_urls import AWS_SNS_HOST, allowed_url
from shared.signatures.credentials import verify_password
from shared.signatures.places import Place, parse_place
from shared.signatures.reading import Reading
from shared.signatures.way import Conditions, read_conditions

_TEXT: Final = (("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff"))
_JSON: Final = (("content-type", "application/json"), ("x-content-type-options", "nosniff"))


@dataclass(frozen=True, slots=True)
class Handshake:
    """`checks` lead from a place to the secret that must stand there; `secret` is what answers are made with."""

    name: str
    method: str
    when: Conditions
    signed: bool
    checks: tuple[tuple[Place, str], ...]
    secret: str
    fetch: Place | None
    status: int
    headers: tuple[tuple[str, Filled], ...]
    text: Filled | None
    json: "Mapping[str, Filled | Json] | None"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.secret, *(name for _, name in self.checks)) if name)

    @property
    def needs_body(self) -> bool:
        """To be known for one, or to be answered."""
        places = [place for place, _ in (*self.when, *self.checks)]
        places += [place for text in self._texts for place in places_of(text)]
        return any(place.kind in {"data", "form"} for place in places)

    @property
    def signs_for_anyone(self) -> bool:
        return not self.signed and any(signs(text) for text in self._texts)

    @property
    def _texts(self) -> list[Filled]:
        texts = [text for _, text in self.headers] + ([self.text] if self.text else [])
        return texts + [text for text in (self.json or {}).values() if isinstance(text, Filled)]


@dataclass(frozen=True, slots=True)
class HandshakeAnswer:
    """`fetch` is a URL to GET before the reply is given: only a 2xx there makes it true."""

    name: str
    reply: Reply
    fetch: str | None = None


def read_handshakes(entries: Json) -> tuple[Handshake, ...]:
    return tuple(_handshake(entry) for entry in entries) if isinstance(entries, list) else ()


def matching_handshake(
    request: Request, handshakes: Sequence[Handshake], *, signed: bool, data: Json = None
) -> Handshake | None:
    """The one that the request is. `signed`: of those that come only once the sender is proven, or of the others.

    `data` is the body as it was parsed, where it was.
    """
    if not handshakes:
        return None
    reading = Reading(request, item=data)
    for handshake in handshakes:
        if handshake.signed is signed and handshake.method == request.method and _holds(reading, handshake.when):
            return handshake
    return None


def handshake_reply(
    handshake: Handshake, request: Request, secrets: SecretValues, url: str | None = None, data: Json = None
) -> HandshakeAnswer:
    """Raises Rejected: `password` where a check fails, `parse` where what is asked for back is missing or no text."""
    reading = Reading(request, url, data)
    for place, name in handshake.checks:
        verify_password(reading.text(place), secrets[name])
    key = secrets[handshake.secret][0].encode() if handshake.secret else b""
    fetch = None
    if handshake.fetch:
        fetch = allowed_url(reading.text(handshake.fetch), AWS_SNS_HOST, "sub_url")
    headers = tuple((name.lower(), filled(value, reading, key)) for name, value in handshake.headers)
    return HandshakeAnswer(handshake.name, _reply(handshake, reading, key, headers), fetch)


def _reply(handshake: Handshake, reading: Reading, key: bytes, headers: tuple[tuple[str, str], ...]) -> Reply:
    if handshake.json is not None:
        value = {name: _value(item, reading, key) for name, item in handshake.json.items()}
        return Reply(handshake.status, to_json(value).encode(), (*_JSON, *headers))
    text = filled(handshake.text, reading, key) if handshake.text else ""
    return Reply(handshake.status, text.encode("utf-8", "replace"), (*_TEXT, *headers))


def _value(item: "Filled | Json", reading: Reading, key: bytes) -> Json:
    return filled(item, reading, key) if isinstance(item, Filled) else item


def _holds(reading: Reading, when: Conditions) -> bool:
    for place, wanted in when:
        text = reading.text(place)
        if (text != wanted) if isinstance(wanted, str) else ((text is not None) is not wanted):
            return False
    return True


def _handshake(entry: Json) -> Handshake:
    assert isinstance(entry, dict)
    reply = _object(entry.get("reply"))
    checks, fetch, status = entry.get("check"), entry.get("fetch"), reply.get("status", 200)
    text, content = reply.get("text"), reply.get("json")
    assert isinstance(status, int)
    return Handshake(
        name=str(entry.get("name", "")),
        method=str(entry.get("method", "POST")),
        when=read_conditions(entry.get("when")),
        signed=entry.get("signed") is True,
        checks=tuple(_check(check) for check in checks) if isinstance(checks, list) else (),
        secret=str(entry.get("secret", "")),
        fetch=parse_place(fetch) if isinstance(fetch, str) else None,
        status=status,
        headers=tuple((name, parse_filled(str(value))) for name, value in _object(reply.get("headers")).items()),
        text=parse_filled(text) if isinstance(text, str) else None,
        json=_json(content) if isinstance(content, dict) else None,
    )


def _check(check: Json) -> tuple[Place, str]:
    assert isinstance(check, dict)
    return parse_place(str(check["at"])), str(check["secret"])


def _json(content: JsonObject) -> "Mapping[str, Filled | Json]":
    return MappingProxyType(
        {name: parse_filled(value) if isinstance(value, str) else value for name, value in content.items()}
    )


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
