"""Sending an event to Hookchain, or to another receiver of webhooks, from an application's own code.

    outcome = send("https://hooks.example.com/signup-form", {"event": "signup.created"}, secret=password)
    if not outcome.ok:
        print(outcome.words)

It needs nothing but the standard library; the format `yaml` also needs PyYAML.
"""

import math
import re
import time
import uuid
from collections.abc import Mapping
from typing import Final

from deploy.requests.auth import (
    Auth,
    Basic,
    Bearer,
    Headers,
    Hmac,
    Password,
    StandardWebhooks,
    auth_headers,
    checked_delivery_id,
    default_auth,
)
from deploy.requests.formats import encode, plain
from deploy.requests.outcome import Outcome, outcome_of
from deploy.requests.wire import parse_target, post

__all__ = ["Auth", "Basic", "Bearer", "Hmac", "Outcome", "Password", "StandardWebhooks", "send"]

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_CONNECTIONS_OWN: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te"})


def send(
    url: str,
    data: object,
    *,
    secret: str | None = None,
    auth: Auth | None = None,
    format: str = "json",
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    delivery_id: str | None = None,
    timeout_seconds: float = 10.0,
    now: float | None = None,
) -> Outcome:
    """Post one event, once. Network trouble is an Outcome; a call that makes no sense raises ValueError.

    data          mappings, sequences, texts, numbers, truth values and None; or bytes, sent as they are, whose content
                  type is the format's
    secret        with `auth`, what proves the sender. Without `auth`: a `whsec_` secret signs (Standard Webhooks), any
                  other goes as password in the header X-Webhook-Password
    format        json, xml (root element `event`; `@name` and `#text` are attributes and text), yaml or form
    extra         fields put into the data's top level; they win over the data's own
    headers       sent too; one of the same name as one of ours replaces it
    delivery_id   header `webhook-id`. Give the same one when you send the same event again, so that it counts once
    now           Unix seconds, for the signature's time
    """
    if not 0 < timeout_seconds < math.inf:
        raise ValueError(f"timeout_seconds is a number above 0; found {timeout_seconds}")
    target = parse_target(url)
    body, content_type = _body(data, extra, format)
    identity = checked_delivery_id(delivery_id or f"evt_{uuid.uuid4().hex}")
    ours: Headers = [("User-Agent", "hookchain"), ("Content-Type", content_type), ("webhook-id", identity)]
    if auth and secret is None:
        raise ValueError(f"{type(auth).__name__} needs a secret")
    if secret is not None:
        ours += auth_headers(auth or default_auth(secret), secret, body, identity, time.time() if now is None else now)
    return outcome_of(post(target, _together(ours, headers or {}), body, timeout_seconds), timeout_seconds)


def _body(data: object, extra: Mapping[str, object] | None, form: str) -> tuple[bytes, str]:
    if isinstance(data, bytes):
        if extra:
            raise ValueError("extra fields go into data, not into bytes that are sent as they are")
        return data, encode({}, form)[1]
    value = plain(data)
    if extra:
        if not isinstance(value, dict):
            raise ValueError("extra fields need data that is an object at its top")
        added = plain(extra)
        assert isinstance(added, dict)
        value = {**value, **added}
    return encode(value, form)


def _together(ours: Headers, theirs: Mapping[str, str]) -> Headers:
    replaced = {name.lower() for name in theirs}
    together = [pair for pair in ours if pair[0].lower() not in replaced] + list(theirs.items())
    for name, value in together:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _CONNECTIONS_OWN:
            raise ValueError(f"{name!r} is no header that can be set here")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of the header {name!r} holds a character that no header can carry")
    return together
