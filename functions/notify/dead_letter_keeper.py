"""The keeper of dead letters: ours, and those that Pub/Sub itself gave up on.

https://cloud.google.com/pubsub/docs/dead-letter-topics#track_delivery_attempts
"""

from typing import Final

from functions.notify.own_dead_letters import unreadable_letter
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
        document = push.document()
        is_from_bus = SUBSCRIPTION in push.attributes
        letter = undeliverable(push, document, now) if is_from_bus else dead_letter_from(document)
        _verify_writable(letter)
        return letter
    except Permanent as error:
        return unreadable_letter(content, error, DEAD_LETTERS, now)
    except UnicodeEncodeError:
        fault = Permanent("event", "the bus message has half of a surrogate pair in a name, so it has no id")
        return unreadable_letter(content, fault, DEAD_LETTERS, now)


def _verify_writable(letter: DeadLetter) -> None:
    """Raises UnicodeEncodeError here, and not where it is to be kept, which would be tried until the bus forgets it."""
    names = letter.id, letter.code, letter.reason, letter.topic, letter.event_id, letter.route, letter.destination
    "".join(names).encode()


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
