"""The delivery: one event owed to one destination by one route; and what came of an attempt at it."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from shared.errors import Permanent, PermanentCode
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.jsontext import Json, JsonObject, canonical
from shared.times import rfc3339

DELIVERY_TYPE: Final = "hookchain.delivery"


@dataclass(frozen=True, slots=True)
class Delivery:
    """`event` is as the route's steps left it."""

    event: Event
    route: str
    destination: str

    @property
    def id(self) -> str:
        """Return the idempotency key. It holds the names, so a renamed route or destination starts new history."""
        return _delivery_id(self.event.id, self.route, self.destination)


@lru_cache(maxsize=1_024)  # one delivery is asked for it several times
def _delivery_id(event_id: str, route: str, destination: str) -> str:
    return hashlib.sha256(canonical([event_id, route, destination])).hexdigest()


def to_cloudevent_of(delivery: Delivery, now: float) -> JsonObject:
    return {
        "specversion": "1.0",
        "id": delivery.id,
        "source": f"/routes/{delivery.route}",
        "type": DELIVERY_TYPE,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": {
            "event": to_cloudevent(delivery.event),
            "route": delivery.route,
            "destination": delivery.destination,
        },
    }


def delivery_from(document: Json) -> Delivery:
    """Raises Permanent (`malformed_event`) for what is not a delivery of ours."""
    data = document.get("data") if isinstance(document, dict) and document.get("type") == DELIVERY_TYPE else None
    if not isinstance(data, dict):
        raise Permanent(
            "malformed_event", f"a delivery is a CloudEvent of type {DELIVERY_TYPE!r} whose data is an object"
        )
    route, destination = data.get("route"), data.get("destination")
    if not isinstance(route, str) or not isinstance(destination, str):
        raise Permanent("malformed_event", "a delivery's data names its 'route' and its 'destination'")
    return Delivery(from_cloudevent(data.get("event")), route, destination)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination's provider took it."""

    answer: str = ""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The destination's trouble, perhaps a passing one. `after_seconds`, where it said how long, is a lower bound.

    `pause_destination_seconds`: the trouble is not this delivery's, and no other need be tried sooner.
    """

    reason: str
    after_seconds: float | None = None
    answer: str = ""
    pause_destination_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A request that was sent and got no answer: the destination may have accepted it or not.

    It is neither delivered nor failed. See functions/notify/retry.py for what follows.
    """

    reason: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never take this delivery: a dead letter with this code."""

    code: PermanentCode
    reason: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Disabled:
    """It takes nothing until an operator acts: what is owed to it is held, not retried. `reason` says the act."""

    reason: str
    answer: str = ""


Outcome: TypeAlias = Delivered | RetryLater | Unknown | Refused | Disabled
