"""The part of a request that a verified signature covers: the content that repeats itself, and places.

A sender that repeats a request signs it again, often at another time and perhaps with another secret. So neither is
part of that content. Nor is the spelling of a URL of which several are accepted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import unquote

from shared.jsontext import Json, canonical
from shared.signatures.content import BODY, Content, Named, Part, signed_content, wire
from shared.signatures.locations import Location, values_at
from shared.signatures.request_fields import RequestFields
from shared.signatures.scheme import AuthScheme
from shared.signatures.signature_scheme import given_signatures
from shared.signatures.standard_webhooks import standard_names

_BODY_PARTS: Final = frozenset({"body", "body.sha256", "form"})


@dataclass(frozen=True)
class SignedPart:
    """The signed part of a request that `auth` verified. `unpacked` is the form's field that the data comes from."""

    reading: RequestFields
    auth: AuthScheme
    unpacked: str = ""

    def content(self) -> bytes:
        """Return what was signed, without the time and the secret."""
        if self.auth.each is None:
            return self._content(self.reading)
        items = values_at(self.auth.each.path, self.reading.data())
        return b"\n".join(sorted({self.content_of(item) for item in items}))

    def content_of(self, item: Json) -> bytes:
        """Return the same for one of several items that are signed one by one."""
        return self._content(RequestFields(self.reading.request, self.reading.url, item))

    def _content(self, reading: RequestFields) -> bytes:
        auth, request = self.auth, self.reading.request
        match auth.scheme:
            case "standard-webhooks":
                return wire(f"{request.header(f'{standard_names(reading, auth)}-id')}.") + request.body
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
        if auth.content is BODY and not auth.signs_time_in_body:
            return request.body * 2 if auth.body_digest else request.body
        parts = [self._lasting(part, reading) for part in auth.content]
        return b"".join([*parts, request.body] if auth.body_digest else parts)

    @cached_property
    def time(self) -> str:
        """When it was signed, as it was sent; empty where no time is signed."""
        auth, header = self.auth, self.reading.request.header
        match auth.scheme:
            case "standard-webhooks":
                return header(f"{standard_names(self.reading, auth)}-timestamp") or ""
            case "jwt":
                return header(auth.header) or ""
            case "contentful":
                return header("x-contentful-timestamp") or ""
            case "paypal":
                return header("paypal-transmission-time") or ""
        if auth.timestamp is None or auth.each:
            return ""
        if auth.timestamp.kind == "signature":
            return given_signatures(self.reading, auth).items.get(auth.timestamp.name, "")
        is_signed = auth.timestamp in auth.content or "timestamp" in auth.content or auth.signs_time_in_body
        return (self.reading.text(auth.timestamp) or "") if is_signed else ""

    @property
    def covers_body(self) -> bool:
        """Whether nothing in the body can be changed without the signature failing."""
        auth = self.auth
        if auth.scheme in {"standard-webhooks", "jwt", "contentful"} or auth.body_digest:
            return True
        if auth.scheme in {"paypal", "aws-sns"} or auth.each:
            return False
        return auth.content is BODY or any(self._is_whole_body(part) for part in auth.content)

    def covers(self, places: Iterable[Location]) -> bool:
        """Return whether nothing there can be changed without the signature failing."""
        auth = self.auth
        for place in places:
            if place.kind == "header":
                covered = self._covers_header(place)
            elif place.kind == "query":
                covered = "url" in auth.content or place in auth.content or auth.scheme == "contentful"
            else:  # PayPal signs a checksum of the body, SNS its own fields
                covered = self.covers_body or auth.scheme in {"paypal", "aws-sns"}
                if not covered and place.kind == "data":
                    covered = place in auth.content or Location("form", place.path) in auth.content
            if not covered:
                return False
        return True

    def _covers_header(self, place: Location) -> bool:
        auth = self.auth
        match auth.scheme:
            case "standard-webhooks":
                # svix-id, where it is present, is the one that is signed.
                is_svix = auth.names == "svix" and place.name == "svix-id"
                return is_svix or place.name == f"{standard_names(self.reading, auth)}-id"
            case "contentful":
                return self._names_header(place.name)
        return place in auth.content or (place == auth.id and "id" in auth.content)

    def _names_header(self, name: str) -> bool:
        return name in (self.reading.request.header("x-contentful-signed-headers") or "").split(",")

    def _lasting(self, part: Part, reading: RequestFields) -> bytes:
        auth = self.auth
        if part in {"timestamp", "secret"} or (auth.timestamp and part == auth.timestamp):
            return b""
        if part == "url":  # the path and the host are the source's, and may be spelled in several ways
            return wire(unquote(reading.url.partition("?")[2]))
        if part in {"body", "body.sha256"} and auth.signs_time_in_body:
            assert auth.timestamp
            return canonical(_without(reading.data(), auth.timestamp.path))
        message_id = (reading.text(auth.id) or "") if auth.id else ""
        alone: Content = (part,)
        return signed_content(alone, Named(reading, id=message_id, missing_is_empty=True))

    def _is_whole_body(self, part: Part) -> bool:
        if isinstance(part, Location):
            return part.kind == "form" and part.path == (self.unpacked,)
        return part in _BODY_PARTS


def _without(value: Json, path: tuple[str, ...]) -> Json:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    rest: dict[str, Json] = {name: item for name, item in value.items() if name != path[0]}
    return {**rest, path[0]: _without(value[path[0]], path[1:])} if path[1:] else rest
