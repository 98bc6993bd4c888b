"""The request that an endpoint gets for an event: body, headers and authentication. Pure.

An endpoint is a URL at which a tenant receives events; the tenant chooses its authentication and further headers. The
function notify sends the request, and the API shows it. A tenant's settings are verified here when they are saved, and
again when the request is sent (shared/outgoing).
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from shared import errors, http, jsontext
from shared.event import Event
from shared.outgoing.request_headers import CONNECTION_HEADERS, is_header_value, verify_headers
from shared.signatures.signing import MAX_SIGNATURES, hmac_signature, standard_content, standard_key, standard_signature
from shared.subscribers.model import Endpoint, EndpointAuth, EndpointSecret

PayloadStyle: TypeAlias = Literal["standard", "data"]
"""`standard`: the payload of Standard Webhooks, `{"type": …, "timestamp": …, "data": …}`; `data`: the event's data."""
STANDARD_FIELDS: Final = ("type", "timestamp", "data")
"""The fields of the payload of Standard Webhooks."""
MASK: Final = "***"
"""The value of an authentication header in a request that is only shown."""
MIN_KEY_BYTES: Final = 16
"""A shorter key that a tenant chose could be guessed."""
_OWN_PREFIXES: Final = ("webhook-", "hookchain-")
_BODY_HEADERS: Final = frozenset({"content-type", "content-encoding"})


class EndpointSecretFault(errors.Temporary):
    """An endpoint's secret is missing, or cannot sign. Its tenant can correct that, and reads the text."""

    def __init__(self, detail: str) -> None:
        super().__init__("secret_unusable", detail)


class EndpointRequest(NamedTuple):
    """A request that is a POST."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def endpoint_body(event: Event, style: PayloadStyle, fields: jsontext.JsonObject) -> bytes:
    """Return the body. The endpoint's own `fields` are added at the top level, unless the body has such a field.

    With the style `data`, they are not added to data that is not an object. Half a surrogate pair, which an event may
    contain, becomes a question mark.
    """
    if style == "standard":
        payload: jsontext.Json = {"type": event.type, "timestamp": event_timestamp(event), "data": event.data}
    else:
        payload = event.data
    if isinstance(payload, dict):
        added_fields = {name: value for name, value in fields.items() if name not in payload}
        return jsontext.to_json({**payload, **added_fields}).encode("utf-8", "replace")
    return jsontext.to_json(payload).encode("utf-8", "replace")


def event_timestamp(event: Event) -> str:
    """Return when the event happened according to its sender, or if that is unknown, when it was received."""
    return event.time or event.receivedat


def endpoint_request(
    endpoint: Endpoint,
    secrets: Sequence[str],
    event: Event,
    style: PayloadStyle,
    webhook_id: str,
    timestamp: int,
) -> EndpointRequest:
    """Return the request. `secrets` are the texts of the endpoint's valid secrets, newest first.

    `webhook_id` is the delivery's idempotency key. Raises EndpointSecretFault if there is no secret, or if one cannot
    sign.
    """
    if not secrets:
        raise EndpointSecretFault("the endpoint has no secret")
    body = endpoint_body(event, style, endpoint.fields)
    try:
        auth_headers = _auth_headers(endpoint.auth, secrets, body, webhook_id, timestamp)
    except ValueError as error:
        raise EndpointSecretFault(f"the endpoint's secret cannot sign: {error}") from error
    return EndpointRequest(endpoint.url, _headers(endpoint, event, webhook_id, timestamp, auth_headers), body)


def shown_request(
    endpoint: Endpoint, event: Event, style: PayloadStyle, webhook_id: str, timestamp: int
) -> EndpointRequest:
    """Return the request for people to read, with MASK in place of what authenticates it."""
    masked_headers = dict.fromkeys(auth_header_names(endpoint.auth), MASK)
    headers = _headers(endpoint, event, webhook_id, timestamp, masked_headers)
    return EndpointRequest(endpoint.url, headers, endpoint_body(event, style, endpoint.fields))


def valid_secrets(endpoint: Endpoint, now: float) -> tuple[EndpointSecret, ...]:
    """Return the secrets with which requests are signed, newest first.

    Standard Webhooks sends a signature for each secret, so that after a rotation the receiver can use the old one for a
    while. Other kinds of authentication have room for one.
    """
    valid = tuple(secret for secret in endpoint.secrets if secret.is_valid(now))
    return valid[:MAX_SIGNATURES] if endpoint.auth.kind == "standard" else valid[:1]


def auth_header_names(auth: EndpointAuth) -> tuple[str, ...]:
    """Return the names of the headers that authenticate a request, in lower case."""
    match auth.kind:
        case "standard":
            return ("webhook-signature",)
        case "hmac":
            return (auth.header.lower(),)
        case _:
            return ("authorization",)


def verify_auth(auth: EndpointAuth) -> None:
    """Raise ValueError, which states the rule, for settings that make no valid header."""
    if auth.kind == "hmac":
        if fault := _name_fault(auth.header.lower()):
            raise ValueError(f"`header` {fault}")
        if not is_header_value(auth.prefix):
            raise ValueError("`prefix` must have no line break, and only characters of latin-1")
    if auth.kind == "basic" and (":" in auth.username or not auth.username.isprintable()):
        raise ValueError("`username` must have neither a colon nor a control character")


def verify_header(name: str, value: str, auth: EndpointAuth) -> None:
    """Verify a header that a tenant adds to its requests. Raises ValueError, which states the rule."""
    if fault := _name_fault(name.lower()):
        raise ValueError(f"the header {name[:64]!r} {fault}")
    if name.lower() in auth_header_names(auth):
        raise ValueError(f"the header {name!r} authenticates the request; set it with `auth`")
    try:
        verify_headers([(name, value)])
    except errors.Permanent as fault_of_value:
        raise ValueError(fault_of_value.detail) from fault_of_value


def verify_secret(auth: EndpointAuth, secret: str) -> None:
    """Verify a secret that a tenant chose. Raises ValueError, which states the rule and does not quote the secret."""
    if auth.kind == "standard":
        if secret.startswith("whpk_"):
            raise ValueError("must be a private key, which begins with whsk_; whpk_ is its public key")
        standard_signature(b"", secret)  # raises ValueError for a secret that is not a key
        if not secret.startswith("whsk_") and len(standard_key(secret)) < MIN_KEY_BYTES:
            raise ValueError(f"must be 'whsec_' and at least {MIN_KEY_BYTES} bytes in base64")
    elif not secret or not is_header_value(secret) or secret != secret.strip():
        raise ValueError("must have no line break, no white space at its ends, and only characters of latin-1")


def _name_fault(name: str) -> str | None:
    """Return the rule that a header's name, in lower case, breaks; None if a tenant can set this header."""
    if not re.fullmatch(http.HEADER_NAME, name):
        return "must be the name of a header: letters, digits and '-'"
    if name in CONNECTION_HEADERS or name in _BODY_HEADERS or name.startswith(_OWN_PREFIXES):
        return "is set by the sender itself; take it out"
    return None


def _headers(
    endpoint: Endpoint, event: Event, webhook_id: str, timestamp: int, auth_headers: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return all headers. The tenant's headers come first, so that none of them replaces one of ours."""
    headers = {name.lower(): value for name, value in endpoint.headers.items()}
    headers |= {
        "content-type": "application/json",
        "hookchain-hops": str(event.hops + 1),
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        **auth_headers,
    }
    return tuple(headers.items())


def _auth_headers(
    auth: EndpointAuth, secrets: Sequence[str], body: bytes, webhook_id: str, timestamp: int
) -> Mapping[str, str]:
    """Return the headers that authenticate a request. Raises ValueError for a secret that is not a key."""
    newest = secrets[0]
    match auth.kind:
        case "standard":
            content = standard_content(webhook_id.encode(), timestamp, body)
            return {"webhook-signature": " ".join(standard_signature(content, secret) for secret in secrets)}
        case "basic":
            return {"authorization": f"Basic {b64encode(f'{auth.username}:{newest}'.encode()).decode()}"}
        case "bearer":
            return {"authorization": f"Bearer {newest}"}
        case "hmac":
            return {auth.header.lower(): hmac_signature(body, newest, "sha256", auth.encoding, auth.prefix)}
