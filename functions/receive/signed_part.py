"""What a verified signature vouches for: the content that stays the same when the sender repeats it, and places.

A repeat is signed anew, often at another time and perhaps with another secret, so neither is part of that content. Nor
is the spelling of a URL of which several are accepted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import unquote

from shared.jsontext import Json, canonical
from shared.signatures.content import Content, Named, Part, signed_content, wire
from shared.signatures.layouts import given_signatures
from shared.signatures.places import Place
from shared.signatures.reading import Reading
from shared.signatures.standard_webhooks import standard_names
from shared.signatures.way import IN_HEAD, Way

_BODY_PARTS: Final = frozenset({"body", "body.sha256", "form"})


def signs_content(way: Way) -> bool:
    """Whether its proof is made for what was sent; a password or a token is the same for every request."""
    return way.scheme not in {*IN_HEAD, "token"} and (way.scheme != "jwt" or bool(way.digest_claim))


@dataclass(frozen=True)
class SignedPart:
    """Of a request that `way` proved. `unpacked`: the form's field that the data is unpacked from, if any."""

    reading: Reading
    way: Way
    unpacked: str = ""

    @cached_property
    def content(self) -> bytes:
        """What was signed, without the time and the secret."""
        if self.way.each is None:
            return self._content(self.reading)
        return b"\n".join(sorted({self.content_of(item) for item in self.reading.values(self.way.each)}))

    def content_of(self, item: Json) -> bytes:
        """Of one of several items that are signed one by one."""
        return self._content(Reading(self.reading.request, self.reading.url, item))

    def _content(self, reading: Reading) -> bytes:
        way, request = self.way, self.reading.request
        match way.scheme:
            case "standard-webhooks":
                return wire(f"{request.header(f'{standard_names(reading, way)}-id')}.") + request.body
            case "jwt":
                return request.body
            case "contentful":
                topic = request.header("x-contentful-topic") if self._names_header("x-contentful-topic") else None
                return wire(f"{topic or ''}\n") + request.body
            case "paypal":
                from shared.signatures.paypal import lasting_content

                return lasting_content(reading)
            case "aws-sns":
                from shared.signatures.aws_sns import signed_fields

                return canonical(signed_fields(reading))
        parts = [self._lasting(part, reading) for part in way.content]
        return b"".join([*parts, request.body] if way.body_digest else parts)

    @cached_property
    def time(self) -> str:
        """When it was signed, as it was sent; empty where no time is signed."""
        way, header = self.way, self.reading.request.header
        match way.scheme:
            case "standard-webhooks":
                return header(f"{standard_names(self.reading, way)}-timestamp") or ""
            case "jwt":
                return header(way.header) or ""
            case "contentful":
                return header("x-contentful-timestamp") or ""
            case "paypal":
                return header("paypal-transmission-time") or ""
        if way.timestamp is None or way.each:
            return ""
        if way.timestamp.kind == "signature":
            return given_signatures(self.reading, way).items.get(way.timestamp.name, "")
        is_signed = way.timestamp in way.content or "timestamp" in way.content or self._has_time_in_body
        return (self.reading.text(way.timestamp) or "") if is_signed else ""

    @property
    def covers_body(self) -> bool:
        """Whether nothing in the body can be changed without the signature failing."""
        way = self.way
        if way.scheme in {"standard-webhooks", "jwt", "contentful"} or way.body_digest:
            return True
        if way.scheme in {"paypal", "aws-sns"} or way.each:
            return False
        return any(self._is_whole_body(part) for part in way.content)

    def covers(self, place: str, path: tuple[str, ...]) -> bool:
        """Whether what stands there cannot be changed without the signature failing. `place` is a location's."""
        content = self.way.content
        match place:
            case "header":
                return self._covers_header(path[0].lower())
            case "query":
                return "url" in content or Place("query", path) in content or self.way.scheme == "contentful"
        if self.way.scheme in {"paypal", "aws-sns"}:  # PayPal signs a checksum of the body, SNS its own fields
            return True
        if self.covers_body:
            return True
        return place == "data" and (Place("data", path) in content or Place("form", path) in content)

    def _covers_header(self, name: str) -> bool:
        way = self.way
        match way.scheme:
            case "standard-webhooks":
                # svix-id, where it is present, is the one that is signed.
                is_svix = way.names == "svix" and name == "svix-id"
                return is_svix or name == f"{standard_names(self.reading, way)}-id"
            case "contentful":
                return self._names_header(name)
        place = Place("header", (name,))
        return place in way.content or (place == way.id and "id" in way.content)

    def _names_header(self, name: str) -> bool:
        return name in (self.reading.request.header("x-contentful-signed-headers") or "").split(",")

    def _lasting(self, part: Part, reading: Reading) -> bytes:
        if part in {"timestamp", "secret"} or (self.way.timestamp and part == self.way.timestamp):
            return b""
        if part == "url":  # the path and the host are the source's, and may be spelled in several ways
            return wire(unquote(reading.url.partition("?")[2]))
        if part in {"body", "body.sha256"} and self._has_time_in_body:
            assert self.way.timestamp
            return canonical(_without(reading.data(), self.way.timestamp.path))
        message_id = (reading.text(self.way.id) or "") if self.way.id else ""
        alone: Content = (part,)
        return signed_content(alone, Named(reading, id=message_id, missing_is_empty=True))

    @property
    def _has_time_in_body(self) -> bool:
        at, content = self.way.timestamp, self.way.content
        return at is not None and at.kind == "data" and ("body" in content or "body.sha256" in content)

    def _is_whole_body(self, part: Part) -> bool:
        if isinstance(part, Place):
            return part.kind == "form" and part.path == (self.unpacked,)
        return part in _BODY_PARTS


def _without(value: Json, path: tuple[str, ...]) -> Json:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    rest: dict[str, Json] = {name: item for name, item in value.items() if name != path[0]}
    return {**rest, path[0]: _without(value[path[0]], path[1:])} if path[1:] else rest
