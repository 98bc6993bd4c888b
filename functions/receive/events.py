"""The events that an authenticated request makes: one, or one for each item of a batch.

An event is made of

    an Item         the request and the data of the event: the whole body, or an item of a batch (facts.py)
    its Facts       the texts that the source's settings find there: type, subject, actor, time and action (facts.py)
    its Content     the item, its facts, and the hash of the body or of the item
    its Identity    its id, which is the same however often its sender repeats it, and whatever an unsigned header says
    raw parts       with `keep_raw`, parts of the request as they were sent, without passwords and tokens

These words are used for ids:

    event id     the id of the event: 32 hex digits
    delivery id  the sender's own id for an event or a batch, signed or not: a text of the request, or the `hc_once` of
                 a link; None if the request has none
    signed id    the delivery id, read only from locations that the signature covers; None if those have no text

`identifier_of` decides once for a request how its events are identified. `IdentifierByDelivery` goes by the delivery
id, and `IdentifierBySignature` by the signed id. Where there is no such id, both go by a hash.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from functions.receive import admission
from functions.receive.facts import Facts, Item, SignedFacts, default_type, facts_of, whole_fact
from functions.receive.source import Source
from shared import errors, http, limits, times
from shared.event import NO_TYPE, TRACEPARENT, Event, attribute_text, event_id
from shared.jsontext import Json, base64_text, canonical, texts_json
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import Choices, RequestFields, first_value_at

NO_SECRETS: Final[admission.SecretValues] = MappingProxyType({})

MAX_ITEMS: Final = 5_000
"""The most items of a batch."""
MAX_KEPT_CHARACTERS: Final = 16 * limits.MIB
"""The most characters of headers, over all items of a batch, since `keep_raw` repeats them with each item."""
MAX_WHOLE: Final = 1_024
"""The most characters of a delivery id from which its items' ids are made. A longer one is hashed first."""
_HOPS: Final = re.compile(r"[0-9]{1,3}")

_USUAL_FIELDS: Final = frozenset({"body", "data", "event", "json", "message", "payload"})
"""Fields in which senders put JSON."""
_LIKE_JSON: Final = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"])")
"""The beginning of an object, or of a list of objects, lists or texts."""


class Content(NamedTuple):
    """The content of an event. `payload_hash` is the hash of the body, or of an item of a batch."""

    item: Item
    facts: Facts
    payload_hash: str


class Identity(NamedTuple):
    """The event id, and the attributes that come with it. `signedas` is the attribute of this name in Event."""

    id: str
    delivery_id: str | None
    signedas: str | None = None


class Batch(NamedTuple):
    """The identity of a body with several items, which is found once, and not again in a megabyte for each item.

    delivery_id      the delivery id of the batch, which is outside its items
    key              the part of the items' event ids that names the batch: an id, or a hash; None if nothing identifies
                     the batch
    is_in_every_id   the key is also a part of the event ids of items that have a delivery id of their own
    """

    delivery_id: str | None
    key: str | None
    is_in_every_id: bool


@dataclass(eq=False, repr=False)
class SignedRequest:
    """A request that a signature authenticated. `body_decides_format` is that of ReadData."""

    source: Source
    auth: AuthScheme
    fields: RequestFields
    body_decides_format: bool

    @cached_property
    def locations(self) -> SignedFacts:
        """The locations that the signature covers. Most schemes cover the same ones in every request."""
        facts_of_every_request = self.source.signed_facts.get(self.auth)
        return facts_of_every_request or self.source.facts_signed_by(self.auth, self.fields.request)

    @cached_property
    def body_hash(self) -> str:
        return hashlib.sha256(self.fields.request.body).hexdigest()

    @cached_property
    def content_hash(self) -> str:
        """The hash of the signed content, without the time and the secret, which differ when a sender signs again."""
        if self.auth.signs_body_alone:
            return self.body_hash
        return hashlib.sha256(self.auth.signed_content(self.fields)).hexdigest()

    @cached_property
    def time(self) -> str:
        """The signed time as the sender wrote it; empty if no time is signed."""
        return self.auth.signed_time(self.fields)

    @cached_property
    def hash_with_time(self) -> str:
        """The hash of the signed content and the signed time, which differs between events with equal content."""
        return hashlib.sha256(texts_json([self.content_hash, self.time])).hexdigest()

    @property
    def signs_items(self) -> bool:
        """Return whether each item of a batch is signed by itself."""
        return bool(self.source.batch) and self.auth.items_path == self.source.batch

    def item_hash(self, item: Json) -> str:
        """Return the hash of the signed content of an item that is signed by itself."""
        return hashlib.sha256(self.auth.signed_item(self.fields, item)).hexdigest()


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
        return (_event(source, content, identifier.event(content), now, raw, is_recovered),)

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
        events.append(_event(source, content, identity, now, headers, is_recovered))
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
        return _note_on_batch(source.batch, data)
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


def _note_on_batch(path: tuple[str, ...], body: Json) -> str | None:
    """Return a hint that the body has no list at the path of `batch`; None if it has one."""
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


def _event(
    source: Source,
    content: Content,
    identity: Identity,
    now: float,
    raw: Mapping[str, str | None],
    is_recovered: bool,
) -> Event:
    """Return the event. `now` is the Unix time at which the request came."""
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
    if source.keep_raw == "all":
        headers = texts_json([[name, value] for name, value in request.headers if name not in source.secret_headers])
    if source.password_headers:
        # Imported here, because a source whose schemes are all signatures has no credentials to remove.
        from functions.receive.credential_removal import remove_credentials

        body, headers = remove_credentials(source, request, secrets, body, headers)
    raw: dict[str, str | None] = {}
    if body is not None:
        raw["rawtype"] = attribute_text(request.header("content-type") or "") or None
        try:
            raw["rawbody"] = body.decode("utf-8")
        except UnicodeDecodeError:
            raw["rawbase64"] = base64_text(body)
    if headers is not None:
        raw["rawheaders"] = headers.decode()
    return raw


# The identity of an event


@dataclass(slots=True, eq=False, repr=False)
class IdentifierByDelivery:
    """Identifies events by their delivery id, even if it is unsigned.

    The event id is the first 32 hex digits of the SHA-256 of a JSON array:

    [source, delivery id]                 if there is a delivery id
    [source, "signed", hash]              if there is none, and the request is signed: the hash is of the signed content
                                          and the signed time
    [source, hash of the payload]         if there is none, and the source has `dedupe: body`

    If nothing identifies the event, the id is random. `random_id` returns 32 hex digits. `signed` is None if no
    signature authenticated the request.
    """

    source: Source
    signed: SignedRequest | None
    random_id: Callable[[], str]

    def event(self, content: Content) -> Identity:
        """Return the identity of an event that is alone in its request."""
        delivery_id = _delivery_id(self.source, self.source.fact_locations.id, content.item)
        return Identity(self._event_id(delivery_id, content.payload_hash), delivery_id)

    def _event_id(self, delivery_id: str | None, payload_hash: str) -> str:
        if delivery_id:
            return event_id(self.source.name, delivery_id)
        if self.signed:
            if self.signed.time:
                return _hashed_id(self.source.name, "signed", self.signed.hash_with_time)
            # Whoever repeats a request and leaves out its unsigned id makes one more event, and not any number.
            if self.source.fact_locations.id:
                return _hashed_id(self.source.name, "signed", self.signed.content_hash)
        elif self.source.dedupe == "body":
            return event_id(self.source.name, payload_hash)
        return self.random_id()

    def batch(self, item: Item) -> Batch:
        """Return the identity of a batch, of whose request `item` is any item."""
        delivery_id = _delivery_id(self.source, self.source.fact_locations.id_of_batch, item)
        if delivery_id is not None:
            return Batch(delivery_id, _bounded(delivery_id), is_in_every_id=True)
        key = None
        if self.source.dedupe == "body":
            key = hashlib.sha256(item.request.body).hexdigest()
        elif self.signed and self.signed.time:
            key = self.signed.hash_with_time
        return Batch(delivery_id, key, is_in_every_id=False)

    def item(self, batch: Batch, content: Content, number: int) -> Identity:
        """Return the identity of item `number`, from 1, of the batch.

        The event id is made of the batch's key and of the item's own delivery id, or of its number if it has none. If
        the batch has no id, the item's own id is enough. An item's own id is found by the locations that look into it,
        alone or joined with others.
        """
        item_id = whole_fact(self.source.fact_locations.id_in_item, content.item)
        if item_id and not batch.is_in_every_id:
            own_id = event_id(self.source.name, item_id)
        elif batch.key is not None:
            own_id = _hashed_id(self.source.name, batch.key, item_id or number)
        else:
            own_id = self.random_id()
        return Identity(own_id, item_id or batch.delivery_id)


@dataclass(slots=True, eq=False, repr=False)
class IdentifierBySignature:
    """Identifies events by what the signature of their request covers. It has the methods of IdentifierByDelivery.

    The event id is the first 32 hex digits of the SHA-256 of a JSON array:

    [source, signed id]                           if there is a signed id
    [source, hash of the payload]                 if there is none, and the source has `dedupe: body`
    [source, "signed", hash of the signed bytes]  if there is none
    """

    source: Source
    signed: SignedRequest

    def event(self, content: Content) -> Identity:
        signed_id = whole_fact(self.signed.locations.id, content.item)
        if signed_id:
            own_id = event_id(self.source.name, signed_id)
        elif self.source.dedupe == "body":
            own_id = event_id(self.source.name, content.payload_hash)
        else:
            own_id = _hashed_id(self.source.name, "signed", self.signed.content_hash)
        delivery_id = _delivery_id(self.source, self.source.fact_locations.id, content.item)
        return self._identity(own_id, delivery_id, content, 0, has_signed_id=signed_id is not None)

    def batch(self, item: Item) -> Batch:
        delivery_id = _delivery_id(self.source, self.source.fact_locations.id_of_batch, item)
        signed_id = whole_fact(self.signed.locations.id_of_batch, item)
        if signed_id is not None:
            return Batch(delivery_id, _bounded(signed_id), is_in_every_id=True)
        if self.source.dedupe == "body":
            return Batch(delivery_id, self.signed.body_hash, is_in_every_id=False)
        return Batch(delivery_id, self.signed.content_hash, bool(self.source.fact_locations.id_of_batch))

    def item(self, batch: Batch, content: Content, number: int) -> Identity:
        signed_id = whole_fact(self.signed.locations.id_in_item, content.item)
        if signed_id and not batch.is_in_every_id:
            own_id = event_id(self.source.name, signed_id)
        elif self.signed.signs_items:
            own_id = _hashed_id(self.source.name, "signed", self.signed.item_hash(content.item.data))
        else:
            own_id = _hashed_id(self.source.name, batch.key, signed_id or number)
        delivery_id = whole_fact(self.source.fact_locations.id_in_item, content.item) or batch.delivery_id
        return self._identity(own_id, delivery_id, content, number, has_signed_id=signed_id is not None)

    def _identity(
        self, own_id: str, delivery_id: str | None, content: Content, number: int, *, has_signed_id: bool
    ) -> Identity:
        """Return the identity, with `signedas` if two events with different facts could have the same signed bytes.

        So they can if the signature does not cover all facts. They can also if there is no signed id, since the event
        id is then a hash without the signed time. `number` is that of an item, or 0 if the body is no batch.
        """
        is_all_signed = self.signed.body_decides_format and self.signed.locations.is_complete
        if is_all_signed and (has_signed_id or not self.signed.time):
            return Identity(own_id, delivery_id)
        if number and self.signed.signs_items:
            signed_part = self.signed.item_hash(content.item.data)
        else:
            signed_part = f"{self.signed.content_hash}/{number}"
        has_id = has_signed_id or delivery_id is not None
        other_facts: list[Json] = [
            own_id,
            delivery_id,
            default_type(content.item.data),
            content.payload_hash,
            "" if has_id else self.signed.time,
            content.facts.type,
            content.facts.subject,
            content.facts.actor,
            content.facts.time,
        ]
        if content.facts.action is not None:  # only then, so that other events keep the hash of earlier versions
            other_facts.append(content.facts.action)
        # Two requests with the same signed bytes and different `x-github-event` headers get `A.B` and `A.C`. Of such
        # events, transform accepts only the first.
        signed_hash = hashlib.sha256(signed_part.encode()).hexdigest()
        facts_hash = hashlib.sha256(texts_json(other_facts)).hexdigest()
        return Identity(own_id, delivery_id, signedas=f"{signed_hash[:32]}.{facts_hash[:32]}")


Identifier: TypeAlias = IdentifierByDelivery | IdentifierBySignature


def identifier_of(source: Source, signed: SignedRequest | None, body: Json, random_id: Callable[[], str]) -> Identifier:
    """Return what identifies the events of a request. `signed` is None if no signature authenticated the request.

    The delivery id identifies the events of a signed request, although it may be unsigned, where different events can
    have equal signed bytes: the source's `dedupe` or `repeats` says so.
    """
    if signed is None:
        return IdentifierByDelivery(source, signed, random_id)
    is_delivery_id_trusted = source.dedupe == "delivery_id"
    if not source.dedupe and source.repeats and isinstance(body, dict):
        parsed_fields = RequestFields(signed.fields.request, item=body)  # `signed.fields` would parse the body again
        is_delivery_id_trusted = any(parsed_fields.meets(conditions) for conditions in source.repeats)
    if is_delivery_id_trusted:
        return IdentifierByDelivery(source, signed, random_id)
    return IdentifierBySignature(source, signed)


def _hashed_id(*parts: Json) -> str:
    return hashlib.sha256(texts_json(list(parts))).hexdigest()[:32]


def _bounded(delivery_id: str) -> str:
    """Return the id, or its hash if it is long, since it is hashed again for each item."""
    return delivery_id if len(delivery_id) <= MAX_WHOLE else hashlib.sha256(texts_json(delivery_id)).hexdigest()


def _delivery_id(source: Source, choices: Choices, item: Item) -> str | None:
    """Return the delivery id at one of the locations, or that of a link; None if there is none."""
    link_id = _link_once(item) if source.takes_links else None
    return link_id or whole_fact(choices, item)


def _link_once(item: Item) -> str | None:
    """Return the `hc_once` of a link, which is the sender's id for its event; None if there is none."""
    if item.request.method != "GET":
        return None
    # Imported here, because few sources take links.
    from shared.signatures.links import once_of

    return once_of(item.request.query)
