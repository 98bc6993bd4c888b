"""Publishing alerts: each becomes deliveries on the bus, one for each destination that gets it.

A delivery's id follows from its alert, so an alert that is published again counts once. There is no loop, because no
alert is about an alert's own delivery or its digest, or is sent to a destination that it is about (`_excluded`).
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from functions.notify import bounded_texts
from functions.notify.alerts.alert import ALERT_SOURCE, MAX_NAME_CHARACTERS, ROUTE, Alert, alert_event
from functions.notify.registry import DeliveryOptions
from shared import delivery, errors, journal, ports, retention, times
from shared.event import MAX_HOPS, Event, event_json, from_cloudevent
from shared.jsontext import Json, JsonObject, from_json

SHOWN_ID: Final = 16
"""Characters of an id in a command: it finds what begins with them."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
"""No character of it is special in a shell."""


class Silence(NamedTuple):
    """A source is quiet once no event came for `after_seconds`. `to` are the destinations that get the alert.

    `lag_seconds`: how far the record may be behind the source's last event.
    """

    after_seconds: float
    to: tuple[str, ...]
    lag_seconds: float = 0.0


class AlertSettings(NamedTuple):
    """The destinations that get alerts, and what about.

    to          the destinations that get alerts; none if there are only alerts of silence
    silences    by the source's name
    excluded    for each destination in `to`, those that it gets no alerts about
    """

    to: tuple[str, ...]
    silences: Mapping[str, Silence]
    excluded: Mapping[str, frozenset[str]]

    def recipients_for(self, destination: str) -> tuple[str, ...]:
        return tuple(name for name in self.to if destination not in self.excluded[name])


class AlertPublisher:
    """`where` is the options of a command that name this deployment's platform, after a space."""

    def __init__(self, settings: AlertSettings, bus: ports.Bus, where: str = "") -> None:
        self.settings = settings
        self.where = where
        self._bus = bus

    async def publish(self, alert: Alert, to: Sequence[str]) -> None:
        """Publish the alert. Raises Temporary: it is to be published again."""
        if not to:
            return
        event = alert_event(alert)
        text, time = event_json(event), times.rfc3339(alert.at)
        deliveries = [delivery.Delivery(event, ROUTE, name) for name in to]
        await self._bus.publish(
            ports.DELIVERIES, [delivery.delivery_message(each, text, time, {}) for each in deliveries]
        )

    async def publish_for(self, letter: journal.DeadLetter) -> None:
        """Publish the alert about a dead letter that is kept. Raises Temporary: the bus brings it again."""
        to = self.settings.recipients_for(letter.destination)
        cause = event_in(letter) if to else None
        if cause is not None and (cause.source == ALERT_SOURCE or cause.hops >= MAX_HOPS):
            return  # a webhook may lead an alert back to one of our sources, and its hops end that
        await self.publish(alert_of_letter(letter, cause.hops if cause else 0, self.where), to)


def event_in(letter: journal.DeadLetter) -> Event | None:
    """Return the event that the dead letter is about; None if its message is none."""
    try:
        document = from_json(letter.message)
        return from_cloudevent(document) if letter.topic == ports.EVENTS else delivery.delivery_from(document).event
    except (errors.Permanent, ValueError, RecursionError):
        return None


def alert_of_letter(letter: journal.DeadLetter, hops: int, where: str) -> Alert:
    """Return the alert. It is the same for the same message on the same day: a crash may make its dead letter twice."""
    content = hashlib.sha256(letter.message).hexdigest()[:SHOWN_ID]
    details = {
        "route": bounded_texts.cut(letter.route, MAX_NAME_CHARACTERS),
        "code": letter.code,
        "event_id": letter.event_id,
    }
    return Alert(
        kind="dead_letter",
        key=f"{letter.id}:{content}:{int(letter.at // retention.DAY_SECONDS)}",
        at=letter.at,
        about=letter.destination,
        reason=letter.reason,
        command=f"hookchain {_shown_by(letter)}{where}",
        details={name: value or None for name, value in details.items()},
        hops=hops,
    )


def _shown_by(letter: journal.DeadLetter) -> str:
    """Return the command that shows the event or the dead letter; the listing if no id of them is safe in a shell."""
    for command, found in (("events show", letter.event_id), ("dead-letters show", letter.id)):
        if _PLAIN.fullmatch(found[:SHOWN_ID]):
            return f"{command} {found[:SHOWN_ID]}"
    return "dead-letters list"


def read_alert_settings(slice_: JsonObject, destinations: Mapping[str, DeliveryOptions]) -> AlertSettings | None:
    """Return the settings as the compiler wrote them; None if there are no alerts."""
    if "alerts" not in slice_:
        return None
    written = cast("JsonObject", slice_["alerts"])
    to = _names(written["to"])
    silences = {
        name: Silence(cast("float", each["after_seconds"]), _names(each["to"]), cast("float", each["lag_seconds"]))
        for name, each in cast("Mapping[str, JsonObject]", written.get("silence", {})).items()
    }
    excluded = {name: _excluded(to[number:], destinations) for number, name in enumerate(to)}
    return AlertSettings(to, silences, excluded)


def _excluded(names: Sequence[str], destinations: Mapping[str, DeliveryOptions]) -> frozenset[str]:
    """Return what the first of these gets no alerts about: where its own alerts go, and those of the ones after it.

    So a delivery of an alert can only cause alerts that go to destinations further down the list, and there is no loop.
    """
    return frozenset[str]().union(*[_reached(name, destinations) for name in names])


def _reached(name: str, destinations: Mapping[str, DeliveryOptions]) -> frozenset[str]:
    """Return where the destination's deliveries may end: there, or at what `otherwise` names."""
    reached: set[str] = set()
    following: str | None = name
    while following is not None and following not in reached:
        reached.add(following)
        configured = destinations.get(following)
        following = configured.otherwise if configured else None
    return frozenset(reached)


def _names(written: Json) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", written))
