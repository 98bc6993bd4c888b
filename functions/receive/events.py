"""The events that an authenticated request makes: their facts, their ids, and what is kept of the request as it came.

An event's id is the same however often its sender repeats it, and whatever an unsigned header says.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, NamedTuple

from functions.receive import admission
from functions.receive.fact_locations import SignedFacts
from functions.receive.source import Source
from shared import errors, http, limits, times
from shared.base64_text import base64_text
from shared.event import NO_TYPE, TRACEPARENT, Event, attribute_text, event_id
from shared.jsontext import Json, JsonObject, canonical, texts_json
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import (
    Choices,
    Conditions,
    Location,
    RequestFields,
    first_value_at,
    query_fields,
    text_of,
)

NO_SECRETS: Final[admission.SecretValues] = MappingProxyType({})

MAX_ITEMS: Final = 5_000
"""The most items of a batch."""
MAX_KEPT_CHARACTERS: Final = 16 * limits.MIB
"""The most characters of headers, over all items of a batch, since `keep_raw` repeats them with each item."""
_HOPS: Final = re.compile(r"[0-9]{1,3}")

RawParts = dict[str, str | None]
"""Event's `rawbody`, `rawbase64`, `rawtype` and `rawheaders`, those of them that the source keeps."""
MAX_WHOLE: Final = 1_024
"""The most characters of a delivery id from which its items' ids are made. A longer one is hashed first."""
_FILE: Final = frozenset({"type", "size", "base64"})
"""The fields of an object that stands for a file or for other bytes."""
_USUAL_FIELDS: Final = frozenset({"body", "data", "event", "json", "message", "payload"})
"""Fields in which senders put JSON."""
_LIKE_JSON: Final = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"])")
"""The beginning of an object, or of a list of objects, lists or texts."""


class Item(NamedTuple):
    """One event of a request. `data` is its part of `body`, or `body` itself if the body is no batch."""

    request: http.Request
    data: Json
    body: Json


class Facts(NamedTuple):
    """The facts of an event as they were sent.

    A fact is None if the source has no location for it, or if the location has no text.
    """

    type: str | None
    subject: str | None
    actor: str | None
    time: str | None
    action: str | None


def fact(choices: Choices, item: Item) -> str | None:
    """Return the first text among the locations, made fit for an event's attribute; None if no location has one."""
    for joined in choices:
        texts = [text for location in joined if (text := text_at(location, item))]
        if texts and (text := attribute_text(".".join(texts))):
            return text
    return None


def whole_fact(choices: Choices, item: Item) -> str | None:
    """Return the first text among the locations of an id; None if no location has one.

    The text is as it was sent, however long it is, because the ids of two events may differ only at their ends. If
    locations are joined, all of them must have a text, because one text alone may be common to many events.
    """
    for joined in choices:
        texts = [text for location in joined if (text := text_at(location, item))]
        if len(texts) == len(joined):
            return ".".join(texts)
    return None


def text_at(location: Location, item: Item) -> str | None:
    """Return the text or number at a location as it was sent; None for objects, lists, truth values and null."""
    match location.kind:
        case "data":
            if location.condition and first_value_at(location.condition, item.data) is None:
                return None
            value = first_value_at(location.path, item.data)
        case "header":
            return item.request.header(location.path[0])
        case "query":
            return query_fields(item.request.query, None).get(location.path[0])
        case "beside":
            return _other_key(location.path[0], item.data)
        case _:  # `body`: the whole body, of which the data is an item
            value = first_value_at(location.path, item.body)
    if value is None or isinstance(value, str):
        return value
    return None if isinstance(value, bool) else text_of(value)


def _other_key(key: str, data: Json) -> str | None:
    """Return the name of the one key in the data beside this key; None if there is not exactly one."""
    if not isinstance(data, dict) or key not in data:
        return None
    others = [name for name in data if name != key]
    return others[0] if len(others) == 1 else None


def default_type(data: Json) -> str:
    """Return the text of the first of a few usual fields, or `received` if there is none.

    The fields are those of the body, or of the one element in it, as of an XML document. An object that stands for a
    file is skipped, because its `type` is the media type that the parser put there.
    """
    objects = [data]
    if isinstance(data, dict) and len(data) == 1:
        objects.extend(data.values())
    for fields in objects:
        if not isinstance(fields, dict) or fields.keys() >= _FILE:
            continue
        for name in ("event", "type", "event_type", "action"):
            value = fields.get(name)
            if value is None or isinstance(value, bool):
                continue
            if text := attribute_text(text_of(value) or ""):
                return text
    return NO_TYPE


class Identity(NamedTuple):
    """The id of an event, and the attributes that come with it.

    id            32 hex digits, the same however often the sender repeats the event
    delivery_id   the sender's own id, or the `hc_once` of a link; None if there is neither
    signedas      the attribute of this name in Event
    """

    id: str
    delivery_id: str | None
    signedas: str | None = None


@dataclass(eq=False, repr=False)
class SignedRequest:
    """A request that a signature authenticated. `by_body` is that of ReadData: the body alone decided its format."""

    source: Source
    auth: AuthScheme
    fields: RequestFields
    by_body: bool

    @cached_property
    def facts(self) -> SignedFacts:
        """The facts that the signature covers. Most schemes cover the same ones in every request."""
        facts_of_every_request = self.source.signed_facts.get(self.auth)
        return facts_of_every_request or self.source.facts_signed_by(self.auth, self.fields.request)

    @cached_property
    def content_hash(self) -> str:
        """The hash of the signed content, without the time and the secret, which differ when a sender signs again."""
        return hashlib.sha256(self.auth.signed_content(self.fields)).hexdigest()

    @cached_property
    def time(self) -> str:
        return self.auth.signed_time(self.fields)

    @property
    def signs_items(self) -> bool:
        """Return whether each item of a batch is signed by itself."""
        return bool(self.source.batch) and self.auth.items_path == self.source.batch

    def hash_of(self, item: Json) -> str:
        """Return the hash of the signed content of an item that is signed by itself."""
        return hashlib.sha256(self.auth.signed_item(self.fields, item)).hexdigest()

    @cached_property
    def hash_with_time(self) -> str:
        """The hash of the signed content and the signed time, which differs between events with equal content."""
        return hashlib.sha256(texts_json([self.content_hash, self.time])).hexdigest()

    def goes_by_delivery_id(self, body: Json) -> bool:
        """Return whether the sender's id identifies the event although it may be unsigned.

        So it does where different events can have equal signed bytes: the source's `dedupe` or `repeats` says so.
        """
        if self.source.dedupe:
            return self.source.dedupe == "delivery_id"
        if not isinstance(body, dict):
            return False
        return any(_meets(body, conditions) for conditions in self.source.repeats)

    def fallback_id(self, random_id: Callable[[], str]) -> str:
        """Return the id of an event that goes by its delivery id, and has no delivery id."""
        if self.time:
            return _hashed_id(self.source.name, "signed", self.hash_with_time)
        if self.source.fact_locations.id:
            return _hashed_id(self.source.name, "signed", self.content_hash)
        return random_id()

    def claim(
        self, item: Item, facts: Facts, own: Identity, payload_hash: str, number: int, by_hash: bool
    ) -> str | None:
        """Return Event's `signedas`: a hash of what was signed, and a hash of the event's facts, signed or not.

        Return None if everything is signed that the facts and the parsing of the body depend on. `number` is that of an
        item, from 1, or 0 if the body is no batch. `by_hash` says that the event's id is a hash of the signed content.
        """
        is_all_signed = self.by_body and self.facts.is_complete
        # The signed time is no part of the content that such an id is a hash of.
        has_time_beside_id = by_hash and bool(self.time)
        if is_all_signed and not has_time_beside_id:
            return None
        time = self.time if by_hash and own.delivery_id is None else ""
        claimed: list[Json] = [own.id, own.delivery_id, default_type(item.data), payload_hash, time, *facts[:4]]
        if facts.action is not None:  # only then, so that other events have the claim that earlier versions gave them
            claimed.append(facts.action)
        signed = self.hash_of(item.data) if number and self.signs_items else f"{self.content_hash}/{number}"
        signed_hash = hashlib.sha256(signed.encode()).hexdigest()
        claimed_hash = hashlib.sha256(texts_json(claimed)).hexdigest()
        return f"{signed_hash[:32]}.{claimed_hash[:32]}"


def _meets(body: JsonObject, conditions: Conditions) -> bool:
    """Return whether the body meets every condition. An empty text counts as missing."""
    for location, wanted in conditions:
        value = first_value_at(location.path, body)
        text = value if isinstance(value, str) else text_of(value)
        is_met = text == wanted if isinstance(wanted, str) else bool(text) == wanted
        if not is_met:
            return False
    return True


def identity(
    source: Source,
    item: Item,
    facts: Facts,
    payload_hash: str,
    random_id: Callable[[], str],
    signed: SignedRequest | None,
) -> Identity:
    """Return the identity of an event that is alone in its request. `random_id` returns 32 hex digits.

    The id is the first 32 hex digits of the SHA-256 of a JSON array:

    [source, delivery id]                         if that id is signed, if the sender signs nothing, or if the source
                                                  goes by an unsigned id (`repeats`, `dedupe: delivery_id`)
    [source, hash of the payload]                 if there is no such id, and the source has `dedupe: body`
    [source, "signed", hash of the signed bytes]  if there is no such id, and the request is signed

    If nothing identifies the event, the id is random.
    """
    sent_id = whole_fact(source.fact_locations.id, item)
    link_id = _link_once(item) if source.takes_links else None
    delivery_id = link_id or sent_id
    if signed is None:
        if delivery_id:
            own_id = event_id(source.name, delivery_id)
        elif source.dedupe == "body":
            own_id = event_id(source.name, payload_hash)
        else:
            own_id = random_id()
        return Identity(own_id, delivery_id)
    if signed.auth.signs_body_alone and item.request.method != "GET":
        signed.content_hash = payload_hash  # both are the hash of the body: compute it once
    if signed.goes_by_delivery_id(item.body):
        own_id = event_id(source.name, delivery_id) if delivery_id else signed.fallback_id(random_id)
        return Identity(own_id, delivery_id)
    signed_id = sent_id if signed.facts.id == source.fact_locations.id else whole_fact(signed.facts.id, item)
    if signed_id:
        own_id = event_id(source.name, signed_id)
    elif source.dedupe == "body":
        own_id = event_id(source.name, payload_hash)
    else:
        own_id = _hashed_id(source.name, "signed", signed.content_hash)
    unclaimed = Identity(own_id, delivery_id)
    claim = signed.claim(item, facts, unclaimed, payload_hash, number=0, by_hash=signed_id is None)
    return unclaimed._replace(signedas=claim)


class Batch(NamedTuple):
    """The identity of a body with several items, which is found once, and not again in a megabyte for each item.

    delivery_id      the sender's own id, or the `hc_once` of a link; None if there is neither
    key              the part of the items' ids that names the batch: an id, or a hash; None if nothing identifies it
    is_in_every_id   the key is also a part of the ids of items that have an id of their own
    """

    delivery_id: str | None
    key: str | None
    is_in_every_id: bool


def batch_of(source: Source, item: Item, signed: SignedRequest | None) -> Batch:
    """Return a batch's identity. The delivery's id is outside the items, in a header or elsewhere in the body."""
    link_id = _link_once(item) if source.takes_links else None
    delivery_id = link_id or whole_fact(source.fact_locations.id_of_batch, item)
    batch_id = delivery_id
    if signed and not signed.goes_by_delivery_id(item.body):
        batch_id = whole_fact(signed.facts.id_of_batch, item)
    if batch_id is not None:
        return Batch(delivery_id, _bounded(batch_id), is_in_every_id=True)
    if source.dedupe == "body":
        return Batch(delivery_id, hashlib.sha256(item.request.body).hexdigest(), is_in_every_id=False)
    if signed is None:
        return Batch(delivery_id, None, is_in_every_id=False)
    if signed.goes_by_delivery_id(item.body):
        key = signed.hash_with_time if signed.time else None
        return Batch(delivery_id, key, is_in_every_id=False)
    return Batch(delivery_id, signed.content_hash, is_in_every_id=bool(source.fact_locations.id_of_batch))


def item_identity(
    source: Source,
    batch: Batch,
    item: Item,
    facts: Facts,
    number: int,
    payload_hash: str,
    random_id: Callable[[], str],
    signed: SignedRequest | None,
) -> Identity:
    """Return the identity of item `number` (from 1).

    The event's id is made of the batch's key and of the item's own id, or of its number if it has none. If the delivery
    has no id, the item's own id is enough. An item's own id is found by the locations that look into it, alone or
    joined with others.
    """
    sent_id = whole_fact(source.fact_locations.id_in_item, item)
    delivery_id = sent_id or batch.delivery_id
    # Only a signed id identifies an item that is signed, unless the source says otherwise.
    is_signed = signed is not None and not signed.goes_by_delivery_id(item.body)
    item_id = whole_fact(signed.facts.id_in_item, item) if signed and is_signed else sent_id
    if item_id and not batch.is_in_every_id:
        own_id = event_id(source.name, item_id)
    elif signed and is_signed and signed.signs_items:
        own_id = _hashed_id(source.name, "signed", signed.hash_of(item.data))
    elif batch.key is not None:
        own_id = _hashed_id(source.name, batch.key, item_id or number)
    else:
        return Identity(random_id(), delivery_id)
    unclaimed = Identity(own_id, delivery_id)
    if signed is None or not is_signed:
        return unclaimed
    claim = signed.claim(item, facts, unclaimed, payload_hash, number, by_hash=item_id is None)
    return unclaimed._replace(signedas=claim)


def _hashed_id(*parts: Json) -> str:
    return hashlib.sha256(texts_json(list(parts))).hexdigest()[:32]


def _bounded(delivery_id: str) -> str:
    """Return the id, or its hash if it is long, since it is hashed again for each item."""
    return delivery_id if len(delivery_id) <= MAX_WHOLE else hashlib.sha256(texts_json(delivery_id)).hexdigest()


def _link_once(item: Item) -> str | None:
    """Return the `hc_once` of a link, which is the sender's id for its event; None if there is none."""
    if item.request.method != "GET":
        return None
    # Imported here, because few sources take links.
    from shared.signatures.links import once_of

    return once_of(item.request.query)


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
    items = items_of(source.batch, data) if source.batch else None
    if items is None:
        # A link that is opened again may have another encoding of the same query, so the hash is of the parsed query.
        payload = canonical(data) if request.method == "GET" else request.body
        payload_hash = hashlib.sha256(payload).hexdigest()
        item = Item(request, data, data)
        facts = _facts(source, item)
        own = identity(source, item, facts, payload_hash, random_id, signed)
        raw = _raw(source, request, secrets) if source.keep_raw != "no" else {}
        return (_event(source, item, facts, own, payload_hash, now, raw, is_recovered),)
    events: list[Event] = []
    # An item keeps the raw headers, but not the raw body, which belongs to all items.
    headers = _raw_headers(source, request, _credentials(source, request, secrets))
    header_characters = sum(len(text or "") for text in headers.values())
    if header_characters * len(items) > MAX_KEPT_CHARACTERS:
        raise errors.Rejected(
            "too_many_items", f"the headers are too long to be kept with each of {len(items)} items (`keep_raw`)"
        )
    batch = batch_of(source, Item(request, None, data), signed)
    for number, value in enumerate(items, start=1):
        item = Item(request, value, data)
        facts = _facts(source, item)
        payload_hash = hashlib.sha256(canonical(value)).hexdigest()
        own = item_identity(source, batch, item, facts, number, payload_hash, random_id, signed)
        events.append(_event(source, item, facts, own, payload_hash, now, headers, is_recovered))
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


def note_on(source: Source, data: Json, events: Sequence[Event]) -> str | None:
    """Return a hint for the log about an accepted request, if its settings seem to miss a batch or packed JSON."""
    if source.batch:
        return _no_batch(source.batch, data)
    field = packed_field(data) if events[0].type == NO_TYPE else None
    if field is None:
        return None
    # A log line contains no part of a body, so any other name stays out of it.
    return packed_note(field) if field in _USUAL_FIELDS else "no type was found, and a field holds JSON (`unpack`)"


def packed_field(data: Json) -> str | None:
    """Return the first field of the data that holds JSON as text; None if there is none."""
    fields = data.items() if isinstance(data, dict) else ()
    return next((name for name, text in fields if isinstance(text, str) and _LIKE_JSON.match(text)), None)


def packed_note(field: str) -> str:
    return f"no type was found, and the field {field!r} holds JSON: set `unpack: data.{field}`"


def _no_batch(path: tuple[str, ...], body: Json) -> str | None:
    """Return a hint that the body has no list at the path, so that it is one event; None if it has one."""
    before_star = path[: path.index("*")]
    if isinstance(first_value_at(before_star, body), list):
        return None
    rule = f"the body has no list at data.{'.'.join(path)} (`batch`), so it is one event"
    return f"{rule}; it is itself a list, whose items are `batch: data.*`" if isinstance(body, list) else rule


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


def _facts(source: Source, item: Item) -> Facts:
    places = source.fact_locations
    choices_of_facts = (places.type, places.subject, places.actor, places.time, places.action)
    return Facts(*[fact(choices, item) if choices else None for choices in choices_of_facts])


def _event(
    source: Source,
    item: Item,
    facts: Facts,
    own: Identity,
    payload_hash: str,
    now: float,
    raw: RawParts,
    is_recovered: bool,
) -> Event:
    """Return the event with these facts. `now` is the Unix time at which the request came."""
    traceparent = item.request.header("traceparent")
    hops = item.request.header("hookchain-hops")
    return Event(  # arguments by position take half the time of named ones, and every event is made here
        own.id,
        f"/sources/{source.name}",
        facts.type or default_type(item.data),
        times.rfc3339(now),
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
        action=facts.action,
        recovered=is_recovered,
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
    except (ValueError, OverflowError, OSError):
        pass
    zoned = text.replace(" UTC", "Z").replace(" +", "+").replace(" -", "-")
    try:
        return times.rfc3339(times.unix_seconds(zoned))
    except (ValueError, OverflowError, OSError):
        return None


def _raw(source: Source, request: http.Request, secrets: admission.SecretValues) -> RawParts:
    """Return what the source keeps of the request as it was sent, without credentials.

    The body is left out if the tokens in it cannot be removed.
    """
    credentials = _credentials(source, request, secrets)
    body: bytes | None = request.body
    if source.body_tokens:
        from functions.receive.body_tokens import body_without_tokens

        body = body_without_tokens(request, source.body_tokens)
    if body is None:
        return _raw_headers(source, request, credentials)
    raw: RawParts = {"rawtype": attribute_text(request.header("content-type") or "") or None}
    kept_body = _without(body, credentials)
    try:
        raw["rawbody"] = kept_body.decode("utf-8")
    except UnicodeDecodeError:
        raw["rawbase64"] = base64_text(kept_body)
    return {**raw, **_raw_headers(source, request, credentials)}


def _raw_headers(source: Source, request: http.Request, credentials: Sequence[str]) -> RawParts:
    """Return the headers as Event's `rawheaders`, without credentials, if the source keeps them."""
    if source.keep_raw != "all":
        return {}
    pairs: list[Json] = [[name, value] for name, value in request.headers if name not in source.secret_headers]
    return {"rawheaders": _without(texts_json(pairs), credentials).decode()}


def _credentials(source: Source, request: http.Request, secrets: admission.SecretValues) -> Sequence[str]:
    """Return the passwords and tokens that the kept parts may have, because proxies copy them into other headers."""
    if source.keep_raw == "no" or not source.password_headers:
        return ()
    secret_values = [value for auth in source.auth if not auth.signs_content for value in secrets.get(auth.secret, ())]
    # Without what stands before the credential, such as `Bearer `.
    sent_values = [value.rpartition(" ")[2] for name, value in request.headers if name in source.password_headers]
    return (*secret_values, *sent_values)


def _without(kept: bytes, credentials: Sequence[str]) -> bytes:
    if not credentials:
        return kept
    # Imported here, because only sources that have a password and keep the body as it was sent need it.
    from shared.credential_masks import without_credentials

    return without_credentials(kept, credentials)
