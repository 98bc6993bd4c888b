"""The event's id: the same however often its sender repeats it, and whatever an unsigned header says."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from functions.receive.locations import Choice, Choices, Seen, default_type, text_of, value_at, whole_text_of
from functions.receive.signed_part import SignedPart
from functions.receive.sources import Source
from shared.event import event_id
from shared.http import Request
from shared.jsontext import Json, canonical
from shared.signatures.places import Place
from shared.signatures.reading import Reading
from shared.signatures.reading import text_of as text_at
from shared.signatures.way import Way

_IN_ITEM: Final = frozenset({"data", "beside"})
MAX_WHOLE: Final = 1_024
"""Characters of a delivery's id that stand themselves in the ids of its items; of a longer one, its hash does."""


class Identity(NamedTuple):
    """`delivery_id` is what the sender calls it. `signedas` is Event's."""

    id: str
    delivery_id: str | None
    signedas: str | None = None


@dataclass(frozen=True)
class SignedRequest:
    """A request that a signature proved. `by_body`: no header could have its body read as another format."""

    source: Source
    part: SignedPart
    by_body: bool

    @classmethod
    def of(cls, source: Source, request: Request, url: str, way: Way, by_body: bool) -> "SignedRequest":
        unpacked = source.unpack[0][0].path[-1] if source.unpack else ""
        return cls(source, SignedPart(Reading(request, url), way, unpacked), by_body)

    @cached_property
    def content_hash(self) -> str:
        return hashlib.sha256(self.part.content).hexdigest()

    @property
    def signs_items(self) -> bool:
        """Whether each item of a batch is signed by itself."""
        return self.part.way.each is not None and self.part.way.each.path == self.source.batch

    def hash_of(self, item: Json) -> str:
        return hashlib.sha256(self.part.content_of(item)).hexdigest()

    @cached_property
    def hash_with_time(self) -> str:
        return hashlib.sha256(canonical([self.content_hash, self.part.time])).hexdigest()

    def covers(self, choice: Choice) -> bool:
        return all(self.part.covers(location.place, location.path) for location in choice)

    def text_of(self, choices: Choices, seen: Seen) -> str | None:
        """The first text that is signed. An unsigned place ends the search, even where nothing stands there: whoever
        repeats the request could fill or empty it, and have another id chosen."""
        for choice in choices:
            if not self.covers(choice):
                return None
            if text := whole_text_of((choice,), seen):
                return text
        return None

    def goes_by_delivery_id(self, body: Json) -> bool:
        """Whether its sender's id counts although nobody signed it: the signed bytes may be another event's too."""
        if self.source.dedupe:
            return self.source.dedupe == "delivery_id"
        return any(_holds(when, body) for when in self.source.repeats)

    def fallback(self, random_id: Callable[[], str]) -> str:
        """The id of an event that goes by its delivery id and has none."""
        if self.part.time:
            return _signed_id(self.source.name, self.hash_with_time)
        return _signed_id(self.source.name, self.content_hash) if self.source.id else random_id()

    def claim(self, seen: Seen, own: Identity, payload_hash: str, number: int, by_hash: bool) -> str | None:
        """Event's `signedas`; None where everything that can matter is signed. `number`: of an item, from 1; else 0.
        `by_hash`: the event's id is the hash of what was signed."""
        source, part = self.source, self.part
        facts = (source.type, source.subject, source.actor, source.time, source.id)
        are_signed = all(self.covers(choice) for choices in facts for choice in choices)
        if are_signed and part.covers_body and self.by_body and not (by_hash and part.time):
            return None
        texts: list[Json] = [text_of(choices, seen) for choices in facts[:-1]]
        time = part.time if by_hash and own.delivery_id is None else ""
        told = [own.id, own.delivery_id, default_type(seen.data), payload_hash, time, *texts]
        signed = self.hash_of(seen.data) if number and self.signs_items else f"{self.content_hash}/{number}"
        key = hashlib.sha256(signed.encode())
        return f"{key.hexdigest()[:32]}.{hashlib.sha256(canonical(told)).hexdigest()[:32]}"


def _holds(when: tuple[tuple[Place, str | bool], ...], body: Json) -> bool:
    for place, wanted in when:
        text = text_at(value_at(place.path, body)) if isinstance(body, dict) else None
        if (text != wanted) if isinstance(wanted, str) else (bool(text) is not wanted):
            return False
    return True


def identity(
    source: Source, seen: Seen, payload_hash: str, random_id: Callable[[], str], signed: SignedRequest | None = None
) -> Identity:
    """Of an event that is alone. `random_id` answers 32 hex digits."""
    delivery_id = _once(source, seen) or whole_text_of(source.id, seen)
    if signed is None:
        if delivery_id:
            return Identity(event_id(source.name, delivery_id), delivery_id)
        return Identity(event_id(source.name, payload_hash) if source.dedupe == "body" else random_id(), None)
    if signed.goes_by_delivery_id(seen.body):
        return Identity(event_id(source.name, delivery_id) if delivery_id else signed.fallback(random_id), delivery_id)
    if name := signed.text_of(source.id, seen):
        own = Identity(event_id(source.name, name), delivery_id)
    elif source.dedupe == "body":
        own = Identity(event_id(source.name, payload_hash), delivery_id)
    else:
        own = Identity(_signed_id(source.name, signed.content_hash), delivery_id)
    return own._replace(signedas=signed.claim(seen, own, payload_hash, 0, name is None))


class Batch(NamedTuple):
    """A body of several items. `delivery_id` is what its sender calls it, or the link that is for once; `key` stands
    for it in the ids of its items, and is a hash where nothing names it and that counts. `always`: the key stands in
    the ids of items that have one of their own too.

    Found once: in a megabyte of headers or of body, each of thousands of items would look for it anew.
    """

    delivery_id: str | None
    key: str | None
    always: bool


def batch_of(source: Source, seen: Seen, signed: SignedRequest | None = None) -> Batch:
    """What stands outside of the items, in a header or in the rest of the body, is the delivery's id."""
    outside = _choices(source.id, within=False)
    delivery_id = _once(source, seen) or whole_text_of(outside, seen)
    named = delivery_id
    if signed and not signed.goes_by_delivery_id(seen.body):
        named = signed.text_of(outside, seen)
    if named is not None:
        return Batch(delivery_id, _short(named), always=True)
    if source.dedupe == "body":
        return Batch(delivery_id, hashlib.sha256(seen.request.body).hexdigest(), always=False)
    if signed is None:
        return Batch(delivery_id, None, always=False)
    if signed.goes_by_delivery_id(seen.body):
        return Batch(delivery_id, signed.hash_with_time if signed.part.time else None, always=False)
    return Batch(delivery_id, signed.content_hash, always=bool(outside))


def item_identity(
    source: Source,
    batch: Batch,
    seen: Seen,
    number: int,
    payload_hash: str,
    random_id: Callable[[], str],
    signed: SignedRequest | None = None,
) -> Identity:
    """Of item `number` (from 1): the delivery's id and its own, else its number.

    What stands within the item, alone or joined with what stands outside, is its own id, which is enough where the
    delivery has none.
    """
    within = _choices(source.id, within=True)
    readable = whole_text_of(within, seen)
    is_signed = signed is not None and not signed.goes_by_delivery_id(seen.body)
    own = signed.text_of(within, seen) if signed and is_signed else readable
    delivery_id = readable or batch.delivery_id
    if own and not batch.always:
        found = Identity(event_id(source.name, own), delivery_id)
    elif signed and is_signed and signed.signs_items:
        found = Identity(_signed_id(source.name, signed.hash_of(seen.data)), delivery_id)
    elif batch.key is not None:
        found = Identity(_item_id(source.name, batch.key, own or number), delivery_id)
    else:
        return Identity(random_id(), delivery_id)
    if signed is None or not is_signed:
        return found
    return found._replace(signedas=signed.claim(seen, found, payload_hash, number, own is None))


def _item_id(source_name: str, key: str, own: Json) -> str:
    return hashlib.sha256(canonical([source_name, key, own])).hexdigest()[:32]


def _signed_id(source_name: str, content_hash: str) -> str:
    return hashlib.sha256(canonical([source_name, "signed", content_hash])).hexdigest()[:32]


def _short(delivery_id: str) -> str:
    return delivery_id if len(delivery_id) <= MAX_WHOLE else hashlib.sha256(canonical(delivery_id)).hexdigest()


def _choices(choices: Choices, *, within: bool) -> Choices:
    return tuple(choice for choice in choices if any(each.place in _IN_ITEM for each in choice) is within)


def _once(source: Source, seen: Seen) -> str | None:
    if not source.takes_links or seen.request.method != "GET":
        return None
    from functions.receive.link import once_of  # where links are taken only

    return once_of(seen.request.query)
