"""Send one event to Hookchain: `send` encodes, authenticates and posts it, and never tries again by itself."""

import math
import re
import time
import uuid
from collections.abc import Mapping
from typing import Final

from .auth import Auth, Headers, auth_headers, checked_delivery_id, default_auth
from .formats import as_json, depth_as_value_error, encode_body
from .http import make_request, parse_url
from .outcome import Outcome, read_outcome

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
# They belong to the connection and the framing of the body, which http.py decides.
_CONNECTION_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te"})


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
    """Post one event, once, and return the outcome. Network trouble is an Outcome; an invalid call raises ValueError.

    data          mappings, sequences, texts, numbers, truth values and None; or bytes, sent as they are, with the
                  format's content type
    secret        authenticates the sender as `auth` says. Without `auth`, a key of Standard Webhooks (`whsec_` or
                  `whsk_`) signs, and any other secret is sent as a password in the header X-Webhook-Password
    format        json, xml (root element `event`; `@name` and `#text` are attributes and text), yaml or form
    extra         fields put into the data's top level; they win over the data's own
    headers       additional headers; one with the name of a header that `send` makes replaces it
    delivery_id   the header `webhook-id`; generated if you give none. Use the same one when you send an event again: a
                  source with `id: header.webhook-id` then counts it once
    now           the signature's time in Unix seconds; by default the current time
    """
    if not 0 < timeout_seconds < math.inf:
        raise ValueError(f"timeout_seconds: must be a number above 0; got {timeout_seconds}")
    target = parse_url(url)
    with depth_as_value_error():
        body, content_type = _encoded(data, extra, format)
    webhook_id = checked_delivery_id(delivery_id or f"evt_{uuid.uuid4().hex}")
    own_headers: Headers = [("User-Agent", "hookchain"), ("Content-Type", content_type), ("webhook-id", webhook_id)]
    if auth and secret is None:
        raise ValueError(f"secret: is required by {type(auth).__name__}")
    if secret is not None:
        at = time.time() if now is None else now
        own_headers += auth_headers(auth or default_auth(secret), secret, body, webhook_id, at)
    response = make_request("POST", target, _merged(own_headers, headers or {}), body, timeout_seconds)
    return read_outcome(response, timeout_seconds)


def _encoded(data: object, extra: Mapping[str, object] | None, format: str) -> tuple[bytes, str]:
    """Return the body and its content type. Raises ValueError for data that the format cannot hold."""
    if isinstance(data, bytes):
        if extra:
            raise ValueError("extra: cannot be put into bytes, which are sent unchanged. Give data as a mapping.")
        _, content_type = encode_body({}, format)
        return data, content_type
    value = as_json(data)
    if not extra:
        return encode_body(value, format)
    if not isinstance(value, dict):
        raise ValueError("extra: needs data that is an object at its top")
    return encode_body(value | {name: as_json(field) for name, field in extra.items()}, format)


def _merged(own_headers: Headers, custom: Mapping[str, str]) -> Headers:
    """Return the headers of both; a custom one replaces one of ours. Raises ValueError for one that cannot be set."""
    replaced = {name.lower() for name in custom}
    merged = [(name, value) for name, value in own_headers if name.lower() not in replaced]
    merged += custom.items()
    for name, value in merged:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _CONNECTION_HEADERS:
            raise ValueError(f"headers: {name!r} is not a header that can be set")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"headers: the value of {name!r} has a character that no header can carry")
    return merged
