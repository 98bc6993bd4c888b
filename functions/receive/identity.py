"""The identity of an event: its id, which is the same however often its sender repeats it.

These words are used for ids:

    event id     the id of the event: 32 hex digits
    delivery id  the sender's own id for an event or a batch, signed or not: a text of the request, or the `hc_once` of
                 a link; None if the request has none
    signed id    the delivery id, read only from locations that the signature covers; None if those have no text

`identifier_of` decides once for a request how its events are identified. `IdentifierByDelivery` goes by the delivery
id, and `IdentifierBySignature` by the signed id, whatever an unsigned header says. Where there is no such id, both go
by a hash. Each has three methods: `event` for an event that is alone in its request, and for a batch, `batch` once and
then `item` for each of its items.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from functions.receive.facts import Facts, Item, SignedFacts, default_type, whole_fact
from functions.receive.source import Source
from shared.event import event_id
from shared.jsontext import Json, texts_json
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import Choices, RequestFields

MAX_WHOLE: Final = 1_024
"""The most characters of a delivery id from which its items' ids are made. A longer one is hashed first."""


class Content(NamedTuple):
    """The content of an event. `payload_hash` is the hash of the body, or of an item of a batch."""

    item: Item
    facts: Facts
    payload_hash: str


class Identity(NamedTuple):
    """The event id, and the attributes that come with it.

    signedas  a hash of what is signed, a full stop, and a hash of the rest; None if all of the event is signed. Of
              several events with the same signed part, transform accepts only the first
    """

    id: str
    delivery_id: str | None
    signedas: str | None = None


class Batch(NamedTuple):
    """The identity of a body with several items, which is found once, and not again in a megabyte for each item.

    delivery_id      the delivery id of the batch, which is outside its items
    key              the part of the items' event ids that names the batch: an id, or a hash; None if nothing identifies
                     the batch
    is_in_every_id   the key is also a part of the event ids of items that have a delivery id of their own, because
                     those are unique within the batch only
    """

    delivery_id: str | None
    key: str | None
    is_in_every_id: bool


@dataclass(eq=False, repr=False)
class SignedRequest:
    """A request that a signature authenticated, and hashes of what is signed.

    `body_decides_format` means that the body alone decided how it was parsed, so that no unsigned header could have it
    parsed otherwise.
    """

    source: Source
    auth: AuthScheme
    fields: RequestFields
    body_decides_format: bool

    @cached_property
    def locations(self) -> SignedFacts:
        """The locations that the signature covers. Most schemes cover the same ones in every request."""
        locations_in_every_request = self.source.signed_facts.get(self.auth)
        return locations_in_every_request or self.source.facts_signed_by(self.auth, self.fields.request)

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


@dataclass(slots=True, eq=False, repr=False)
class IdentifierByDelivery:
    """Identifies events by their delivery id, even if it is unsigned.

    The event id is the first 32 hex digits of the SHA-256 of a JSON array:

    [source, delivery id]                          if there is a delivery id
    [source, "signed", hash of content and time]   if there is none, and the request is signed with its time
    [source, "signed", hash of the content]        if it is signed without a time, but the source has a location of ids
    [source, hash of the payload]                  if it is not signed, and the source has `dedupe: body`

    If nothing identifies the event, the id is random. `random_id` returns 32 hex digits. `signed` is None if no
    signature authenticated the request. If one did, the source has no `dedupe: body`: see identifier_of.
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
            # This sender's requests have ids, so somebody may repeat this one without its unsigned id. That makes one
            # more event, and not one for each repeat. A sender without ids may send equal events, which all count.
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
        if self.signed:
            key = self.signed.hash_with_time if self.signed.time else None
        elif self.source.dedupe == "body":
            key = hashlib.sha256(item.request.body).hexdigest()
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
        # Where a sender names its batches, an item's own id is unique within its batch only. Without a signed name of
        # the batch, the hash of its content takes the place of the name.
        has_named_batches = bool(self.source.fact_locations.id_of_batch)
        return Batch(delivery_id, self.signed.content_hash, is_in_every_id=has_named_batches)

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

        This is possible if the signature does not cover all facts. It is also possible if a time is signed but no id,
        because the event id is then a hash without the time. `number` is that of an item, or 0 if the body is no batch.
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

    A signed request is identified by what is signed. An exception are sources whose different events can have equal
    signed bytes: those with `dedupe: delivery_id`, and requests that meet a condition in `repeats`. Of these, the
    delivery id tells the events apart, even if it is unsigned.
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
