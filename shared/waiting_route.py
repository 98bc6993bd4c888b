"""A route that waits: a step of it asked a system that did not answer, and this route alone runs again later.

transform publishes a message about the wait to `deliveries`. notify stores the wait as a row of the ledger. Once it is
due, notify publishes the event to `events` with the attributes ROUTE, RUN, TRIES and SINCE. transform then runs this
route alone.

The message has the form of a delivery with the destination ROUTE_ITSELF, so its key differs from those of deliveries. A
notify of an earlier version does not know this destination, and makes a dead letter of the message. A replay of that
dead letter runs the route.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from shared import delivery, errors, jsontext, ports, times

ROUTE: Final = "route"
RUN: Final = "run"
TRIES: Final = "tries"
SINCE: Final = "since"
KEPT_ATTRIBUTES: Final = ("replay", "force", "only")
"""Attributes of a replayed event that each of its runs has."""
RETRY_SECONDS: Final = (5, 30, 120, 300, 600, 1_200, 1_800, *[3_600] * 15)
"""The default waits between the tries of a route: 16 hours."""
PROBE_SECONDS: Final = 5.0
"""The wait of a route while another one asks a system first whose pause is over."""


@dataclass(frozen=True, slots=True)
class WaitingRoute:
    """The wait of a route for an event.

    Times are Unix seconds.

    reason              why it waits, with the names of the route and its step
    run                 the number of the run that ended so, from 1
    tries               the number of times that the system was asked without success
    since               the time at which the first run began, in whole seconds
    began_at, ended_at  the times of this run
    retry_seconds       the waits between tries, as the step sets them; None for the default
    until               if the system was not asked, so that no try is counted, the time until which the route waits;
                        None if the system was asked
    attributes          those of KEPT_ATTRIBUTES that the event's message had
    """

    reason: str
    run: int
    tries: int
    since: int
    began_at: float
    ended_at: float
    retry_seconds: Sequence[float] | None = None
    until: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def waiting_message(event_id: str, event: bytes, route: str, waiting: WaitingRoute) -> ports.BusMessage:
    """Return the message that lets the route wait. `event` is the JSON of the event as it travels."""
    time, document = times.rfc3339(waiting.ended_at), asdict(waiting)
    [message] = delivery.delivery_messages(event_id, event, route, (delivery.ROUTE_ITSELF,), time, {}, waiting=document)
    return message


def waiting_from(message: jsontext.Json) -> WaitingRoute:
    """Return the wait that a delivery to ROUTE_ITSELF has. Raises Permanent (`malformed_event`)."""
    document = jsontext.mapping_at(message, "data", "waiting")
    retry, until = document.get("retry_seconds"), document.get("until")
    waits = [float(each) for each in retry if isinstance(each, int | float)] if isinstance(retry, list) else None
    kept = jsontext.mapping_at(document, "attributes")
    return WaitingRoute(
        reason=str(document.get("reason", "")),
        run=int(_positive(document, RUN)),
        tries=int(_positive(document, TRIES)),
        since=int(_positive(document, SINCE)),
        began_at=_positive(document, "began_at"),
        ended_at=_positive(document, "ended_at"),
        retry_seconds=waits,
        until=None if until is None else _positive(document, "until"),
        attributes={name: text for name in KEPT_ATTRIBUTES if isinstance(text := kept.get(name), str)},
    )


def _positive(document: jsontext.JsonObject, name: str) -> float:
    value = document.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise errors.Permanent("malformed_event", f"a waiting route's {name!r} is a number that is not negative")
    return float(value)


@dataclass(frozen=True, slots=True)
class RouteRun:
    """A run of one route alone. The fields are those of WaitingRoute; 0 if the message does not have them."""

    route: str
    run: int
    tries: int
    since: int


def route_run(attributes: Mapping[str, str]) -> RouteRun | None:
    """Return the run that an event's message asks for; None if all routes run."""
    route = attributes.get(ROUTE)
    if route is None:
        return None
    return RouteRun(route, _number(attributes, RUN), _number(attributes, TRIES), _number(attributes, SINCE))


def _number(attributes: Mapping[str, str], name: str) -> int:
    text = attributes.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
