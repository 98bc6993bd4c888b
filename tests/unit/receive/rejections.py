"""Requests that are refused, and what is told of them."""

import base64
import hmac

from functions.receive.diagnosis.diagnose import rejection_cause
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.auth_scheme import AuthScheme, read_scheme

NOW = 1_790_000_000.0
KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"action":"opened","n":1,"text":"caf\xc3\xa9"}'
HUB: Json = {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256=", "secret": "s"}
TIMED: Json = {
    "scheme": "hmac",
    "header": "X-Sig",
    "layout": "pairs",
    "take": ["v1"],
    "timestamp": "signature.t",
    "content": "{timestamp}.{body}",
    "secret": "s",
}


def read_auth(settings: Json, **changed: Json) -> AuthScheme:
    assert isinstance(settings, dict)
    return read_scheme({**settings, **changed})


def mac(body: bytes, key: bytes = KEY.encode(), algorithm: str = "sha256") -> str:
    return hmac.new(key, body, algorithm).hexdigest()


def posted(body: bytes, *headers: tuple[str, str], path: str = "/hook", query: str = "") -> Request:
    return Request("POST", path, query, (("content-type", "application/json"), *headers), body)


def hub_cause(body: bytes, signature: str, name: str = "x-hub-signature-256", **changed: Json) -> str:
    return rejection_cause(posted(body, (name, signature)), read_auth(HUB, **changed), [KEY], NOW) or ""


BASIC: Json = {"scheme": "basic", "username": "web", "secret": "s"}


def basic(user: str, password: str) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
