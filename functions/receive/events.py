"""The events that an authenticated request makes: one, or one for each item of a batch.

An event is made of

    an Item         the request and the data of the event: the whole body, or an item of a batch (facts.py)
    its Facts       the texts that the source's settings find there: type, subject, actor, time and action (facts.py)
    its Content     the item, its facts, and the hash of the body or of the item (identity.py)
    its Identity    its id, which is the same however often its sender repeats it (identity.py)
    raw parts       with `keep_raw`, parts of the request as they were sent, without passwords and tokens
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from functions.receive import admission
from functions.receive.facts import Item, default_type, facts_of
from functions.receive.identity import Content, Identity, SignedRequest, identifier_of
from functions.receive.source import Source
from shared import errors, http, limits, times
from shared.event import TRACEPARENT, Event, attribute_text
from shared.jsontext import Json, base64_text, canonical, texts_json
from shared.signatures.locations import Location, RequestFields, first_value_at

NO_SECRETS: Final[admission.SecretValues] = MappingProxyType({})

MAX_ITEMS: Final = 5_000
"""The most items of a batch."""
MAX_KEPT_CHARACTERS: Final = 16 * limits.MIB
"""The most characters of headers, over all items of a batch, since `keep_raw` repeats them with each item."""
_REMOVED: Final = "[removed]"
_SHORTEST_TOKEN: Final = 8
"""The fewest characters of a token that is removed from a raw body. The text of a shorter one may also be elsewhere."""
_HOPS: Final = re.compile(r"[0-9]{1,3}")


def build_events(
    source: Source,
    request: http.Request,
    data: Json,
    now: float,
    random_id: Callable[[], str],
    signed: SignedRequest | None = None,
    secrets: admission.SecretValues = NO_SECRETS,
    is_recovered: bool = False,
) -> tuple[Event, ...]:
    """Return one event, or one for each item of a batch.

    `random_id` returns 32 hex digits, for an event that nothing in the request identifies. `signed` is there where a
    signature authenticated the request. `secrets` are removed from what `keep_raw` keeps. `is_recovered` is Event's
    `recovered`. Raises Rejected (`too_many_items`).
    """
    identifier = identifier_of(source, signed, data, random_id)
    items = items_of(source.batch, data) if source.batch else None
    if items is None:
        if request.method == "GET":
            # A link that is opened again may have another encoding of the same query, so its parsed query is hashed.
            payload_hash = hashlib.sha256(canonical(data)).hexdigest()
        else:
            payload_hash = signed.body_hash if signed else hashlib.sha256(request.body).hexdigest()
        item = Item(request, data, data)
        content = Content(item, facts_of(source.fact_locations, item), payload_hash)
        raw = _raw_parts(source, request, secrets)
        return (_event(source, content, identifier.event(content), 0, now, raw, is_recovered),)

    # An item keeps the raw headers, but not the raw body, which belongs to all items.
    headers = _raw_parts(source, request, secrets, with_body=False)
    header_characters = sum(len(text or "") for text in headers.values())
    if header_characters * len(items) > MAX_KEPT_CHARACTERS:
        raise errors.Rejected(
            "too_many_items", f"the headers are too long to be kept with each of {len(items)} items (`keep_raw`)"
        )
    batch = identifier.batch(Item(request, None, data))
    events: list[Event] = []
    for number, value in enumerate(items, start=1):
        item = Item(request, value, data)
        item_hash = hashlib.sha256(canonical(value)).hexdigest()
        content = Content(item, facts_of(source.fact_locations, item), item_hash)
        identity = identifier.item(batch, content, number)
        events.append(_event(source, content, identity, number, now, headers, is_recovered))
    return tuple(events)


def items_of(path: tuple[str, ...], body: Json) -> list[Json] | None:
    """Return the items at a path such as `events.*` or `entry.*.changes.*`; None if the body is no such batch.

    The names after the last `*` lead from an element to its item. An element without them is an item itself. Raises
    Rejected (`too_many_items`).
    """
    first = path.index("*")
    elements = first_value_at(path[:first], body)
    if not isinstance(elements, list):
        return None
    items: list[Json] = []
    for item in _items(path[first:], elements):
        items.append(item)
        if len(items) > MAX_ITEMS:
            raise errors.Rejected("too_many_items", f"the body has more than {MAX_ITEMS} items")
    return items


def _items(path: tuple[str, ...], value: Json) -> Iterator[Json]:
    """Yield the items that the path leads to from a value. A value from which it leads nowhere is an item itself."""
    if "*" not in path:
        inner = first_value_at(path, value)
        yield value if inner is None else inner
        return
    star = path.index("*")
    elements = first_value_at(path[:star], value)
    if not isinstance(elements, list):
        yield value
        return
    for element in elements:
        yield from _items(path[star + 1 :], element)


def _event(
    source: Source,
    content: Content,
    identity: Identity,
    number: int,
    now: float,
    raw: Mapping[str, str | None],
    is_recovered: bool,
) -> Event:
    """Return the event. `number` is that of an item, or 0; `now`, the Unix time at which the request came."""
    item, facts, payload_hash = content
    traceparent = item.request.header("traceparent")
    if not traceparent or not TRACEPARENT.fullmatch(traceparent):
        # The sender's trace goes on. Without one, the event's id begins a trace.
        traceparent = f"00-{identity.id}-{identity.id[:16]}-01"
    hops = item.request.header("hookchain-hops")
    return Event(
        id=identity.id,
        source=f"/sources/{source.name}",
        type=facts.type or default_type(item.data),
        receivedat=times.rfc3339(now),
        payloadhash=payload_hash,
        data=item.data,
        subject=facts.subject,
        actor=facts.actor,
        time=_time(facts.time) if facts.time else None,
        traceparent=traceparent,
        deliveryid=attribute_text(identity.delivery_id or "") or None,
        hops=int(hops) if hops and _HOPS.fullmatch(hops) else 0,
        signedas=identity.signedas,
        action=facts.action,
        recovered=is_recovered,
        item=number,
        **raw,
    )


def _time(text: str) -> str | None:
    """Convert RFC 3339, Unix seconds or Unix milliseconds to RFC 3339; None for anything else.

    A space before the zone is accepted, as in GitLab's `2026-03-01 12:00:00 UTC` and `2026-03-01 12:00:00 +0200`.
    """
    try:
        number = float(text)
        seconds = number / 1000 if number >= times.MILLISECONDS_FROM else number
        return times.rfc3339(seconds)
    except (ValueError, OverflowError):
        pass
    zoned = text.replace(" UTC", "Z").replace(" +", "+").replace(" -", "-")
    try:
        return times.rfc3339(times.unix_seconds(zoned))
    except (ValueError, OverflowError):
        return None


def _raw_parts(
    source: Source, request: http.Request, secrets: admission.SecretValues, *, with_body: bool = True
) -> Mapping[str, str | None]:
    """Return Event's `rawbody` or `rawbase64`, `rawtype` and `rawheaders`, those of them that the source keeps."""
    if source.keep_raw == "no":
        return {}
    body = request.body if with_body else None
    headers: bytes | None = None
    media_type = request.header("content-type") or ""
    if source.keep_raw == "all":
        headers = texts_json([[name, value] for name, value in request.headers if name not in source.left_out_headers])
    if source.password_headers:
        # Imported here, because a source whose schemes are all signatures has no credentials to remove.
        from shared.credential_masks import without_credentials

        # Anybody who has a password or a token can send with it, so none is kept, also where proxies copy it into other
        # headers. A signature fits its own request only.
        credentials = _credentials(source, request, secrets)
        if body is not None:
            body = _without_tokens(request, source.body_tokens)  # None if they cannot be removed
        body = None if body is None else without_credentials(body, credentials)
        headers = None if headers is None else without_credentials(headers, credentials)
        media_type = without_credentials(media_type.encode("utf-8", "replace"), credentials).decode()
    raw: dict[str, str | None] = {}
    if body is not None:
        raw["rawtype"] = attribute_text(media_type) or None  # it is cut here, so that no credential is cut in two
        try:
            raw["rawbody"] = body.decode("utf-8")
        except UnicodeDecodeError:
            raw["rawbase64"] = base64_text(body)
    if headers is not None:
        raw["rawheaders"] = headers.decode()
    return raw


def _credentials(source: Source, request: http.Request, secrets: admission.SecretValues) -> tuple[str, ...]:
    """Return the passwords and tokens of the source: their stored values, and what the request has in their headers."""
    secret_values = [value for auth in source.auth if not auth.signs_content for value in secrets.get(auth.secret, ())]
    # Without what stands before the credential, such as `Bearer `.
    sent_values = [value.rpartition(" ")[2] for name, value in request.headers if name in source.password_headers]
    return (*secret_values, *sent_values)


def _without_tokens(request: http.Request, places: Sequence[Location]) -> bytes | None:
    """Return the raw body without the tokens; None if they cannot be found in it, for example if it is compressed."""
    body = request.body
    for token in _tokens(request, places):
        if len(token) >= _SHORTEST_TOKEN:
            body = body.replace(token.encode("utf-8", "replace"), _REMOVED.encode())
    has_tokens_left = any(_tokens(replace(request, body=body), places))
    return None if has_tokens_left else body


def _tokens(request: http.Request, places: Sequence[Location]) -> Iterator[str]:
    """Yield the tokens that are still in the body."""
    fields = RequestFields(request)
    for place in places:
        texts = fields.data_texts(place) if place.kind == "data" else [fields.text(place)]
        for text in texts:
            if text and text != _REMOVED:
                yield text
