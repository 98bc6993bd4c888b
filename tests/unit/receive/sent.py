"""A request as a sender makes it, and the digests, tokens and layouts that several senders share."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field

NOW = 1_790_000_000
SECRET = "an-independent-secret-of-some-length"
URL = "https://hooks.example.com/hook"
BODY = b'{"a": 1, "text": "\xc3\xa9"}'
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Sent:
    """`query` is without its question mark; `stale_after` are seconds, where the sender says its time."""

    headers: dict[str, str]
    body: bytes = BODY
    query: str = ""
    secret: str = SECRET
    stale_after: float | None = None
    params: dict[str, str] = field(default_factory=dict)


def sha256(content: bytes, key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def sha1(content: bytes) -> bytes:
    return hmac.new(SECRET.encode(), content, hashlib.sha1).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def timed(text: str, between: bytes = b"") -> bytes:
    return text.encode() + between + BODY


def stripe_like(header: str, tolerance: float, time: str = "t", item: str = "v1", milliseconds: bool = False) -> Sent:
    at = str(NOW * 1000 if milliseconds else NOW)
    signature = sha256(timed(at, b".")).hex()
    return Sent(JSON | {header: f"{time}={at},{item}={signature}"}, stale_after=tolerance)


def standard(prefix: str, key: bytes, secret: str) -> Sent:
    content = f"msg_1.{NOW}.".encode() + BODY
    headers = {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": str(NOW),
        f"{prefix}-signature": f"v1,{b64(sha256(content, key))}",
    }
    return Sent(JSON | headers, secret=secret, stale_after=300)


def items_with(token: str) -> Sent:
    return Sent(JSON, json.dumps({"value": [{"clientState": token, "changeType": "updated"}] * 2}).encode())


def basic(user: str = "hookchain") -> Sent:
    return Sent(JSON | {"Authorization": "Basic " + b64(f"{user}:{SECRET}".encode())})


def plain_hex(name: str, prefix: str = "") -> Callable[[], Sent]:
    return lambda: Sent(JSON | {name: prefix + sha256(BODY).hex()})


def plain_base64(name: str, prefix: str = "") -> Callable[[], Sent]:
    return lambda: Sent(JSON | {name: prefix + b64(sha256(BODY))})


def token(name: str, prefix: str = "") -> Callable[[], Sent]:
    return lambda: Sent(JSON | {name: prefix + SECRET})


KEY = bytes(range(24))
WHSEC = "whsec_" + b64(KEY)
