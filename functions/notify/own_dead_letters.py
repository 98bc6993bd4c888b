"""The dead letters that notify writes itself. A redelivery writes the same one, under the same id."""

import hashlib
from dataclasses import replace
from typing import Final

from shared.delivery import Delivery
from shared.errors import Permanent
from shared.journal import DeadLetter
from shared.ports import DELIVERIES

MAX_UNREADABLE_BYTES: Final = 256 * 1024


def letter_of(delivery: Delivery, message: bytes, code: str, reason: str, now: float) -> DeadLetter:
    event_id, route, destination = delivery.event.origin, delivery.route, delivery.destination
    return DeadLetter(delivery.id, code, reason, now, message, DELIVERIES, event_id, route, destination)


def conflict_letter(delivery: Delivery, message: bytes, now: float) -> DeadLetter:
    """Its id holds the payload's hash: the delivery's own id belongs to what came first."""
    reason = "the sender used this delivery id before, with another body"
    letter = letter_of(delivery, message, "id_reuse", reason, now)
    return replace(letter, id=f"{delivery.id}:{delivery.event.payloadhash[:16]}")


def unreadable_letter(content: bytes, error: Permanent, topic: str, now: float) -> DeadLetter:
    """For what came by the topic and is nothing of ours: kept for a person to look at, and never sent on."""
    dead_letter_id = hashlib.sha256(content).hexdigest()
    return DeadLetter(dead_letter_id, error.code, error.detail, now, content[:MAX_UNREADABLE_BYTES], topic)
