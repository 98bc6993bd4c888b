"""Sign a request by a SignatureScheme, whose `verify` then accepts it.

A scheme has the settings of a source's or a destination's `auth`. By `layout: pairs`, `at: headers.x-signature`,
`timestamp: signature.t`, `take: v1` and `content: "{timestamp}.{body}"`, a request gets this header:

    x-signature: t=1700000000,v1=5257a8…

at         the location of the signature
layout     how the signatures are written there: plain, pairs, versions, numbered or base64-json
take       the keys of items that are signatures, such as `v1`
prefix     the text before the signatures, such as `sha256=`
content    a template of the request; the filled template is what is signed
timestamp  the location of the time of signing; its `unit` is seconds or milliseconds
each       the location of items in the body, if each of them carries a signature of its own
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

from shared.http import Request
from shared.jsontext import Json
from shared.signatures.locations import Location, RequestFields
from shared.signatures.signature_scheme import DigestScheme, HmacScheme, SignatureScheme, hmac_key
from shared.signatures.signed_times import timestamp_text
from shared.signatures.signing import digest_text, hmac_text

_KEY_ID: Final = "trigger"
"""The id of the key in a signature of the layout base64-json. The verifier does not read it."""
_LAYOUTS_OF_SEVERAL: Final = frozenset({"pairs", "versions", "numbered"})
"""The layouts that can have several signatures: by the new and by the old key while a secret is rotated."""

MakeSignature: TypeAlias = Callable[[RequestFields, str, SignatureScheme, str], str]
"""A function that takes a request's fields, a key, the scheme and the timestamp's text, and returns the signature's
text, without the scheme's prefix."""


def shared_key_signature(fields: RequestFields, key: str, auth: SignatureScheme, timestamp: str) -> str:
    """Return the signature's text, made by a key that sender and receiver share.

    Raises ValueError for a scheme of public keys, and Temporary for an unusable key.
    """
    # A scheme may accept several spellings of the signed URL, and has a content for each. The first is the URL itself.
    match auth:
        case HmacScheme():
            content = auth.contents(fields, timestamp)[0]
            hmac_key_bytes = hmac_key(key, auth.key_encoding, auth.key_prefix)
            return hmac_text(content, hmac_key_bytes, auth.algorithm, auth.encoding)
        case DigestScheme():
            content = auth.contents(fields, timestamp, key.encode())[0]
            return digest_text(content, auth.algorithm, auth.encoding)
    raise ValueError(f"auth scheme {auth.scheme!r}: only the provider can sign")


@dataclass(frozen=True, slots=True)
class ContentSigner:
    """The inputs of a signature besides the request and its scheme.

    keys            the keys, the newest first; a layout that has only one signature uses the newest key
    url_of          a function that returns the URL that the receiver will verify: behind a proxy, it may differ from
                    the request's own
    now             the time of signing, in Unix seconds
    delivery_id     the id to sign, if the request has none
    make_signature  how a key makes the signature's text
    """

    keys: Sequence[str]
    url_of: Callable[[Request], str]
    now: float
    delivery_id: str
    make_signature: MakeSignature = shared_key_signature


def sign_content(request: Request, auth: SignatureScheme, signer: ContentSigner) -> Request:
    """Return the request with its signature, and with the time, the id and the body's digest that the scheme signs.

    Raises ValueError if the request has no place for one of them, and Temporary for a secret that is not a key.
    """
    # The signature comes last, because the template may contain each of the others.
    if auth.body_digest:
        request = with_text(request, auth.body_digest, hashlib.sha256(request.body).hexdigest())
    if auth.id and not RequestFields(request).text(auth.id):
        request = with_text(request, auth.id, signer.delivery_id)
    timestamp = timestamp_text(signer.now, auth.unit) if auth.timestamp else ""
    # A timestamp of the kind `signature` is an item beside the signatures: `_format_signatures` writes it.
    if auth.timestamp and auth.timestamp.kind != "signature":
        request = with_text(request, auth.timestamp, timestamp)
    if auth.each:
        return _sign_each_item(request, auth, signer, auth.each.path)
    fields = RequestFields(request, signer.url_of(request))
    keys = signer.keys if auth.layout in _LAYOUTS_OF_SEVERAL else signer.keys[:1]
    signatures = [signer.make_signature(fields, key, auth, timestamp) for key in keys]
    if auth.layout == "numbered":
        for number, signature in enumerate(signatures, 1):
            header_name = auth.at.name.replace("{n}", str(number))
            request = with_header(request, header_name, auth.prefix + signature)
        return request
    return with_text(request, auth.at, auth.prefix + _format_signatures(signatures, auth, timestamp))


def _sign_each_item(
    request: Request, auth: SignatureScheme, signer: ContentSigner, items_path: Sequence[str]
) -> Request:
    """Return the request with a signature in each item that the path leads to."""

    def sign_item(item: Json) -> Json:
        fields = RequestFields(request, signer.url_of(request), item)
        signature = signer.make_signature(fields, signer.keys[0], auth, "")
        return set_in(item, auth.at.path, auth.prefix + signature)

    return with_data(request, _change_in(json.loads(request.body), items_path, sign_item))


def _format_signatures(signatures: Sequence[str], auth: SignatureScheme, timestamp: str) -> str:
    """Return the signatures in the scheme's layout, such as `t=1700000000,v1=5257a8…` for `pairs`."""
    # The verifier accepts a signature with any key in `take`. The first in the alphabet makes the text repeatable.
    item_key = min(auth.take, default="")
    match auth.layout:
        case "pairs":
            pairs: list[str] = []
            if auth.timestamp and auth.timestamp.kind == "signature":
                pairs.append(f"{auth.timestamp.name}={timestamp}")
            pairs += [f"{item_key}={signature}" for signature in signatures]
            return auth.separator.join(pairs)
        case "versions":
            return " ".join(f"{item_key},{signature}" for signature in signatures)
        case "base64-json":
            document = json.dumps({"kid": _KEY_ID, item_key: signatures[0]})
            return base64.b64encode(document.encode()).decode()
    return signatures[0]


def with_text(request: Request, location: Location, text: str) -> Request:
    """Return the request with the text at the location. Raises ValueError for a kind that a request cannot carry."""
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
    """Return the request with this header in place of all others of the same name."""
    others = tuple(pair for pair in request.headers if pair[0] != name.lower())
    return replace(request, headers=(*others, (name.lower(), value)))


def with_data(request: Request, data: Json) -> Request:
    """Return the request with the data as its body, in compact JSON."""
    return replace(request, body=json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def set_in(value: Json, path: Sequence[str], text: str) -> Json:
    """Return a copy of the value with the text at the path. If the text replaces a number, it becomes a number too.

    set_in({"a": [{"n": 1}]}, ("a", "0", "n"), "2")   {"a": [{"n": 2}]}
    """

    def text_for(old: Json) -> Json:
        was_number = isinstance(old, int) and not isinstance(old, bool)
        return int(text) if was_number and text.isdecimal() else text

    return _change_in(value, path, text_for)


def _change_in(value: Json, path: Sequence[str], change: Callable[[Json], Json]) -> Json:
    """Return a copy of the value in which `change` made the value at the path from the old one, which may be None.

    A `*` in the path means each element of a list. Missing objects and elements along the path are added.
    """
    if not path:
        return change(value)
    first, rest = path[0], path[1:]
    if first == "*":
        return [_change_in(item, rest, change) for item in value] if isinstance(value, list) else value
    if first.isdecimal() and (isinstance(value, list) or value is None):
        index = int(first)
        items = list(value) if isinstance(value, list) else []
        items += [None] * (index + 1 - len(items))  # nothing if the list is long enough
        items[index] = _change_in(items[index], rest, change)
        return items
    fields = dict(value) if isinstance(value, dict) else {}
    fields[first] = _change_in(fields.get(first), rest, change)
    return fields


def _with_field(form: str, name: str, text: str) -> str:
    """Return a form or query, such as `a=1&b=2`, with this text as the only value of the name."""
    pairs = parse_qsl(form, keep_blank_values=True)
    remaining = [pair for pair in pairs if pair[0] != name]
    return urlencode([*remaining, (name, text)])
