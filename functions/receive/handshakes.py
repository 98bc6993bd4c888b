"""Handshakes: a provider's challenge to an endpoint, answered as its catalogue entry says. They make no event."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.errors import Rejected, Temporary
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject, list_at, mapping_at, to_json
from shared.ports import Secrets
from shared.signatures.locations import Conditions, Location, RequestFields, parse_location, read_conditions
from shared.signatures.passwords import verify_password
from shared.signatures.signing import hmac_text

if TYPE_CHECKING:
    from shared.fetch import Fetch

_TEXT: Final = (("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff"))
_JSON: Final = (("content-type", "application/json"), ("x-content-type-options", "nosniff"))
_HOLES: Final = re.compile(r"\{([^{}]*)\}")
_CALL: Final = re.compile(r"([a-z0-9-]+)\((.*)\)")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_WORD: Final = r"[A-Za-z0-9._~+/=-]{1,512}"
"""The texts that a handshake may have signed. Whoever asks gets a MAC under the key that also signs events, so the body
of an event may be neither such a word nor empty (before some bodies a word is signed)."""
_WORD_OR_NOTHING: Final = re.compile(f"(?:{_WORD})?".encode())


class Hole(NamedTuple):
    """`function` is empty, hmac-hex, hmac-base64 or sha256-hex. A part that is None is the URL without its query."""

    function: str
    parts: tuple[Location | str | None, ...]


Template = tuple[str | Hole, ...]
"""Literal text with places of the request in it, or a MAC or digest of such places."""


@dataclass(eq=False, repr=False)
class Handshake:
    """`checks` lead from a place to the secret that must stand there. `secret` is the key of the reply's MACs."""

    name: str
    method: str
    when: Conditions
    signed: bool
    checks: tuple[tuple[Location, str], ...]
    secret: str
    fetch: Location | None
    status: int
    headers: tuple[tuple[str, Template], ...]
    text: Template | None
    json: "Mapping[str, Template | Json] | None"

    @property
    def needs_body(self) -> bool:
        """Return whether the body is needed to recognise or to answer the handshake."""
        places = [place for place, _ in (*self.when, *self.checks)]
        places += [part for hole in self._holes for part in hole.parts if isinstance(part, Location)]
        return any(place.kind in {"data", "form"} for place in places)

    @property
    def secret_names(self) -> list[str]:
        return [name for name in (self.secret, *(name for _, name in self.checks)) if name]

    @property
    def signs_for_anyone(self) -> bool:
        return not self.signed and any(hole.function.startswith("hmac-") for hole in self._holes)

    @property
    def _holes(self) -> list[Hole]:
        templates = [text for _, text in self.headers] + ([self.text] if self.text else [])
        templates += [text for text in (self.json or {}).values() if isinstance(text, tuple)]
        return [piece for template in templates for piece in template if isinstance(piece, Hole)]


class HandshakeReply(NamedTuple):
    """A reply to a handshake. `reason` is for the log."""

    reply: Reply
    reason: str


@dataclass(eq=False, repr=False)
class Handshakes:
    """The handshakes of one source for one request. `url` is the request's as its sender knows it.

    Each method returns None if the request is no handshake. They raise Rejected: `password_mismatch` where a
    check fails, `malformed_body` where a text that the reply repeats is missing; and Temporary for a secret or a
    fetch that fails.
    """

    handshakes: Sequence[Handshake]
    url: str
    secrets: Secrets
    fetch: "Fetch | None"

    async def answer_head(self, head: Request) -> HandshakeReply | None:
        """Answer a handshake that its head identifies, and read no other secret: some come before there is one."""
        return await self._answer([each for each in self.handshakes if not each.needs_body], head, False)

    async def answer_unsigned(self, request: Request) -> HandshakeReply | None:
        """Answer a handshake of an unauthenticated sender.

        Raises Rejected (`signature_mismatch`) also for an event whose signature a handshake would make for anyone.
        """
        if any(each.signs_for_anyone for each in self.handshakes) and _WORD_OR_NOTHING.fullmatch(request.body):
            raise Rejected(
                "signature_mismatch", "the body is a single word or none, as the provider's handshake signs for anyone"
            )
        return await self._answer(self.handshakes, request, False)

    async def answer_signed(self, request: Request, data: Json) -> HandshakeReply | None:
        """Answer a handshake of an authenticated sender. `data` is the parsed body."""
        return await self._answer(self.handshakes, request, True, data)

    async def _answer(
        self, handshakes: Sequence[Handshake], request: Request, signed: bool, data: Json = None
    ) -> HandshakeReply | None:
        fields = RequestFields(request, self.url, data)
        fitting = (
            each
            for each in handshakes
            if each.signed is signed and each.method == request.method and _meets(fields, each.when)
        )
        handshake = next(fitting, None)
        if handshake is None:
            return None
        secrets = {name: await self.secrets.values(name) for name in handshake.secret_names}
        for place, name in handshake.checks:
            verify_password(fields.text(place), secrets[name])
        url = _subscribe_url(fields.text(handshake.fetch)) if handshake.fetch else None
        key = secrets[handshake.secret][0].encode() if handshake.secret else b""
        reply = _reply(handshake, fields, key)
        if url:  # the reply says that the subscription is confirmed, which only a 2xx from this URL makes true
            await self._confirm_subscription(url)
        return HandshakeReply(reply, f"handshake {handshake.name}")

    async def _confirm_subscription(self, url: str) -> None:
        if self.fetch is None:
            raise Temporary("handshake_failed", "outgoing requests are not available to confirm the subscription")
        from functions.receive.provider_keys import confirm_subscription  # few handshakes ask for it

        await confirm_subscription(self.fetch, url)


def _subscribe_url(text: str | None) -> str:
    """Return the URL that confirms a subscription. Raises Rejected (`subscribe_url_not_allowed`) unless it is SNS's."""
    from shared.signatures.certificate_schemes import AWS_SNS_HOST, allowed_url  # with its schemes, which SNS needs

    return allowed_url(text, AWS_SNS_HOST, "subscribe_url_not_allowed")


def _meets(fields: RequestFields, when: Conditions) -> bool:
    """Like RequestFields.meets, but an empty text is a text: a challenge that is empty is still one."""
    for place, wanted in when:
        text = fields.text(place)
        if (text != wanted) if isinstance(wanted, str) else ((text is not None) is not wanted):
            return False
    return True


def _reply(handshake: Handshake, fields: RequestFields, key: bytes) -> Reply:
    headers = tuple((name.lower(), _filled(value, fields, key)) for name, value in handshake.headers)
    if handshake.json is not None:
        value = {
            name: _filled(item, fields, key) if isinstance(item, tuple) else item
            for name, item in handshake.json.items()
        }
        return Reply(handshake.status, to_json(value).encode(), (*_JSON, *headers))
    text = _filled(handshake.text, fields, key) if handshake.text else ""
    return Reply(handshake.status, text.encode("utf-8", "replace"), (*_TEXT, *headers))


def _filled(template: Template, fields: RequestFields, key: bytes) -> str:
    """Raises Rejected (`malformed_body`) where a place holds nothing, or no printable text."""
    return "".join(piece if isinstance(piece, str) else _hole_text(piece, fields, key) for piece in template)


def _hole_text(hole: Hole, fields: RequestFields, key: bytes) -> str:
    content = "".join(_part_text(part, fields) for part in hole.parts)
    if not hole.function:
        return content
    if hole.function == "sha256-hex":
        return hashlib.sha256(content.encode()).hexdigest()
    if not re.fullmatch(_WORD, content):
        raise Rejected("malformed_body", "the handshake's text is not a single word: it could be an event's body")
    return hmac_text(content.encode(), key, "sha256", hole.function.removeprefix("hmac-"))


def _part_text(part: Location | str | None, fields: RequestFields) -> str:
    if part is None:
        return fields.url.partition("?")[0]
    if isinstance(part, str):
        return part
    text = fields.text(part)
    if text is None or not _PRINTABLE.fullmatch(text):
        raise Rejected("malformed_body", f"the handshake asks for {part}, which holds no text")
    return text


def read_handshake(entry: Json) -> Handshake:
    """Read one of a source's handshakes from its slice."""
    assert isinstance(entry, dict)
    reply = mapping_at(entry, "reply")
    fetch, status = entry.get("fetch"), reply.get("status", 200)
    text, content = reply.get("text"), reply.get("json")
    assert isinstance(status, int)
    return Handshake(
        name=str(entry.get("name", "")),
        method=str(entry.get("method", "POST")),
        when=read_conditions(entry.get("when")),
        signed=entry.get("signed") is True,
        checks=tuple(_check(check) for check in list_at(entry, "check")),
        secret=str(entry.get("secret", "")),
        fetch=parse_location(fetch) if isinstance(fetch, str) else None,
        status=status,
        headers=tuple((name, _template(str(value))) for name, value in mapping_at(reply, "headers").items()),
        text=_template(text) if isinstance(text, str) else None,
        json=_json(content) if isinstance(content, dict) else None,
    )


def _check(check: Json) -> tuple[Location, str]:
    assert isinstance(check, dict)
    return parse_location(str(check["at"])), str(check["secret"])


def _json(content: JsonObject) -> "Mapping[str, Template | Json]":
    return MappingProxyType(
        {name: _template(value) if isinstance(value, str) else value for name, value in content.items()}
    )


@lru_cache(maxsize=128)
def _template(text: str) -> Template:
    """Parse a template that the catalogue's model has checked."""
    texts = _HOLES.split(text)
    return tuple(_hole(piece) if number % 2 else piece for number, piece in enumerate(texts) if piece)


def _hole(text: str) -> Hole:
    call = _CALL.fullmatch(text)
    if call is None:
        return Hole("", (parse_location(text),))
    return Hole(call[1], tuple(_part(part) for part in call[2].split("+")))


def _part(part: str) -> Location | str | None:
    """Parse a part: a place, the endpoint, or a text that the compiler has filled in."""
    if part == "endpoint":
        return None
    return parse_location(part) if part.partition(".")[0] in {"header", "query", "form", "data"} else part
