"""The event's id: the same however often its sender repeats it."""

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

from functions.receive.locations import Choices, Seen, whole_text_of
from functions.receive.sources import Source
from shared.event import event_id
from shared.jsontext import Json, canonical

_IN_ITEM: Final = frozenset({"data", "beside"})
MAX_WHOLE: Final = 1_024
"""Characters of a delivery's id that stand themselves in the ids of its items; of a longer one, its hash does."""


class Identity(NamedTuple):
    """`delivery_id` is what the sender calls it."""

    id: str
    delivery_id: str | None


def identity(source: Source, seen: Seen, payload_hash: str, random_id: Callable[[], str]) -> Identity:
    """Of an event that is alone. `random_id` answers 32 hex digits."""
    delivery_id = _once(source, seen) or whole_text_of(source.id, seen)
    if delivery_id:
        return Identity(event_id(source.name, delivery_id), delivery_id)
    return Identity(event_id(source.name, payload_hash) if source.dedupe == "body" else random_id(), None)


class Batch(NamedTuple):
    """A body of several items. `delivery_id` is what its sender calls it, or the link that is for once; `key` stands
    for it in the ids of its items, and is the body's hash where nothing names it and that counts.

    Found once: in a megabyte of headers or of body, each of thousands of items would look for it anew.
    """

    delivery_id: str | None
    key: str | None


def batch_of(source: Source, seen: Seen) -> Batch:
    """What stands outside of the items, in a header or in the rest of the body, is the delivery's id."""
    delivery_id = _once(source, seen) or whole_text_of(_choices(source.id, within=False), seen)
    if delivery_id is not None:
        return Batch(delivery_id, _short(delivery_id))
    return Batch(None, hashlib.sha256(seen.request.body).hexdigest() if source.dedupe == "body" else None)


def item_identity(source: Source, batch: Batch, seen: Seen, number: int, random_id: Callable[[], str]) -> Identity:
    """Of item `number` (from 1): the delivery's id and its own, else its number.

    What stands within the item, alone or joined with what stands outside, is its own id, which is enough where the
    delivery has none.
    """
    own = whole_text_of(_choices(source.id, within=True), seen)
    if batch.delivery_id is None and own:
        return Identity(event_id(source.name, own), own)
    if batch.key is None:
        return Identity(random_id(), None)
    return Identity(_item_id(source.name, batch.key, own or number), own or batch.delivery_id)


def _item_id(source_name: str, key: str, own: Json) -> str:
    return hashlib.sha256(canonical([source_name, key, own])).hexdigest()[:32]


def _short(delivery_id: str) -> str:
    return delivery_id if len(delivery_id) <= MAX_WHOLE else hashlib.sha256(canonical(delivery_id)).hexdigest()


def _choices(choices: Choices, *, within: bool) -> Choices:
    return tuple(choice for choice in choices if any(each.place in _IN_ITEM for each in choice) is within)


def _once(source: Source, seen: Seen) -> str | None:
    if not source.takes_links or seen.request.method != "GET":
        return None
    from functions.receive.link import once_of  # where links are taken only

    return once_of(seen.request.query)
