"""The identity of an event: its id, which is the same however often its sender repeats it, and whatever an unsigned
header says."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from functions.receive.fact_locations import SignedFacts
from functions.receive.facts import Facts, Item, default_type, whole_fact
from functions.receive.source import Source
from shared.event import event_id
from shared.jsontext import Json, JsonObject, texts_json
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import Conditions, RequestFields, first_value_at, text_of

MAX_WHOLE: Final = 1_024
"""The most characters of a delivery id from which its items' ids are made. A longer one is hashed first."""


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
