"""The schemes that sign a template of the request: HMACs and plain digests here, public keys in key_schemes.py.

A request carries its signatures in one of these layouts: one alone, pairs, a list by version, or numbered headers.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from shared import errors, http, jsontext
from shared.signatures import auth_scheme, signed_times
from shared.signatures.content import BODY, Content, Values, filled_template, lasting_content, parse_content, spellings
from shared.signatures.locations import Location, RequestFields, values_at
from shared.signatures.signing import MAX_SIGNATURES, NORMALIZERS, decode_bytes, digest_text, hmac_text, matches_any

MAX_ITEMS: Final = 1000
"""The most items of a body whose signatures are verified one by one."""
_MAX_ID: Final = 256
"""The most characters of a signed id."""
_WHOLE_BODY: Final = frozenset({"body", "body.sha256", "form"})
"""The names in a template of which each covers all of the body."""


class Signatures(NamedTuple):
    """The signatures that a request carries, as texts, and the other items that stand with them."""

    texts: list[str]
    items: Mapping[str, str] = MappingProxyType({})


@dataclass(eq=False, repr=False, kw_only=True)
class SignatureScheme(auth_scheme.TimedScheme):
    """A signature at the location `at`, over `content`. The `_is_signed` of each subclass verifies a signature.

    SignedAuth in shared/config/signed.py describes all settings. These are the least obvious:

    layout       how several signatures stand at `at`: `plain` (one alone), `numbered` (a header for each), or one of
                 LISTS
    take         the kinds of signatures in a list that are read; empty for a layout without kinds
    url          which spellings of the URL count as signed
    each         the path to the items of the body that each carry a signature; None if the request has one
    body_digest  where the request has the digest of its body, if the content covers that and not the body itself
    """

    at: Location
    algorithm: str = "sha256"
    layout: str = "plain"
    take: frozenset[str] = frozenset()
    separator: str = ","
    prefix: str = ""
    encoding: str = "hex"
    content: Content = BODY
    timestamp: Location | None = None
    unit: str = "s"
    id: Location | None = None
    url: str = "exact"
    each: Location | None = None
    body_digest: Location | None = None

    # Facts that follow from the settings, besides `signs_fields` and `signs_body_alone` of AuthScheme.
    signs_content: bool = field(init=False, default=True)
    signs_url: bool = field(init=False)
    signs_time_in_body: bool = field(init=False)
    """The timestamp is a field of the signed body. So it is read only after the signature is verified."""

    def __post_init__(self) -> None:
        is_in_body = self.timestamp is not None and self.timestamp.kind == "data"
        self.signs_time_in_body = is_in_body and not {"body", "body.sha256"}.isdisjoint(self.content)
        depends_on_more = self.signs_time_in_body or self.each is not None or self.body_digest is not None
        self.signs_fields = any(isinstance(part, Location) and part.kind == "data" for part in self.content)
        self.signs_url = "url" in self.content
        self.signs_body_alone = self.content is BODY and not depends_on_more  # parse_content returns BODY itself

    @classmethod
    def read(cls, entry: auth_scheme.SchemeEntry) -> Self:
        return cls(
            at=entry.location("at") or Location("header", (str(entry.settings["header"]).lower(),)),
            take=frozenset(entry.texts("take")),
            content=parse_content(str(entry.settings.get("content", "{body}"))),
            timestamp=entry.location("timestamp"),
            tolerance_seconds=entry.seconds("tolerance_seconds", signed_times.TOLERANCE_SECONDS),
            id=entry.location("id"),
            each=entry.location("each"),
            body_digest=entry.location("body_digest"),
            when=entry.when,
            **entry.strings(without={"header", "at", "take", "content", "timestamp", "id", "each", "body_digest"}),
        )

    @property
    def credentials(self) -> tuple[Location, ...]:
        return (self.at,)

    @property
    def locations(self) -> tuple[Location, ...]:
        maybe_locations = (self.timestamp, self.id, self.each, self.body_digest, *self.content)
        locations = [maybe for maybe in maybe_locations if isinstance(maybe, Location)]
        if "form" in self.content:
            locations.append(Location("form", ("",)))  # stands for all fields of the form
        return (*super().locations, *locations)

    @property
    def signs_time(self) -> bool:
        return self.timestamp is not None

    @property
    def items_path(self) -> tuple[str, ...]:
        return self.each.path if self.each else ()

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        """Verify the request, or each of several items that carry a signature of their own."""
        parts = [fields] if self.each is None else self.items_with_signature(fields)
        for part in parts:
            sent = self.signatures(part)
            if self.body_digest:
                self._verify_body_digest(fields)
            timestamp = ""
            if self.timestamp and not self.signs_time_in_body:
                timestamp = self.timestamp_text(part, sent)
                signed_times.verify_timestamp(timestamp, now, self.tolerance_seconds, self.unit)
            if self.id:
                signed_id = part.text(self.id)
                if not signed_id or len(signed_id) > _MAX_ID:
                    rule = f"the signed id is missing, or longer than {_MAX_ID} characters"
                    raise errors.Rejected("invalid_delivery_id", rule)
            if not self._is_signed(sent.texts, part, timestamp, secrets):
                raise auth_scheme.mismatch("no signature matches what was sent and the secret")
            if self.timestamp and self.signs_time_in_body:  # the body is parsed only now that it is authenticated
                signed_times.verify_timestamp(part.text(self.timestamp), now, self.tolerance_seconds, self.unit)

    def _is_signed(self, sent: Sequence[str], fields: RequestFields, timestamp: str, secrets: Sequence[str]) -> bool:
        """Return whether one of the signature texts is by one of the secrets, over the fields with the timestamp."""
        raise NotImplementedError

    def items_with_signature(self, fields: RequestFields) -> list[RequestFields]:
        """Return the items that carry a signature of their own.

        Raises NotAttempted if the body holds none, and Rejected (`signature_mismatch`) if it also holds other items, or
        too many.
        """
        assert self.each
        items = values_at(self.each.path, fields.data)
        if not any(isinstance(item, dict) for item in items):
            raise auth_scheme.NotAttempted("the body holds no items that carry a signature")
        if len(items) > MAX_ITEMS or not all(isinstance(item, dict) for item in items):
            raise auth_scheme.mismatch(f"the body holds no items that carry a signature, or more than {MAX_ITEMS}")
        return [RequestFields(fields.request, fields.url, item) for item in items]

    def _verify_body_digest(self, fields: RequestFields) -> None:
        """Verify that the signed digest is the body's. Raises Rejected (`signature_mismatch`)."""
        assert self.body_digest
        expected = hashlib.sha256(fields.request.body).hexdigest()
        sent = fields.text(self.body_digest)
        if sent is None or not matches_any([sent.lower()], [expected]):
            raise auth_scheme.mismatch("the SHA-256 that was sent along is not the body's")

    def timestamp_text(self, fields: RequestFields, sent: Signatures) -> str:
        """Return the text at the timestamp's location, which may be an item of the signature's own header."""
        assert self.timestamp
        if self.timestamp.kind == "signature":
            return sent.items.get(self.timestamp.name, "")
        return fields.text(self.timestamp) or ""

    def contents(self, fields: RequestFields, timestamp: str, secret: bytes = b"") -> list[bytes]:
        """Return the template filled for each spelling of the URL that its sender may have signed."""
        message_id = (fields.text(self.id) or "") if self.id else ""
        values = Values(fields, timestamp, message_id, url="", secret=secret, missing_is_empty=self.each is not None)
        if not self.signs_url:
            return [filled_template(self.content, values)]
        urls = spellings(fields.url, self.url)
        return [filled_template(self.content, values._replace(url=url)) for url in urls]

    def signatures(self, fields: RequestFields) -> Signatures:
        """Return the signatures that the request carries. Raises NotAttempted, or Rejected (`signature_mismatch`) for
        too many."""
        if self.layout == "numbered":
            sent = numbered_headers(fields.request, self.at.path[0], self.prefix)
            if not sent.texts:
                expected = f"it is expected in {auth_scheme.described(self.at)}, {{n}} from 1"
                raise auth_scheme.NotAttempted(f"the request has no signature: {expected}")
            return sent
        text = fields.request.header(self.at.path[0]) if self.at.kind == "header" else fields.text(self.at)
        if not text:
            raise auth_scheme.NotAttempted(
                f"the request has no signature: it is expected in {auth_scheme.described(self.at)}"
            )
        if not text.startswith(self.prefix):
            raise auth_scheme.mismatch(
                f"the signature in {auth_scheme.described(self.at)} does not begin with {self.prefix!r}"
            )
        text = text[len(self.prefix) :]
        if self.layout == "plain":
            return Signatures([text])
        sent = LISTS[self.layout](text, self)
        if not sent.texts:
            kinds = ", ".join(sorted(self.take))
            raise auth_scheme.mismatch(f"{auth_scheme.described(self.at)} holds no signature of the kind {kinds}")
        if len(sent.texts) > MAX_SIGNATURES:
            rule = f"at most {MAX_SIGNATURES} are tried"
            raise auth_scheme.mismatch(f"{auth_scheme.described(self.at)} holds {len(sent.texts)} signatures; {rule}")
        return sent

    # The signed part of a verified request, as AuthScheme describes it.

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        located = {part for part in self.content if isinstance(part, Location)}
        # A signed field of a form is also a field of the data.
        locations = located | {Location("data", part.path) for part in located if part.kind == "form"}
        if self.id and self.id.kind == "header" and "id" in self.content:
            locations.add(self.id)
        # A form field with all of the data covers the body as far as it is read.
        signs_unpacked_field = Location("form", (unpacked,)) in located
        is_whole = not _WHOLE_BODY.isdisjoint(self.content) or signs_unpacked_field
        body = self.body_digest is not None or (is_whole and self.each is None)
        return auth_scheme.Coverage(body=body, body_fields=body, query=self.signs_url, locations=frozenset(locations))

    def signed_content(self, fields: RequestFields) -> bytes:
        if self.each is None:
            return self._lasting_content(fields)
        items = values_at(self.each.path, fields.data)
        return b"\n".join(sorted({self.signed_item(fields, item) for item in items}))

    def signed_item(self, fields: RequestFields, item: jsontext.Json) -> bytes:
        return self._lasting_content(RequestFields(fields.request, fields.url, item))

    def _lasting_content(self, fields: RequestFields) -> bytes:
        """Return the signed content without time and secret, and then the body, if a signed digest covers it."""
        if self.content is BODY and not self.signs_time_in_body:
            content = fields.request.body
        else:
            content = lasting_content(self.content, fields, self.timestamp, self.id, self.signs_time_in_body)
        return content + fields.request.body if self.body_digest else content

    def signed_time(self, fields: RequestFields) -> str:
        if self.timestamp is None or self.each:
            return ""
        if self.timestamp.kind == "signature":
            return self.timestamp_text(fields, self.signatures(fields))
        is_signed = self.timestamp in self.content or "timestamp" in self.content or self.signs_time_in_body
        return (fields.text(self.timestamp) or "") if is_signed else ""


@dataclass(eq=False, repr=False, kw_only=True)
class HmacScheme(SignatureScheme):
    """An HMAC. The secret's text without `key_prefix` is the key in `key_encoding`: utf8, base64 or hex."""

    scheme = "hmac"
    key_encoding: str = "utf8"
    key_prefix: str = ""

    def _is_signed(self, sent: Sequence[str], fields: RequestFields, timestamp: str, secrets: Sequence[str]) -> bool:
        contents = (fields.request.body,) if self.content is BODY else self.contents(fields, timestamp)
        expected = [
            hmac_text(content, hmac_key(secret, self.key_encoding, self.key_prefix), self.algorithm, self.encoding)
            for secret in secrets
            for content in contents
        ]
        return matches_any(list(map(NORMALIZERS[self.encoding], sent)), expected)


@lru_cache(maxsize=128)
def hmac_key(secret: str, encoding: str = "utf8", prefix: str = "") -> bytes:
    """Return the key of an HMAC. `encoding` is utf8, base64 or hex. Raises Temporary (`secret_unusable`)."""
    text = secret.removeprefix(prefix)
    if encoding == "utf8":
        return text.encode()
    try:
        key = decode_bytes(text, encoding)
    except ValueError as error:
        raise auth_scheme.UnusableSecret(f"the secret is not {encoding}, as this scheme's key is") from error
    if not key:
        raise auth_scheme.UnusableSecret("the secret holds an empty key")
    return key


class DigestScheme(SignatureScheme):
    """A plain digest of content that holds the secret."""

    scheme = "digest"

    def __post_init__(self) -> None:
        super().__post_init__()
        # From a digest of a secret and a text, anyone can compute that of a longer text (length extension), unless the
        # secret is at the end. SHA-384 is safe, because it leaves out a part of the state.
        self.can_be_extended = self.algorithm != "sha384" and self.content[-1:] != ("secret",)

    def _is_signed(self, sent: Sequence[str], fields: RequestFields, timestamp: str, secrets: Sequence[str]) -> bool:
        expected = [
            digest_text(content, self.algorithm, self.encoding)
            for secret in secrets
            for content in self.contents(fields, timestamp, secret.encode())
        ]
        return matches_any(list(map(NORMALIZERS[self.encoding], sent)), expected)


MAX_NUMBERED: Final = 100
"""The most numbered headers of a request that are read."""
_MAX_JSON: Final = 8192
"""The most characters of a signature header that is JSON in base64."""


def _pairs(text: str, auth: SignatureScheme) -> Signatures:
    """Read a list of pairs such as `t=1492774577,v1=5257a8…`. Pairs that are not used may have the same key twice.

    Raises Rejected (`signature_mismatch`) if there are two timestamps.
    """
    signatures: list[str] = []
    items: dict[str, str] = {}
    for item in text.split(auth.separator[0]):
        key, _, value = item.strip().partition("=")
        if key in auth.take:
            signatures.append(value)
        elif key in items and auth.timestamp and key == auth.timestamp.name:
            raise auth_scheme.mismatch(f"{auth_scheme.described(auth.at)} has the same item twice")
        else:
            items[key] = value
    return Signatures(signatures, items)


def _versions(text: str, auth: SignatureScheme) -> Signatures:
    """Read a list of a version and a signature each, such as `v1,K5oZfzN… v1,dGhpcyBp…`."""
    versions = [item.partition(",") for item in text.split()]
    return Signatures([signature for version, _, signature in versions if version in auth.take])


def _base64_json(text: str, auth: SignatureScheme) -> Signatures:
    """Read an object, in base64, whose fields are signatures. Any other text has no signature."""
    try:
        document = json.loads(decode_bytes(text[:_MAX_JSON], "base64"))
    except (ValueError, RecursionError):
        return Signatures([])
    items = document if isinstance(document, dict) else {}
    return Signatures([items[name] for name in auth.take if isinstance(items.get(name), str)])


LISTS: Final[Mapping[str, Callable[[str, SignatureScheme], Signatures]]] = {
    "pairs": _pairs,
    "versions": _versions,
    "base64-json": _base64_json,
}


def numbered_headers(request: http.Request, name: str, prefix: str) -> Signatures:
    """Read the headers whose names have the numbers from 1 in place of `{n}`, up to the first that is missing."""
    texts: list[str] = []
    for number in range(1, MAX_NUMBERED + 1):
        text = request.header(name.replace("{n}", str(number)))
        if not text:
            break
        texts.append(text.removeprefix(prefix))
    return Signatures(texts)


SCHEMES: Final[Mapping[str, type[SignatureScheme]]] = {"hmac": HmacScheme, "digest": DigestScheme}
