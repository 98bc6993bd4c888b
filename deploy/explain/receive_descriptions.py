"""Descriptions of receive's checks that passed, from the request and the source's compiled settings."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from deploy.terminal.output import count_of
from functions.receive.admission import sender_address
from shared.errors import ProblemCode
from shared.event import Event, event_id
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import read_scheme

Settings = JsonObject

CHECK_BY_CODE: Final[Mapping[ProblemCode, str]] = {
    "unknown_source": "path",
    "method_not_allowed": "method",
    "invalid_content_length": "size",
    "body_too_large": "size",
    "headers_too_large": "size",
    "query_too_large": "size",
    "request_timeout": "size",
    "disconnected": "size",
    "unsupported_encoding": "encoding",
    "unsupported_content_type": "content type",
    "address_not_allowed": "address",
    "origin_not_allowed": "origin",
    "prefetch_not_allowed": "origin",
    "secret_unavailable": "secret",
    "secret_weak": "secret",
    "secret_unusable": "secret",
    "key_unavailable": "key",
    "signature_mismatch": "signature",
    "password_mismatch": "signature",
    "certificate_url_not_allowed": "signature",
    "subscribe_url_not_allowed": "signature",
    "invalid_delivery_id": "id",
    "timestamp_out_of_range": "time",
    "malformed_body": "parse",
    "multiple_documents": "parse",
    "decoded_body_too_large": "parse",
    "schema_mismatch": "schema",
}
"""The check to which the code of a rejection belongs. Any other code belongs to `limits`."""

ORDER: Final = (
    "path",
    "method",
    "size",
    "encoding",
    "content type",
    "address",
    "origin",
    "secret",
    "key",
    "signature",
    "id",
    "time",
    "parse",
    "limits",
    "schema",
    "event",
)


def describe_path(name: str, settings: Settings) -> str:
    if isinstance(bus := settings.get("bus"), dict):
        return f"the source {name!r}, whose messages a bus brings ({bus.get('kind')})"
    schemes = settings.get("auth")
    count = len(schemes) if isinstance(schemes, list) else 0
    return f"the source {name!r}, with {count_of(count, 'auth scheme')}"


def describe_method(request: Request, settings: Settings) -> str:
    return f"{request.method}; this source accepts {', '.join(_texts(settings.get('methods')))}"


def describe_size(request: Request, settings: Settings) -> str:
    return f"{count_of(len(request.body), 'byte')} of at most {settings.get('max_body_bytes'):,}"


def describe_encoding(request: Request) -> str:
    return f"content encoding {request.header('content-encoding') or 'none'}"


def describe_content_type(request: Request, settings: Settings) -> str:
    sent = "present" if request.header("content-type") else "absent, so the body decides"
    accepted = _texts(settings.get("content_types"))
    return f"{sent}; this source accepts {', '.join(accepted) or 'any'}"


def describe_address(request: Request, settings: Settings, verb: str = "is within") -> str:
    blocks = _texts(settings.get("allow"))
    if not blocks:
        return "any address may send"
    proxies = settings.get("trusted_proxies")
    address, by = _sender_address(request, proxies if isinstance(proxies, int) else 0)
    return f"{address}, {by}, {verb} {', '.join(blocks)}"


def _sender_address(request: Request, proxies: int) -> tuple[str, str]:
    """Return the sender's address, and where it was found."""
    try:
        address = str(ip_address(sender_address(request, proxies)))
    except ValueError:
        address = "no address"
    if not request.header("x-forwarded-for"):
        return address, "the address that connects"
    if not proxies:
        return address, "the address that connects (X-Forwarded-For counts only with `trusted_proxies`)"
    return address, f"from X-Forwarded-For behind {count_of(proxies, 'trusted proxy', 'trusted proxies')}"


def describe_schema(settings: Settings) -> str | None:
    return "the data conforms to the source's schema" if "schema" in settings else None


def describe_origin(settings: Settings) -> str | None:
    return "the page's origin is allowed" if "form" in settings else None


def describe_id(event: Event, settings: Settings) -> str:
    is_named = bool(event.deliveryid) and event.id == event_id(event.source_name, str(event.deliveryid))
    auth = settings.get("auth")
    signs = isinstance(auth, list) and any(read_scheme(scheme).signs_content for scheme in auth)
    if signs and not is_named and settings.get("dedupe") not in {"delivery_id", "body"}:
        unsigned = "the delivery id is not signed" if event.deliveryid else "no delivery id"
        return (
            f"{unsigned}: the signed bytes identify the event, and the same bytes with any headers are a duplicate"
            " (reason same_signed_bytes), unless the source has `dedupe: delivery_id`"
        )
    if event.deliveryid:
        return "the sender's delivery id identifies the event: the same request again is a duplicate"
    return "no delivery id: the same request again is another event, unless the source has `dedupe: body`"


def describe_data(data: Json) -> str:
    if isinstance(data, dict):
        return f"an object with {count_of(len(data), 'field')}"
    if isinstance(data, list):
        return f"a list of {count_of(len(data), 'item')}"
    return {str: "a text", bool: "a truth value", type(None): "nothing"}.get(type(data), "a number")


def describe_event(events: tuple[Event, ...], settings: JsonObject) -> str:
    if len(events) != 1:
        return f"a batch of {count_of(len(events), 'event')}"
    [event] = events
    named = {"type": event.type, "subject": event.subject, "actor": event.actor, "time": event.time}
    found = ", ".join(f"{name} {value}" for name, value in named.items() if value)
    if event.type != "received" or "type" not in settings:
        return found
    texts = event.data.items() if isinstance(event.data, dict) else ()
    packed = [name for name, text in texts if isinstance(text, str) and text.lstrip()[:1] in {"{", "["}]
    advice = f"; the field {packed[0]!r} holds JSON: set `unpack: data.{packed[0]}`" if packed else ""
    return f"{found} (nothing was found for the source's `type`{advice})"


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
