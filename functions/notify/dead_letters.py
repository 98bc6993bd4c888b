"""Dead letters: make those of notify, and store all of them. A dead letter is about a message that is not tried again.

notify publishes its dead letters to the topic DEAD_LETTERS, as receive and transform do. A message of this topic is

    a dead letter               of one of these functions
    an event, or a delivery     that the bus gave up on, because no function has acknowledged it
    a message of another system

Each of them becomes a dead letter in the journal (`letter_of_body`, `letter_of_message`), so that none is lost. If the
bus brings a message twice, the same dead letter is written again, with the same id.
"""

import hashlib
from dataclasses import replace
from typing import Final, NamedTuple

from shared.dead_letter_message import dead_letter_from, dead_letter_message
from shared.delivery import DELIVERY_TYPE, Delivery, delivery_from
from shared.errors import Permanent, PermanentCode, Temporary
from shared.event import from_cloudevent
from shared.journal import DeadLetter, Journal
from shared.jsontext import Json
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, Bus
from shared.push import Push, parse_push

SUBSCRIPTION: Final = "CloudPubSubDeadLetterSourceSubscription"
DELIVERY_COUNT: Final = "CloudPubSubDeadLetterSourceDeliveryCount"
"""The attributes that Pub/Sub adds to a message on which a subscription gave up.

https://cloud.google.com/pubsub/docs/dead-letter-topics#track_delivery_attempts
"""
MAX_UNREADABLE_BYTES: Final = 256 * 1024
"""The most bytes of a message that is not Hookchain's which are kept for people to look at."""


class DeadLetterReason(NamedTuple):
    """The reason for which a delivery gets no further attempt, and the code of its dead letter."""

    code: PermanentCode
    reason: str


async def publish_dead_letter(bus: Bus, letter: DeadLetter) -> None:
    """Publish the dead letter. A function stores it later (`keep_dead_letter`). Raises Temporary."""
    await bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])


async def keep_dead_letter(letter: DeadLetter, journal: Journal | None) -> None:
    """Write the dead letter into the journal. Raises Temporary if that fails: the bus then brings it again."""
    if journal is None:
        raise Temporary("journal_unavailable", "this platform's settings name no journal to keep dead letters in")
    await journal.record([letter])


def letter_of_body(body: bytes, now: float) -> DeadLetter:
    """Return the dead letter in the message that a push of Pub/Sub holds, or about the body if it holds none."""
    try:
        push = parse_push(body)
    except Permanent as error:
        return unreadable_letter(body, error, DEAD_LETTERS, now)
    given_up = None
    if subscription := push.attributes.get(SUBSCRIPTION):
        count = push.attributes.get(DELIVERY_COUNT, "several")
        given_up = f"the subscription {subscription!r} gave up after {count} tries"
    return letter_of_message(push, now, given_up)


def letter_of_message(push: Push, now: float, given_up: str | None) -> DeadLetter:
    """Return the dead letter in a message; for any other message, one about it.

    `given_up` is the reason why the bus gave up on an event, a delivery or another message. None: the bus did not.
    """
    try:
        document = push.document()
        letter = dead_letter_from(document) if given_up is None else undeliverable_letter(push, document, now, given_up)
        _verify_storable(letter)
        return letter
    except Permanent as error:
        fault = error
    except UnicodeEncodeError:
        fault = Permanent("malformed_event", "the bus message has half of a surrogate pair in a name, so it has no id")
    if given_up is None:
        return unreadable_letter(push.data, fault, DEAD_LETTERS, now)
    fault = Permanent(fault.code, f"{given_up}, and it is not a message of Hookchain: {fault.detail}")
    # With the message's id: two messages of another system may have the same text, and each of them is kept.
    return unreadable_letter(push.data, fault, DEAD_LETTERS, now, push.message_id)


def _verify_storable(letter: DeadLetter) -> None:
    """Raise UnicodeEncodeError for half of a surrogate pair, which the journal could not store.

    The journal's own error would be retried until the bus drops the message.
    """
    texts = letter.id, letter.code, letter.reason, letter.topic, letter.event_id, letter.route, letter.destination
    "".join(texts).encode()


def undeliverable_letter(push: Push, document: Json, now: float, reason: str) -> DeadLetter:
    """Return the dead letter of a delivery or an event after the bus has brought it as often as its policy allows.

    `document` is the content of the message. Raises Permanent (`malformed_event`).
    """
    if isinstance(document, dict) and document.get("type") == DELIVERY_TYPE:
        return delivery_letter(delivery_from(document), push.data, "undeliverable", reason, now)
    event = from_cloudevent(document)
    return DeadLetter(
        id=f"{event.id}:",  # `<event id>:<route>`, without a route: the event did not get as far as one
        code="undeliverable",
        reason=reason,
        at=now,
        message=push.data,
        topic=EVENTS,
        event_id=event.id,
    )


def delivery_letter(delivery: Delivery, message: bytes, code: PermanentCode, reason: str, now: float) -> DeadLetter:
    """Return the dead letter of a delivery. Its id is the delivery's, so a delivery has one at most.

    Its `event_id` is the id that the event had on arrival, before a step split it.
    """
    return DeadLetter(
        id=delivery.id,
        code=code,
        reason=reason,
        at=now,
        message=message,
        topic=DELIVERIES,
        event_id=delivery.event.origin,
        route=delivery.route,
        destination=delivery.destination,
    )


def conflict_letter(delivery: Delivery, message: bytes, now: float) -> DeadLetter:
    """Return the dead letter of an event with the delivery id of an earlier event.

    Its own id contains the payload's hash, because the delivery's id belongs to the earlier event.
    """
    rule = "an event with this delivery id came before, with another body"
    reason = f"{rule}: the sender repeats ids, or the source's `id` names what is not unique to an event"
    letter = delivery_letter(delivery, message, "delivery_id_reused", reason, now)
    return replace(letter, id=f"{delivery.id}:{delivery.event.payloadhash[:16]}")


def unreadable_letter(content: bytes, error: Permanent, topic: str, now: float, message_id: str = "") -> DeadLetter:
    """Return the dead letter of a message that is not Hookchain's. People can look at it; it cannot be replayed.

    Its id is a hash of `message_id` and the content: without `message_id`, equal messages have one dead letter.
    """
    dead_letter_id = hashlib.sha256(message_id.encode("utf-8", "replace") + content).hexdigest()
    return DeadLetter(
        id=dead_letter_id,
        code=error.code,
        reason=error.detail,
        at=now,
        message=content[:MAX_UNREADABLE_BYTES],
        topic=topic,
    )
