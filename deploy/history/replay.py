"""Replays: the messages that publish a stored event or a dead letter again, and the blobs that they need."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from deploy.history.stored_messages import dataref_of, message_json
from shared import batching, errors, journal, ledger_rules
from shared.jsontext import JsonObject, to_json
from shared.ledger import Ledger
from shared.ports import DELIVERIES, EVENTS, Blobs, BusMessage

REPLAYABLE_TOPICS: Final = (EVENTS, DELIVERIES)
READ_AT_ONCE: Final = 16
_SUCCEEDED: Final = frozenset({ledger_rules.DELIVERED, ledger_rules.MERGED})
_MESSAGE_ATTRIBUTES: Final = ("id", "type", "source")
"""The CloudEvents attributes that each message of these topics has, in its JSON and beside it."""


def make_event_replay(document: JsonObject, replay_id: str, only: str | None = None, force: bool = False) -> BusMessage:
    """Return a message for the topic `events`.

    `only` names one destination; `force` also repeats finished deliveries, as a new generation.
    """
    attributes = _replay_attributes(document, replay_id)
    if only:
        attributes["only"] = only
    if force:
        attributes["force"] = "true"
    return BusMessage(to_json(document).encode(), attributes)


def make_dead_letter_replay(letter: journal.DeadLetter, replay_id: str, force: bool = False) -> BusMessage:
    """Return a message for the letter's own topic. `force` also repeats a delivery that succeeded since.

    Raises Permanent for a letter that is not replayable.
    """
    document = _replayable_document(letter)
    if document is None:
        raise errors.Permanent("not_replayable", f"the dead letter {letter.id!r} has no message that can be replayed")
    attributes = _replay_attributes(document, replay_id)
    if letter.topic == DELIVERIES:
        # The ledger has it as failed, which is finished: without force nothing would happen. An event is replayed
        # without force, because with it the routes that did not fail would deliver again.
        attributes["force"] = "true" if force else "failed"
    return BusMessage(letter.message, attributes)


async def delivered_since(ledger: Ledger, letters: Sequence[journal.DeadLetter]) -> frozenset[str]:
    """Return the ids of the dead letters whose deliveries succeeded since, by a replay. Raises Temporary."""
    found: set[str] = set()
    # The letter of a route has no destination: what the route delivered before, it does not deliver again.
    delivery_letters = [letter for letter in letters if letter.topic == DELIVERIES and letter.destination]
    for some in batching.batches(delivery_letters, READ_AT_ONCE):
        rows = await asyncio.gather(*(ledger.row(letter.event_id, letter.id) for letter in some))
        found.update(row.key for row in rows if row is not None and row.state in _SUCCEEDED)
    return frozenset(found)


def is_replayable(letter: journal.DeadLetter) -> bool:
    return _replayable_document(letter) is not None


async def restart_blob_expiry(messages: Iterable[bytes], blobs: Blobs) -> None:
    """Write the blobs of these stored events or deliveries again, so that they expire later. Raises Temporary."""
    names = dict.fromkeys(dataref_of(message) for message in messages)  # each name once, in the order of the messages
    for name in names:
        if not name:  # the data is in the message
            continue
        content = await blobs.get(name)
        if content is not None:
            await blobs.put(name, content)


def _replayable_document(letter: journal.DeadLetter) -> JsonObject | None:
    """Return the letter's event or delivery; None if it is of another topic, or its message is not a CloudEvent."""
    if letter.topic not in REPLAYABLE_TOPICS:
        return None
    document = message_json(letter.message)
    if not isinstance(document, dict):
        return None
    has_attributes = all(isinstance(document.get(name), str) for name in _MESSAGE_ATTRIBUTES)
    return document if has_attributes else None


def _replay_attributes(document: JsonObject, replay_id: str) -> dict[str, str]:
    return {f"ce-{name}": str(document[name]) for name in _MESSAGE_ATTRIBUTES} | {"replay": replay_id}
