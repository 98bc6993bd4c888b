"""A source of a provider whose handshakes are tried."""

import hashlib
import hmac
import json
from typing import Final

from shared.http import Reply
from shared.jsontext import Json
from tests.receiving import URL, Receiving

NOW: Final = 1_790_000_000
SECRET: Final = "a-secret-of-the-provider-s-own"
JSON: Final = ("content-type", "application/json")


def receiving(provider: str, query: str = "", secrets: dict[str, str] | None = None, **more: Json) -> Receiving:
    source: dict[str, Json] = {"provider": provider, "secret": "the-secret", **more}
    url = f"{URL}?{query}" if query else URL
    return Receiving(source, {"the-secret": SECRET} if secrets is None else secrets, NOW, url)


def mac(content: str) -> bytes:
    return hmac.new(SECRET.encode(), content.encode(), hashlib.sha256).digest()


def data(reply: Reply) -> Json:
    value: Json = json.loads(reply.body)
    return value


def is_plain_text(reply: Reply, text: str) -> bool:
    headers = dict(reply.headers)
    is_safe = headers["content-type"].startswith("text/plain") and headers["x-content-type-options"] == "nosniff"
    return reply.status == 200 and is_safe and reply.body == text.encode()
