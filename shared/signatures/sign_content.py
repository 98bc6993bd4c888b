"""Signing the content that a way's template makes, and putting the signature where the way's layout has it."""

import base64
import hashlib
import json

from shared.jsontext import Json, to_json
from shared.signatures.content import Named, signed_content
from shared.signatures.draft import Draft, put_in
from shared.signatures.encodings import encoded
from shared.signatures.keys import shared_key
from shared.signatures.macs import digest_text, hmac_text
from shared.signatures.private_keys import private_signature
from shared.signatures.reading import Reading
from shared.signatures.timestamps import timestamp_text
from shared.signatures.urls import spellings
from shared.signatures.way import Way


def sign_content(way: Way, secret: str, draft: Draft, now: float, message_id: str) -> None:
    timestamp = timestamp_text(now, way.unit)
    if way.timestamp and way.timestamp.kind != "signature":
        draft.put(way.timestamp, timestamp)
    if way.id:
        draft.put(way.id, message_id)
    if way.body_digest:
        draft.put(way.body_digest, hashlib.sha256(draft.body).hexdigest())
    if way.each:
        _sign_items(way, secret, draft, timestamp, message_id)
        return
    signature = _signature(way, secret, Reading(draft.request(), draft.url), timestamp, message_id)
    text = laid_out(way, signature, timestamp)
    if way.layout == "numbered":
        draft.put_header(way.header.replace("{n}", "1"), text)
    elif way.at:
        draft.put(way.at, text)


def _sign_items(way: Way, secret: str, draft: Draft, timestamp: str, message_id: str) -> None:
    assert way.each
    assert way.at
    document: Json = json.loads(draft.body)
    for item in Reading(draft.request(), draft.url, document).values(way.each):
        signature = _signature(way, secret, Reading(draft.request(), draft.url, item), timestamp, message_id)
        put_in(item, way.at.path, laid_out(way, signature, timestamp))
    draft.body = to_json(document).encode()


def _signature(way: Way, secret: str, reading: Reading, timestamp: str, message_id: str) -> str:
    url = spellings(reading.url, way.url)[-1 if way.url == "unescaped" else 0]
    missing_is_empty = way.each is not None
    if way.scheme in {"hmac", "digest"}:
        key = shared_key(secret, way.key, way.key_prefix)
        content = signed_content(way.content, Named(reading, timestamp, message_id, url, key, missing_is_empty))
        if way.scheme == "digest":
            return digest_text(content, way.algorithm, way.encoding)
        return hmac_text(content, key, way.algorithm, way.encoding)
    content = signed_content(way.content, Named(reading, timestamp, message_id, url, b"", missing_is_empty))
    return encoded(private_signature(secret, way, content), way.encoding)


def laid_out(way: Way, signature: str, timestamp: str) -> str:
    [first, *_] = [*sorted(way.take), ""]
    match way.layout:
        case "pairs":
            items = [f"{first}={signature}"]
            if way.timestamp and way.timestamp.kind == "signature":
                items.insert(0, f"{way.timestamp.name}={timestamp}")
            return way.prefix + way.separator.join(items)
        case "versions":
            return f"{way.prefix}{first},{signature}"
        case "base64-json":
            return way.prefix + base64.b64encode(to_json({first: signature}).encode()).decode()
    return way.prefix + signature
