"""The keeper of dead letters: ours, and those that Pub/Sub itself gave up on.

https://cloud.google.com/pubsub/docs/dead-letter-topics#track_delivery_attempts
"""

import hashlib
import json
from typing import Final

from functions.notify.letters import MAX_UNREADABLE_BYTES
from shared.dead_letters import dead_letter_from
from shared.delivery import DELIVERY_TYPE, delivery_from
from shared.errors import Permanent, Temporary
from shared.event import from_cloudevent
from shared.journal import DeadLetter, Journal
from shared.jsontext import Json
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS
from shared.push import Push, parse_push

SUBSCRIPTION: Final = "CloudPubSubDeadLetterSourceSubscription"
DELIVERY_COUNT: Final = "CloudPubSubDeadLetterSourceDeliveryCount"


async def keep_dead_letter(body: bytes, journal: Journal | None, now: float) -> DeadLetter:
    """Raises Temporary where it cannot be kept; the bus then keeps it."""
    if journal is None:
        raise Temporary("journal", "this platform's settings name no journal to keep dead letters in")
    letter = read_dead_letter(body, now)
    await journal.record([letter])
    return letter


def read_dead_letter(body: bytes, now: float) -> DeadLetter:
    """Whatever comes is kept, also what is neither: nothing that was given up on is dropped."""
    content = body
    try:
        push = parse_push(body)
        content = push.data
        document: Json = json.loads(content)
        return undeliverable(push, document, now) if SUBSCRIPTION in push.attributes else dead_letter_from(document)
    except Permanent as error:
        return _unreadable(content, error.code, error.detail, now)
    except (ValueError, RecursionError):
        return _unreadable(content, "event", "the bus message is not JSON", now)


def undeliverable(push: Push, document: Json, now: float) -> DeadLetter:
    """What Pub/Sub gave up on: a delivery or an event, pushed as often as its subscription's policy allows.

    Raises Permanent (`event`).
    """
    subscription, count = push.attributes[SUBSCRIPTION], push.attributes.get(DELIVERY_COUNT, "several")
    reason = f"the subscription {subscription!r} gave up after {count} tries"
    if isinstance(document, dict) and document.get("type") == DELIVERY_TYPE:
        delivery = delivery_from(document)
        names = delivery.event.origin, delivery.route, delivery.destination
        return DeadLetter(delivery.id, "undeliverable", reason, now, push.data, DELIVERIES, *names)
    event = from_cloudevent(document)
    return DeadLetter(f"{event.id}:", "undeliverable", reason, now, push.data, EVENTS, event.id)


def _unreadable(content: bytes, code: str, reason: str, now: float) -> DeadLetter:
    dead_letter_id = hashlib.sha256(content).hexdigest()
    return DeadLetter(dead_letter_id, code, reason, now, content[:MAX_UNREADABLE_BYTES], DEAD_LETTERS)
