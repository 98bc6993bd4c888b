"""Handshakes: answer a provider's challenge to an endpoint as its catalogue entry says. They create no events."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.errors import Rejected, Temporary
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, to_json
from shared.ports import Secrets
from shared.signatures.locations import Conditions, Location, RequestFields, parse_location, read_conditions
from shared.signatures.passwords import verify_password
from shared.signatures.signing import hmac_text

if TYPE_CHECKING:
    from shared.fetch import Fetch

_TEXT_HEADERS: Final = (("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff"))
_JSON_HEADERS: Final = (("content-type", "application/json"), ("x-content-type-options", "nosniff"))
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_FUNCTION_CALL: Final = re.compile(r"([a-z0-9-]+)\((.*)\)")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_SIGNED_WORD: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")
"""The only content that the MAC of a reply may cover: a single word. `answer_unauthenticated` has the reason."""
_SIGNED_WORD_OR_EMPTY: Final = re.compile(f"(?:{_SIGNED_WORD.pattern})?".encode())

ENDPOINT: Final = Location("endpoint", ())
"""In a placeholder: the URL of the endpoint, which is the request's URL without its query."""


class Placeholder(NamedTuple):
    """A place in a template where a text of the request, or its MAC or digest, is inserted.

    function  hmac-hex, hmac-base64 or sha256-hex, computed over the joined parts; empty: the parts themselves
    parts     each a location in the request, ENDPOINT or a literal text
    """

    function: str
    parts: tuple[Location | str, ...]


Template = tuple[str | Placeholder, ...]
"""Literal texts and placeholders, in their order."""


@dataclass(eq=False, repr=False)
class Handshake:
    """A handshake that a source's provider uses.

    name     its name in the log
    method   the HTTP method of the request
    when     the conditions that the request must meet to be this handshake
    checks   pairs of a location and the name of the secret that the request must have there
    secret   the name of the secret whose newest value is the key of the reply's MACs; empty for a reply without MACs
    confirm  the location of the URL that confirms an SNS subscription; None for any other handshake
    status   the reply's status
    headers  the reply's headers
    text     the reply's body, if it is text
    json     the reply's body, if it is a JSON object. A tuple in it is a template; any other value stays as it is

    needs_authentication  whether the sender is authenticated first, as it is for events
    """

    name: str
    method: str
    when: Conditions
    needs_authentication: bool
    checks: tuple[tuple[Location, str], ...]
    secret: str
    confirm: Location | None
    status: int
    headers: tuple[tuple[str, Template], ...]
    text: Template | None
    json: "Mapping[str, Template | Json] | None"

    @property
    def needs_body(self) -> bool:
        """Return whether the body is needed to recognise or to answer the handshake."""
        locations = [location for location, _ in (*self.when, *self.checks)]
        if self.confirm:
            locations.append(self.confirm)
        for placeholder in self._placeholders:
            locations += [part for part in placeholder.parts if isinstance(part, Location)]
        return any(location.kind in {"data", "form"} for location in locations)

    @property
    def secret_names(self) -> list[str]:
        """The names of the secrets that are needed to answer."""
        checked = [name for _, name in self.checks]
        return [self.secret, *checked] if self.secret else checked

    @property
    def signs_for_anyone(self) -> bool:
        """Return whether an unauthenticated sender gets a MAC of a text that it chooses."""
        has_mac = any(placeholder.function.startswith("hmac-") for placeholder in self._placeholders)
        return has_mac and not self.needs_authentication

    @property
    def _placeholders(self) -> list[Placeholder]:
        templates = [text for _, text in self.headers]
        if self.text:
            templates.append(self.text)
        if self.json:
            templates += [value for value in self.json.values() if isinstance(value, tuple)]
        return [piece for template in templates for piece in template if isinstance(piece, Placeholder)]


class HandshakeReply(NamedTuple):
    """A reply to a handshake. `reason` is for the log."""

    reply: Reply
    reason: str


@dataclass(eq=False, repr=False)
class Handshakes:
    """The handshakes of one source, to answer one request. `url` is the request's URL as its sender knows it.

    Each method returns the reply, or None if the request is not a handshake. Each raises Rejected:

    password_mismatch          the request lacks a secret that the handshake requires
    malformed_body             a text that the reply repeats is missing or not printable
    subscribe_url_not_allowed  the URL that confirms a subscription is not one of SNS

    They raise Temporary if a secret cannot be read or if the subscription cannot be confirmed.
    """

    handshakes: Sequence[Handshake]
    url: str
    secrets: Secrets
    fetch: "Fetch | None"

    async def answer_head(self, head: Request) -> HandshakeReply | None:
        """Answer a handshake that can be recognised and answered without the body.

        Reads only the secrets of this handshake, not those that authenticate the source's events: some providers send
        the handshake before they show the operator the events' secret.
        """
        bodiless = [each for each in self.handshakes if not each.needs_body]
        return await self._answer(bodiless, head, is_authenticated=False)

    async def answer_unauthenticated(self, request: Request) -> HandshakeReply | None:
        """Answer a handshake of an unauthenticated sender.

        Also raises Rejected (`signature_mismatch`) for a body whose signature anyone can get from a handshake: the MAC
        of a reply has the same key as the signatures of events. So whoever asks for the MAC of a word has the signature
        of an event whose body is this word. An empty body is rejected too, because some providers sign a word, such as
        a timestamp, before the body: the signed content would be this word alone.
        """
        signs_for_anyone = any(each.signs_for_anyone for each in self.handshakes)
        if signs_for_anyone and _SIGNED_WORD_OR_EMPTY.fullmatch(request.body):
            raise Rejected(
                "signature_mismatch", "the body is a single word or none, as the provider's handshake signs for anyone"
            )
        return await self._answer(self.handshakes, request, is_authenticated=False)

    async def answer_authenticated(self, request: Request, data: Json) -> HandshakeReply | None:
        """Answer a handshake of an authenticated sender. `data` is the parsed body."""
        return await self._answer(self.handshakes, request, data, is_authenticated=True)

    async def _answer(
        self, handshakes: Sequence[Handshake], request: Request, data: Json = None, *, is_authenticated: bool
    ) -> HandshakeReply | None:
        """Answer the first of the handshakes that the request is; None if it is none of them."""
        fields = RequestFields(request, self.url, data)
        matching = (
            each
            for each in handshakes
            if each.needs_authentication is is_authenticated
            and each.method == request.method
            and _meets(fields, each.when)
        )
        handshake = next(matching, None)
        if handshake is None:
            return None
        secrets = {name: await self.secrets.values(name) for name in handshake.secret_names}
        for location, secret_name in handshake.checks:
            verify_password(fields.text(location), secrets[secret_name])
        confirmation_url = _confirmation_url(fields.text(handshake.confirm)) if handshake.confirm else None
        key = b""
        if handshake.secret:
            newest_value = secrets[handshake.secret][0]
            key = newest_value.encode()
        reply = _build_reply(handshake, fields, key)
        # The reply says that the subscription is confirmed, so it is returned only after this URL has answered 2xx.
        if confirmation_url:
            await self._confirm_subscription(confirmation_url)
        return HandshakeReply(reply, f"handshake {handshake.name}")

    async def _confirm_subscription(self, url: str) -> None:
        """Confirm the subscription. Raises Temporary, so that the provider sends the handshake again."""
        if self.fetch is None:
            raise Temporary("handshake_failed", "outgoing requests are not available to confirm the subscription")
        # Imported here because only the handshakes of SNS need it.
        from functions.receive.provider_keys import confirm_subscription

        await confirm_subscription(self.fetch, url)


def _confirmation_url(text: str | None) -> str:
    """Return the URL that confirms a subscription. Raises Rejected (`subscribe_url_not_allowed`) unless it is SNS's."""
    # Imported here because only the handshakes of SNS need it.
    from shared.signatures.aws_sns import AWS_SNS_HOST
    from shared.signatures.certificates import allowed_url

    return allowed_url(text, AWS_SNS_HOST, "subscribe_url_not_allowed")


def _meets(fields: RequestFields, conditions: Conditions) -> bool:
    """Return whether the request meets every condition.

    Unlike RequestFields.meets, this counts an empty text as present, because a challenge may be empty.
    """
    for location, wanted in conditions:
        text = fields.text(location)
        if isinstance(wanted, str):
            is_met = text == wanted
        else:
            is_present = text is not None
            is_met = is_present == wanted
        if not is_met:
            return False
    return True


def _build_reply(handshake: Handshake, fields: RequestFields, key: bytes) -> Reply:
    """Return the reply with its templates filled. Raises Rejected (`malformed_body`)."""
    headers = tuple((name.lower(), _fill(template, fields, key)) for name, template in handshake.headers)
    if handshake.json is not None:
        document = {
            name: _fill(value, fields, key) if isinstance(value, tuple) else value
            for name, value in handshake.json.items()
        }
        return Reply(handshake.status, to_json(document).encode(), (*_JSON_HEADERS, *headers))
    text = _fill(handshake.text, fields, key) if handshake.text else ""
    return Reply(handshake.status, text.encode("utf-8", "replace"), (*_TEXT_HEADERS, *headers))


def _fill(template: Template, fields: RequestFields, key: bytes) -> str:
    """Return the template's text for this request. `key` is the key of its MACs.

    Raises Rejected (`malformed_body`) if a location has no printable text.
    """
    return "".join(piece if isinstance(piece, str) else _evaluate(piece, fields, key) for piece in template)


def _evaluate(placeholder: Placeholder, fields: RequestFields, key: bytes) -> str:
    """Return the text of a placeholder: its parts, or their digest or MAC. Raises Rejected (`malformed_body`)."""
    texts = [_text_at(part, fields) if isinstance(part, Location) else part for part in placeholder.parts]
    content = "".join(texts)
    if not placeholder.function:
        return content
    if placeholder.function == "sha256-hex":
        return hashlib.sha256(content.encode()).hexdigest()
    if not _SIGNED_WORD.fullmatch(content):
        raise Rejected("malformed_body", "the handshake's text is not a single word: it could be an event's body")
    encoding = placeholder.function.removeprefix("hmac-")
    return hmac_text(content.encode(), key, "sha256", encoding)


def _text_at(location: Location, fields: RequestFields) -> str:
    if location == ENDPOINT:
        return fields.url.partition("?")[0]
    text = fields.text(location)
    if text is None or not _PRINTABLE.fullmatch(text):
        raise Rejected("malformed_body", f"the handshake asks for {location}, which holds no text")
    return text


def read_handshake(entry: Json) -> Handshake:
    """Read a handshake from its entry in receive's slice, whose shape the compiler has checked."""
    assert isinstance(entry, dict)
    reply = mapping_at(entry, "reply")
    status = reply.get("status", 200)
    assert isinstance(status, int)
    confirm = entry.get("fetch")
    text = reply.get("text")
    document = reply.get("json")
    return Handshake(
        name=str(entry.get("name", "")),
        method=str(entry.get("method", "POST")),
        when=read_conditions(entry.get("when")),
        needs_authentication=entry.get("signed") is True,
        checks=tuple((parse_location(str(each["at"])), str(each["secret"])) for each in objects_at(entry, "check")),
        secret=str(entry.get("secret", "")),
        confirm=parse_location(confirm) if isinstance(confirm, str) else None,
        status=status,
        headers=tuple((name, _parse_template(str(value))) for name, value in mapping_at(reply, "headers").items()),
        text=_parse_template(text) if isinstance(text, str) else None,
        json=_parse_json(document) if isinstance(document, dict) else None,
    )


def _parse_json(document: JsonObject) -> "Mapping[str, Template | Json]":
    """Parse each text of the object as a template. Other values stay as they are."""
    return MappingProxyType(
        {name: _parse_template(value) if isinstance(value, str) else value for name, value in document.items()}
    )


@lru_cache(maxsize=128)
def _parse_template(text: str) -> Template:
    """Parse a template that the catalogue's model has checked: text with placeholders such as `{data.challenge}`."""
    # The pattern has one group, so `split` returns literal texts and placeholders in turn, beginning with a literal.
    pieces = _PLACEHOLDER.split(text)
    return tuple(_parse_placeholder(piece) if index % 2 == 1 else piece for index, piece in enumerate(pieces) if piece)


def _parse_placeholder(text: str) -> Placeholder:
    """Parse `data.challenge`, or a function of one or more parts such as `hmac-hex(query.token+endpoint)`."""
    call = _FUNCTION_CALL.fullmatch(text)
    if call is None:
        return Placeholder("", (parse_location(text),))
    function, parts = call.groups()
    return Placeholder(function, tuple(_parse_part(part) for part in parts.split("+")))


def _parse_part(part: str) -> Location | str:
    """Parse a location or `endpoint`. Anything else is the value of a param, which the compiler has inserted.

    The catalogue's model has rejected every other part (deploy/config/sections/catalogue.py).
    """
    if part == "endpoint":
        return ENDPOINT
    kind = part.partition(".")[0]
    return parse_location(part) if kind in {"header", "query", "form", "data"} else part
