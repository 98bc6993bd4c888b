"""The identity of an event: its id, which is the same however often its sender repeats it, and whatever an unsigned
header says.

These words are used for ids:

event id     the id of the event: 32 hex digits
delivery id  the sender's own id for an event or a batch, signed or not: a text of the request, or the `hc_once` of a
             link; None if the request has none
signed id    the delivery id, read only from locations that the signature covers; None if those have no text

Either the delivery id identifies all events of a request, or what the signature covers does: see identifying_signature.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from functions.receive.facts import Facts, Item, SignedFacts, default_type, whole_fact
from functions.receive.source import Source
from shared.event import event_id
from shared.jsontext import Json, JsonObject, texts_json
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import Conditions, RequestFields, first_value_at, text_of

MAX_WHOLE: Final = 1_024
"""The most characters of a delivery id from which its items' ids are made. A longer one is hashed first."""


class Identity(NamedTuple):
    """The event id, and the attributes that come with it. `signedas` is the attribute of this name in Event."""

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
        return self.auth.signed_time(self.fields)

    @property
    def signs_items(self) -> bool:
        """Return whether each item of a batch is signed by itself."""
        return bool(self.source.batch) and self.auth.items_path == self.source.batch

    def item_hash(self, item: Json) -> str:
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

    def needs_claim(self, *, has_signed_id: bool) -> bool:
        """Return whether the signature leaves room for two events with the same signed content.

        So it does if it does not cover everything. Without a signed id, the signed time is left out too: the event id
        is then a hash without it.
        """
        is_all_signed = self.by_body and self.locations.is_complete
        return not is_all_signed or (not has_signed_id and bool(self.time))

    def claim(
        self, own: Identity, item: Item, facts: Facts, payload_hash: str, number: int = 0, *, has_signed_id: bool
    ) -> str:
        """Return Event's `signedas`: half a hash of what was signed, a full stop, and half a hash of the event's facts.

        It is `A.B` for an event, and `A.C` if somebody repeats the signed bytes and changes a fact that is not signed.
        `number` is that of an item, from 1, or 0 if the body is no batch.
        """
        signed = self.item_hash(item.data) if number and self.signs_items else f"{self.content_hash}/{number}"
        time = "" if has_signed_id or own.delivery_id is not None else self.time
        claimed: list[Json] = [
            own.id,
            own.delivery_id,
            default_type(item.data),
            payload_hash,
            time,
            facts.type,
            facts.subject,
            facts.actor,
            facts.time,
        ]
        if facts.action is not None:  # only then, so that other events have the claim that earlier versions gave them
            claimed.append(facts.action)
        signed_hash = hashlib.sha256(signed.encode()).hexdigest()
        claimed_hash = hashlib.sha256(texts_json(claimed)).hexdigest()
        return f"{signed_hash[:32]}.{claimed_hash[:32]}"


def identifying_signature(signed: SignedRequest | None, body: Json) -> SignedRequest | None:
    """Return the signed request if only what its signature covers identifies its events.

    Return None if the delivery id does: nothing is signed, or the source goes by an id that may be unsigned.
    """
    return None if signed is None or signed.goes_by_delivery_id(body) else signed


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
    delivery_id = (_link_once(item) if source.takes_links else None) or sent_id
    signature = identifying_signature(signed, item.body)
    if signature is None:
        if delivery_id:
            own_id = event_id(source.name, delivery_id)
        elif signed is not None:
            own_id = signed.fallback_id(random_id)
        elif source.dedupe == "body":
            own_id = event_id(source.name, payload_hash)
        else:
            own_id = random_id()
        return Identity(own_id, delivery_id)
    is_id_signed = signature.locations.id == source.fact_locations.id
    signed_id = sent_id if is_id_signed else whole_fact(signature.locations.id, item)
    if signed_id:
        own_id = event_id(source.name, signed_id)
    elif source.dedupe == "body":
        own_id = event_id(source.name, payload_hash)
    else:
        own_id = _hashed_id(source.name, "signed", signature.content_hash)
    own = Identity(own_id, delivery_id)
    has_signed_id = signed_id is not None
    if not signature.needs_claim(has_signed_id=has_signed_id):
        return own
    claim = signature.claim(own, item, facts, payload_hash, has_signed_id=has_signed_id)
    return Identity(own.id, own.delivery_id, claim)


class Batch(NamedTuple):
    """The identity of a body with several items, which is found once, and not again in a megabyte for each item.

    delivery_id      that of the batch
    key              the part of the items' event ids that names the batch: an id, or a hash; None if nothing identifies
                     the batch
    is_in_every_id   the key is also a part of the event ids of items that have a delivery id of their own
    signature        as identifying_signature returns it
    """

    delivery_id: str | None
    key: str | None
    is_in_every_id: bool
    signature: SignedRequest | None


def batch_of(source: Source, item: Item, signed: SignedRequest | None) -> Batch:
    """Return a batch's identity. The delivery's id is outside the items, in a header or elsewhere in the body."""
    link_id = _link_once(item) if source.takes_links else None
    delivery_id = link_id or whole_fact(source.fact_locations.id_of_batch, item)
    signature = identifying_signature(signed, item.body)
    batch_id = whole_fact(signature.locations.id_of_batch, item) if signature else delivery_id
    if batch_id is not None:
        return Batch(delivery_id, _bounded(batch_id), True, signature)
    if source.dedupe == "body":
        return Batch(delivery_id, hashlib.sha256(item.request.body).hexdigest(), False, signature)
    if signature:
        return Batch(delivery_id, signature.content_hash, bool(source.fact_locations.id_of_batch), signature)
    key = signed.hash_with_time if signed and signed.time else None
    return Batch(delivery_id, key, False, signature)


def item_identity(
    source: Source,
    batch: Batch,
    item: Item,
    facts: Facts,
    number: int,
    payload_hash: str,
    random_id: Callable[[], str],
) -> Identity:
    """Return the identity of item `number` (from 1).

    The event id is made of the batch's key and of the item's own id, or of its number if it has none. If the batch has
    no id, the item's own id is enough. An item's own id is found by the locations that look into it, alone or joined
    with others.
    """
    signature = batch.signature
    sent_id = whole_fact(source.fact_locations.id_in_item, item)
    item_id = whole_fact(signature.locations.id_in_item, item) if signature else sent_id
    if item_id and not batch.is_in_every_id:
        own_id = event_id(source.name, item_id)
    elif signature and signature.signs_items:
        own_id = _hashed_id(source.name, "signed", signature.item_hash(item.data))
    elif batch.key is not None:
        own_id = _hashed_id(source.name, batch.key, item_id or number)
    else:
        own_id = random_id()
    own = Identity(own_id, sent_id or batch.delivery_id)
    has_signed_id = item_id is not None
    if signature is None or not signature.needs_claim(has_signed_id=has_signed_id):
        return own
    claim = signature.claim(own, item, facts, payload_hash, number, has_signed_id=has_signed_id)
    return Identity(own.id, own.delivery_id, claim)


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
