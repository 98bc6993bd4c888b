"""The delivery: one event owed to one destination by one route; and the outcome of an attempt at it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from shared import errors, ports
from shared.event import Event, from_cloudevent
from shared.jsontext import Json, JsonObject, texts_json
from shared.subscribers.names import SEPARATOR

DELIVERY_TYPE: Final = "hookchain.delivery"
ROUTE_ITSELF: Final = "(route)"
"""The destination of a message that runs a waiting route again (waiting_route.py). No destination has this name."""
REMEMBERED_SECONDS: Final = 45 * 86_400.0
"""The time for which a duplicate is recognised: of a request from when it was accepted, of a delivery from when it was
final."""


@dataclass(slots=True)
class Delivery:
    """One event, as the route's steps returned it, for one destination.

    id           the idempotency key. It depends on the names, so a renamed route or destination begins a new history
    destination  the name of a configured destination, or of a subscriber's endpoint (shared/subscribers/names.py)
    merged       the number of deliveries that a digest or a burst stands for; 0 for any other delivery
    after        in a fan-out to subscribers, the tenant and endpoint (`acme:ep_…`) after which this page of endpoints
                 begins; empty for the first page
    """

    event: Event
    route: str
    destination: str
    id: str = field(init=False)
    merged: int = 0
    after: str = ""

    def __post_init__(self) -> None:
        self.id = delivery_id(self.event.id, self.route, self.destination, self.after)


def delivery_id(event_id: str, route: str, destination: str, after: str = "") -> str:
    """Return the idempotency key: SHA-256 over the JSON array of the event's id and the names."""
    # An endpoint's name has three parts: [event id, route, destination, tenant, endpoint].
    parts: list[Json] = [event_id, route, *destination.split(SEPARATOR)]
    if after:
        parts.append(after)
    return hashlib.sha256(texts_json(parts)).hexdigest()


def delivery_message(delivery: Delivery, event: bytes, time: str, attributes: Mapping[str, str]) -> ports.BusMessage:
    """Return the message that carries the delivery. `event` is the JSON of its event as it travels."""
    [message] = delivery_messages(
        delivery.event.id,
        event,
        delivery.route,
        (delivery.destination,),
        time,
        attributes,
        merged=delivery.merged,
        after=delivery.after,
    )
    return message


def delivery_messages(
    event_id: str,
    event: bytes,
    route: str,
    destinations: Iterable[str],
    time: str,
    attributes: Mapping[str, str],
    *,
    merged: int = 0,
    after: str = "",
    waiting: JsonObject | None = None,
) -> list[ports.BusMessage]:
    """Return the messages that carry an event to these destinations, each of them a CloudEvent:

        {"specversion": "1.0", "id": "<the idempotency key>", "time": …, "source": "/routes/<route>",
         "type": "hookchain.delivery", "datacontenttype": "application/json",
         "data": {"route": …, "destination": …, "merged": …, "waiting": …, "after": …, "event": {…}}}

    event       the event's JSON as it travels. It is not parsed and written again, because it may have 200 KB
    time        the time of the messages, in RFC 3339
    attributes  attributes of the messages, besides those of the CloudEvent
    waiting     a waiting route, as JSON; None for a delivery
    """
    options: JsonObject = {"merged": merged, "waiting": waiting, "after": after}
    written_options = {name: value for name, value in options.items() if value}
    source = f"/routes/{route}"
    messages = []
    for destination in destinations:
        key = delivery_id(event_id, route, destination, after)
        document: JsonObject = {
            "specversion": "1.0",
            "id": key,
            "time": time,
            "source": source,
            "type": DELIVERY_TYPE,
            "datacontenttype": "application/json",
            "data": {"route": route, "destination": destination, **written_options},
        }
        # Only `waiting` has floats, which are read as the same numbers however they are written.
        without_braces = texts_json(document)[:-2]  # those of `data` and of the document
        content = b'%b,"event":%b}}' % (without_braces, event)
        own = {"ce-id": key, "ce-type": DELIVERY_TYPE, "ce-source": source}
        messages.append(ports.BusMessage(content, {**own, **attributes}))
    return messages


def delivery_from(document: Json) -> Delivery:
    """Return the delivery in a message. Raises Permanent (`malformed_event`) if there is none."""
    data = document.get("data") if isinstance(document, dict) and document.get("type") == DELIVERY_TYPE else None
    if not isinstance(data, dict):
        raise errors.Permanent(
            "malformed_event", f"a delivery is a CloudEvent of type {DELIVERY_TYPE!r} whose data is an object"
        )
    route = data.get("route")
    destination = data.get("destination")
    merged = data.get("merged", 0)
    after = data.get("after", "")
    if not isinstance(route, str) or not isinstance(destination, str):
        raise errors.Permanent("malformed_event", "a delivery's data names its 'route' and its 'destination'")
    if not isinstance(merged, int) or isinstance(merged, bool) or merged < 0:
        raise errors.Permanent("malformed_event", "a delivery's 'merged' is a number of deliveries")
    if not isinstance(after, str):
        raise errors.Permanent("malformed_event", "a delivery's 'after' is the name of an endpoint")
    return Delivery(from_cloudevent(data.get("event")), route, destination, merged=merged, after=after)


# Not frozen, because a frozen dataclass takes twice as long to create. Nothing changes it.
@dataclass(slots=True)
class Delivered:
    """The destination accepted the delivery.

    disable_reason  the reason why it gets no further one until an operator acts; empty if it does
    """

    answer: str = ""
    disable_reason: str = ""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The attempt failed, and a later one may succeed.

    after_seconds              the shortest wait, as the destination asked for; None if it did not ask
    pause_destination_seconds  the time for which no delivery to the destination is attempted, because the fault affects
                               all of them; None if it may not affect others
    """

    reason: str
    after_seconds: float | None = None
    answer: str = ""
    pause_destination_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request was sent and got no answer, so the destination may have accepted it or not.

    functions/notify/waiting/schedule.py decides whether it is sent again.
    """

    reason: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The destination will never accept the delivery, which becomes a dead letter with this code."""

    code: errors.PermanentCode
    reason: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Disabled:
    """The destination accepts nothing until an operator acts, so its deliveries are held and not retried.

    reason        the action that is needed
    names_resume  whether `reason` also names the command `hookchain resume`, which follows the action
    """

    reason: str
    answer: str = ""
    names_resume: bool = False


Outcome: TypeAlias = Delivered | RetryLater | Unknown | Failed | Disabled
