"""The event that an authenticated request makes."""

import base64
import hashlib
import re
from typing import Final

from functions.receive.locations import Location, default_type, text_at, whole_text_at
from functions.receive.sources import Source
from shared.event import Event, attribute_text, event_id
from shared.http import Request
from shared.jsontext import Json, to_json
from shared.times import rfc3339, unix_seconds

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-webhook-password"})


def build_event(source: Source, request: Request, data: Json, now: float, random_id: str) -> Event:
    """`random_id` (32 hex digits) is the event's where nothing that the sender sent names it."""

    def text(location: Location | None) -> str | None:
        return text_at(location, request, data) if location else None

    payload_hash = hashlib.sha256(request.body).hexdigest()
    delivery_id = whole_text_at(source.id, request, data) if source.id else None
    if delivery_id:
        identity = event_id(source.name, delivery_id)
    elif source.dedupe == "body":
        identity = event_id(source.name, payload_hash)
    else:
        identity = random_id
    return Event(
        id=identity,
        source=f"/sources/{source.name}",
        type=text(source.type) or default_type(data),
        receivedat=rfc3339(now),
        payloadhash=payload_hash,
        data=data,
        subject=text(source.subject),
        actor=text(source.actor),
        time=_time(text(source.time)),
        traceparent=_traceparent(request.header("traceparent"), identity),
        deliveryid=text(source.id),
        hops=_hops(request.header("hookchain-hops")),
        **_raw(source, request),
    )


def _time(text: str | None) -> str | None:
    """RFC 3339 of what is RFC 3339, or Unix seconds or milliseconds; None of anything else."""
    if text is None:
        return None
    try:
        number = float(text)
        return rfc3339(number / 1000 if number > 1e11 else number)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return rfc3339(unix_seconds(text))
    except (ValueError, OverflowError, OSError):
        return None


def _traceparent(header: str | None, identity: str) -> str:
    """The sender's trace goes on; else the event's id begins one (https://www.w3.org/TR/trace-context/)."""
    if header and _TRACEPARENT.fullmatch(header):
        return header
    return f"00-{identity}-{identity[:16]}-01"


def _hops(header: str | None) -> int:
    return int(header) if header and re.fullmatch(r"[0-9]{1,3}", header) else 0


def _raw(source: Source, request: Request) -> dict[str, str | None]:
    if source.keep_raw == "no":
        return {}
    kept: dict[str, str | None] = {"rawtype": attribute_text(request.header("content-type") or "") or None}
    try:
        kept["rawbody"] = request.body.decode("utf-8")
    except UnicodeDecodeError:
        kept["rawbase64"] = base64.b64encode(request.body).decode()
    if source.keep_raw == "all":
        secret_headers = _CREDENTIALS | {way.header for way in source.auth}
        pairs: list[Json] = [[name, value] for name, value in request.headers if name not in secret_headers]
        kept["rawheaders"] = to_json(pairs)
    return kept
