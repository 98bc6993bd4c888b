"""Sign a request by a scheme that signs a template of it: the other side of signature_scheme.py.

What is signed here, `SignatureScheme.verify` accepts. Texts are written at the locations from which locations.py reads
them.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import timestamp_text
from shared.signatures.locations import Location, RequestFields
from shared.signatures.signature_scheme import DigestScheme, HmacScheme, SignatureScheme, hmac_key
from shared.signatures.signing import digest_text, hmac_text

_KEY_ID: Final = "trigger"
_SEVERAL: Final = frozenset({"pairs", "versions", "numbered"})
"""The layouts that can have several signatures: by the new and by the old key while a secret is rotated."""

SignatureOf: TypeAlias = "Callable[[RequestFields, str, SignatureScheme, str], str]"
"""A function of a request's fields, a key, the scheme and the timestamp's text, which returns the signature's text."""


def shared_key_signature(fields: RequestFields, key: str, auth: SignatureScheme, timestamp: str) -> str:
    """Return the signature. Raises ValueError for a scheme of public keys, and Temporary for an unusable key."""
    match auth:
        case HmacScheme():
            secret = hmac_key(key, auth.key_encoding, auth.key_prefix)
            return hmac_text(auth.contents(fields, timestamp)[0], secret, auth.algorithm, auth.encoding)
        case DigestScheme():
            [content, *_] = auth.contents(fields, timestamp, key.encode())
            return digest_text(content, auth.algorithm, auth.encoding)
    raise ValueError(f"auth scheme {auth.scheme!r}: only the provider can sign")


@dataclass(frozen=True, slots=True)
class ContentSigner:
    """The inputs of a signature besides the request and its scheme.

    keys          the keys, the newest first; in a layout that has one signature, it is by the newest
    url_of        a function that returns the URL that the receiver believes a request was sent to
    now           Unix seconds
    delivery_id   the id to sign, if the request has none
    """

    keys: Sequence[str]
    url_of: Callable[[Request], str]
    now: float
    delivery_id: str
    signature_of: SignatureOf = shared_key_signature


def sign_content(request: Request, auth: SignatureScheme, signer: ContentSigner) -> Request:
    """Return the request with its signature, and with the time, the id and the body's digest that the scheme signs.

    Raises ValueError if one of them has no place in the request, and Temporary for a secret that is no key.
    """
    if auth.body_digest:
        request = with_text(request, auth.body_digest, hashlib.sha256(request.body).hexdigest())
    if auth.id and not RequestFields(request).text(auth.id):
        request = with_text(request, auth.id, signer.delivery_id)
    timestamp = timestamp_text(signer.now, auth.unit) if auth.timestamp else ""
    if auth.timestamp and auth.timestamp.kind != "signature":
        request = with_text(request, auth.timestamp, timestamp)
    if auth.each:
        return _sign_each_item(request, auth, signer, auth.each.path)
    fields = RequestFields(request, signer.url_of(request))
    keys = signer.keys if auth.layout in _SEVERAL else signer.keys[:1]
    signatures = [signer.signature_of(fields, key, auth, timestamp) for key in keys]
    if auth.layout == "numbered":
        for number, signature in enumerate(signatures, 1):
            request = with_header(request, auth.at.name.replace("{n}", str(number)), auth.prefix + signature)
        return request
    return with_text(request, auth.at, auth.prefix + _format_signatures(signatures, auth, timestamp))


def _sign_each_item(request: Request, auth: SignatureScheme, signer: ContentSigner, path: Sequence[str]) -> Request:
    """Return the request with a signature in each item that the path leads to."""

    def sign_at(path: Sequence[str], value: Json) -> Json:
        if not path:
            fields = RequestFields(request, signer.url_of(request), value)
            signature = signer.signature_of(fields, signer.keys[0], auth, "")
            return set_in(value, auth.at.path, auth.prefix + signature)
        first, rest = path[0], path[1:]
        if first == "*":
            return [sign_at(rest, item) for item in value] if isinstance(value, list) else value
        members: JsonObject = dict(value) if isinstance(value, dict) else {}
        members[first] = sign_at(rest, members.get(first))
        return members

    return with_data(request, sign_at(path, json.loads(request.body)))


def _format_signatures(signatures: Sequence[str], auth: SignatureScheme, timestamp: str) -> str:
    """Return the text of a header that has the signatures in the scheme's layout."""
    take = min(auth.take, default="")  # a scheme may accept several kinds of signatures; any of them will do
    match auth.layout:
        case "pairs":
            time_at = auth.timestamp
            pairs = [f"{time_at.name}={timestamp}"] if time_at and time_at.kind == "signature" else []
            pairs += [f"{take}={signature}" for signature in signatures]
            return auth.separator.join(pairs)
        case "versions":
            return " ".join(f"{take},{signature}" for signature in signatures)
        case "base64-json":
            document = json.dumps({"kid": _KEY_ID, take: signatures[0]})
            return base64.b64encode(document.encode()).decode()
    return signatures[0]


def with_text(request: Request, location: Location, text: str) -> Request:
    """Return the request with the text at the location. Raises ValueError if a request has no such place."""
    match location.kind:
        case "header":
            return with_header(request, location.name, text)
        case "query":
            return replace(request, query=_with_field(request.query, location.name, text))
        case "form":
            return replace(request, body=_with_field(request.body.decode(), location.name, text).encode())
        case "data":
            data: Json = json.loads(request.body or b"{}")
            return with_data(request, set_in(data, location.path, text))
    raise ValueError(f"location: must be header, query, form or data; got {location.kind}")


def with_header(request: Request, name: str, value: str) -> Request:
    others = tuple(pair for pair in request.headers if pair[0] != name.lower())
    return replace(request, headers=(*others, (name.lower(), value)))


def with_data(request: Request, data: Json) -> Request:
    return replace(request, body=json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def set_in(value: Json, path: Sequence[str], text: str) -> Json:
    """Return the value with the text at the path; for a `*` in it, in each element of the list.

    If the text replaces a number, it becomes a number too.
    """
    if not path:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return int(text) if is_number and text.isdecimal() else text
    first, rest = path[0], path[1:]
    if first == "*":
        return [set_in(item, rest, text) for item in value] if isinstance(value, list) else value
    if first.isdecimal() and (isinstance(value, list) or value is None):
        index = int(first)
        items = list(value) if isinstance(value, list) else []
        items += [None] * (index + 1 - len(items))  # nothing if the list is long enough
        items[index] = set_in(items[index], rest, text)
        return items
    fields = dict(value) if isinstance(value, dict) else {}
    fields[first] = set_in(fields.get(first), rest, text)
    return fields


def _with_field(encoded: str, name: str, text: str) -> str:
    """Return a form or query, which is `encoded`, with this text as the only value of the name."""
    pairs = parse_qsl(encoded, keep_blank_values=True)
    remaining = [pair for pair in pairs if pair[0] != name]
    return urlencode([*remaining, (name, text)])
