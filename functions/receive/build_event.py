"""The events that an authenticated request makes."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Final

from functions.receive.batches import items_of
from functions.receive.identity import Identity, SignedRequest, batch_of, identity, item_identity
from functions.receive.locations import Seen, default_type, text_of
from functions.receive.sources import Source
from shared.errors import Rejected
from shared.event import TRACEPARENT, Event, attribute_text
from shared.http import Request
from shared.jsontext import Json, canonical, to_json
from shared.limits import MIB
from shared.times import rfc3339, unix_seconds

MAX_KEPT_CHARACTERS: Final = 16 * MIB
"""Of headers that a batch's items repeat."""
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-webhook-password"})
_NOT_SENT: Final = frozenset({"function-execution-id"})
"""What functions-framework adds itself."""


def build_events(
    source: Source,
    request: Request,
    data: Json,
    now: float,
    random_id: Callable[[], str],
    signed: SignedRequest | None = None,
) -> tuple[Event, ...]:
    """One, or one for each item of a batch. `random_id` answers 32 hex digits, for what nothing that was sent names.
    `signed` is there where a signature proved the request.

    Raises Rejected (`items`).
    """
    items = items_of(source.batch, data) if source.batch else None
    if items is None:
        # A query that is opened again may be encoded otherwise, and holds the same.
        payload = canonical(data) if request.method == "GET" else request.body
        payload_hash = hashlib.sha256(payload).hexdigest()
        seen = Seen(request, data, data)
        whole = identity(source, seen, payload_hash, random_id, signed)
        return (_event(source, seen, whole, payload_hash, now, _raw(source, request)),)
    events: list[Event] = []
    headers = _raw_headers(source, request)
    _verify_kept(headers, len(items))
    batch = batch_of(source, Seen(request, None, data), signed)
    for number, item in enumerate(items, start=1):
        seen = Seen(request, item, data)
        payload_hash = hashlib.sha256(canonical(item)).hexdigest()
        own = item_identity(source, batch, seen, number, payload_hash, random_id, signed)
        events.append(_event(source, seen, own, payload_hash, now, headers))  # the raw body is of all of them
    return tuple(events)


def _event(
    source: Source, seen: Seen, own: Identity, payload_hash: str, now: float, raw: dict[str, str | None]
) -> Event:
    request = seen.request
    return Event(
        id=own.id,
        source=f"/sources/{source.name}",
        type=text_of(source.type, seen) or default_type(seen.data),
        receivedat=rfc3339(now),
        payloadhash=payload_hash,
        data=seen.data,
        subject=text_of(source.subject, seen),
        actor=text_of(source.actor, seen),
        time=_time(text_of(source.time, seen)),
        traceparent=_traceparent(request.header("traceparent"), own.id),
        deliveryid=attribute_text(own.delivery_id or "") or None,
        hops=_hops(request.header("hookchain-hops")),
        signedas=own.signedas,
        **raw,
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
    """The sender's trace goes on; else the event's id begins one."""
    if header and TRACEPARENT.fullmatch(header):
        return header
    return f"00-{identity}-{identity[:16]}-01"


def _hops(header: str | None) -> int:
    return int(header) if header and re.fullmatch(r"[0-9]{1,3}", header) else 0


def _raw(source: Source, request: Request) -> dict[str, str | None]:
    if source.keep_raw == "no":
        return {}
    kept: dict[str, str | None] = {"rawtype": attribute_text(request.header("content-type") or "") or None}
    body = request.body
    if source.body_tokens:
        from functions.receive.body_tokens import body_without_tokens  # few senders put their token there

        without = body_without_tokens(request, source.body_tokens)
        if without is None:
            return _raw_headers(source, request)
        body = without
    try:
        kept["rawbody"] = body.decode("utf-8")
    except UnicodeDecodeError:
        kept["rawbase64"] = base64.b64encode(body).decode()
    return {**kept, **_raw_headers(source, request)}


def _places(source: Source, kind: str) -> set[str]:
    return {way.at.name for way in source.auth if way.at and way.at.kind == kind}


def _verify_kept(headers: dict[str, str | None], times: int) -> None:
    """Raises Rejected (`items`)."""
    if sum(len(text or "") for text in headers.values()) * times > MAX_KEPT_CHARACTERS:
        raise Rejected("items", f"the headers are too long to be kept with each of {times} items (`keep_raw`)")


def _raw_headers(source: Source, request: Request) -> dict[str, str | None]:
    if source.keep_raw != "all":
        return {}
    left_out = _CREDENTIALS | _NOT_SENT | {way.header for way in source.auth} | _places(source, "header")
    pairs: list[Json] = [[name, value] for name, value in request.headers if name not in left_out]
    return {"rawheaders": to_json(pairs)}
