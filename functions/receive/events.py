"""The events that an authenticated request makes."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final

from functions.receive.authentication import SecretValues
from functions.receive.facts import Facts, Item, default_type, fact
from functions.receive.identity import Identity, SignedRequest, batch_of, identity, item_identity
from functions.receive.source import Source
from shared.base64_text import base64_text
from shared.errors import Rejected
from shared.event import TRACEPARENT, Event, attribute_text
from shared.http import Request
from shared.jsontext import Json, canonical, to_json
from shared.limits import MIB
from shared.signatures.locations import value_at
from shared.times import rfc3339, unix_seconds

NO_SECRETS: Final[SecretValues] = MappingProxyType({})

MAX_ITEMS: Final = 5_000
MAX_KEPT_CHARACTERS: Final = 16 * MIB
"""The limit for headers that `keep_raw` repeats with each item of a batch."""
_HOPS: Final = re.compile(r"[0-9]{1,3}")

RawParts = dict[str, str | None]
"""Event's `rawbody`, `rawbase64`, `rawtype` and `rawheaders`, where the source keeps them."""


def build_events(
    source: Source,
    request: Request,
    data: Json,
    now: float,
    random_id: Callable[[], str],
    signed: SignedRequest | None = None,
    secrets: SecretValues = NO_SECRETS,
) -> tuple[Event, ...]:
    """Return one event, or one for each item of a batch.

    `random_id` returns 32 hex digits, for an event that nothing in the request identifies. `signed` is there where a
    signature authenticated the request. `secrets` are removed from what `keep_raw` keeps. Raises Rejected
    (`too_many_items`).
    """
    items = items_of(source.batch, data) if source.batch else None
    if items is None:
        # A query that is opened again may be encoded otherwise, and holds the same.
        payload = canonical(data) if request.method == "GET" else request.body
        payload_hash = hashlib.sha256(payload).hexdigest()
        item = Item(request, data, data)
        facts = _facts(source, item)
        own = identity(source, item, facts, payload_hash, random_id, signed)
        raw = _raw(source, request, secrets) if source.keep_raw != "no" else {}
        return (_event(source, item, facts, own, payload_hash, now, raw),)
    events: list[Event] = []
    # Without the raw body, which is that of all items.
    headers = _raw_headers(source, request, _credentials(source, request, secrets))
    if sum(len(text or "") for text in headers.values()) * len(items) > MAX_KEPT_CHARACTERS:
        raise Rejected(
            "too_many_items", f"the headers are too long to be kept with each of {len(items)} items (`keep_raw`)"
        )
    batch = batch_of(source, Item(request, None, data), signed)
    for number, value in enumerate(items, start=1):
        item = Item(request, value, data)
        facts = _facts(source, item)
        payload_hash = hashlib.sha256(canonical(value)).hexdigest()
        own = item_identity(source, batch, item, facts, number, payload_hash, random_id, signed)
        events.append(_event(source, item, facts, own, payload_hash, now, headers))
    return tuple(events)


def items_of(path: tuple[str, ...], body: Json) -> list[Json] | None:
    """Return the items at a path such as `events.*` or `entry.*.changes.*`; None if the body is no such batch.

    What follows the last `*` leads from the element to its item, where that is there. Raises Rejected.
    """
    first = path.index("*")
    found = value_at(path[:first], body)
    if not isinstance(found, list):
        return None
    items: list[Json] = []
    for item in _items(path[first:], found):
        items.append(item)
        if len(items) > MAX_ITEMS:
            raise Rejected("too_many_items", f"the body has more than {MAX_ITEMS} items")
    return items


def _items(path: tuple[str, ...], value: Json) -> Iterator[Json]:
    """`path` begins with `*` where there is one left."""
    if "*" not in path:
        inner = value_at(path, value)
        yield value if inner is None else inner
        return
    at = path.index("*")
    elements = value_at(path[:at], value)
    if not isinstance(elements, list):
        yield value
        return
    for element in elements:
        yield from _items(path[at + 1 :], element)


def _facts(source: Source, item: Item) -> Facts:
    return Facts(*[fact(choices, item) if choices else None for choices in source.fact_choices[:4]])


def _event(
    source: Source, item: Item, facts: Facts, own: Identity, payload_hash: str, now: float, raw: RawParts
) -> Event:
    header = item.request.header
    traceparent, hops = header("traceparent"), header("hookchain-hops")
    return Event(  # half the time of named arguments
        own.id,
        f"/sources/{source.name}",
        facts.type or default_type(item.data),
        rfc3339(now),
        payload_hash,
        item.data,
        facts.subject,
        facts.actor,
        _time(facts.time) if facts.time else None,
        # The sender's trace goes on. Without one, the event's id begins a trace.
        traceparent if traceparent and TRACEPARENT.fullmatch(traceparent) else f"00-{own.id}-{own.id[:16]}-01",
        attribute_text(own.delivery_id or "") or None,
        int(hops) if hops and _HOPS.fullmatch(hops) else 0,
        signedas=own.signedas,
        **raw,
    )


def _time(text: str) -> str | None:
    """Convert RFC 3339, Unix seconds or Unix milliseconds to RFC 3339; None for anything else."""
    try:
        number = float(text)
        return rfc3339(number / 1000 if number > 1e11 else number)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return rfc3339(unix_seconds(text))
    except (ValueError, OverflowError, OSError):
        return None


def _raw(source: Source, request: Request, secrets: SecretValues) -> RawParts:
    kept: RawParts = {"rawtype": attribute_text(request.header("content-type") or "") or None}
    body = request.body
    credentials = _credentials(source, request, secrets)
    if source.body_tokens:
        from functions.receive.parsing import body_without_tokens

        without = body_without_tokens(request, source.body_tokens)
        if without is None:
            return _raw_headers(source, request, credentials)
        body = without
    body = _without(body, credentials)
    try:
        kept["rawbody"] = body.decode("utf-8")
    except UnicodeDecodeError:
        kept["rawbase64"] = base64_text(body)
    return {**kept, **_raw_headers(source, request, credentials)} if source.keep_raw == "all" else kept


def _raw_headers(source: Source, request: Request, credentials: Sequence[str]) -> RawParts:
    if source.keep_raw != "all":
        return {}
    pairs: list[Json] = [[name, value] for name, value in request.headers if name not in source.secret_headers]
    return {"rawheaders": _without(to_json(pairs).encode(), credentials).decode()}


def _credentials(source: Source, request: Request, secrets: SecretValues) -> Sequence[str]:
    """Return the passwords and tokens that the request may repeat: proxies copy them into headers of their own."""
    if source.keep_raw == "no" or not source.password_headers:
        return ()
    known = [value for auth in source.auth if not auth.signs_content for value in secrets.get(auth.secret, ())]
    sent = [value.rpartition(" ")[2] for name, value in request.headers if name in source.password_headers]
    return (*known, *sent)


def _without(kept: bytes, credentials: Sequence[str]) -> bytes:
    if not credentials:
        return kept
    from shared.credential_masks import without_credentials  # for sources with a password that keep what was sent

    return without_credentials(kept, credentials)
