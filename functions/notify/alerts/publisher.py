"""Publish alerts: messages to the operator about Hookchain itself, such as that an event became a dead letter.

Each alert becomes deliveries on the bus, one for each destination that gets it. A delivery's id follows from its alert,
so an alert that is published again is delivered once. Alerts cannot cause a loop of alerts: an alert is never about the
delivery or the digest of an alert, and never goes to a destination that it is about (see `_excluded`).
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
"""The number of characters of an id that a command shows. The command finds the only id that begins with them."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
"""A text that a shell takes as it is."""


class Silence(NamedTuple):
    """The alert about a source from which no event has come for `after_seconds`. `to` are its destinations.

    `lag_seconds`: how far the record of the source's last event may be behind.
    """

    after_seconds: float
    to: tuple[str, ...]
    lag_seconds: float = 0.0


class AlertSettings(NamedTuple):
    """The destinations that get alerts, and what each is alerted about.

    to          the destinations that get alerts; empty if there are only alerts about silence
    silences    the alerts about silence, by the source's name
    excluded    for each destination in `to`, the destinations that it gets no alerts about
    """

    to: tuple[str, ...]
    silences: Mapping[str, Silence]
    excluded: Mapping[str, frozenset[str]]

    def recipients_for(self, destination: str) -> tuple[str, ...]:
        return tuple(name for name in self.to if destination not in self.excluded[name])


class AlertPublisher:
    """Publishes alerts on the bus.

    `where` has the options with which a command acts on this deployment, such as ` --platform gcp`.
    """

    def __init__(self, settings: AlertSettings, bus: ports.Bus, where: str = "") -> None:
        self.settings = settings
        self.where = where
        self._bus = bus

    async def publish(self, alert: Alert, to: Sequence[str]) -> None:
        """Publish the alert. Raises Temporary if the bus does not take it: publish it again then."""
        if not to:
            return
        event = alert_event(alert)
        event_text = event_json(event)
        time = times.rfc3339(alert.at)
        deliveries = [delivery.Delivery(event, ROUTE, name) for name in to]
        messages = [delivery.delivery_message(each, event_text, time, {}) for each in deliveries]
        await self._bus.publish(ports.DELIVERIES, messages)

    async def publish_for(self, letter: journal.DeadLetter) -> None:
        """Publish the alert about a stored dead letter. After Temporary, the bus brings the dead letter again."""
        to = self.settings.recipients_for(letter.destination)
        cause = event_in(letter) if to else None
        # No alert about an alert. A webhook can send an alert back to one of our own sources as another event; the
        # number of its hops ends that.
        if cause is not None and (cause.source == ALERT_SOURCE or cause.hops >= MAX_HOPS):
            return
        await self.publish(alert_of_letter(letter, cause.hops if cause else 0, self.where), to)


def event_in(letter: journal.DeadLetter) -> Event | None:
    """Return the event that the dead letter is about; None if its message has no valid event."""
    try:
        document = from_json(letter.message)
        return from_cloudevent(document) if letter.topic == ports.EVENTS else delivery.delivery_from(document).event
    except (errors.Permanent, ValueError, RecursionError):
        return None


def alert_of_letter(letter: journal.DeadLetter, hops: int, where: str) -> Alert:
    """Return the alert. It has the same key for the same message on the same day.

    After a crash, a message can become a dead letter twice, but the operator gets one alert.
    """
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
    """Return the command that shows the event, or else the dead letter. An id must be safe to paste into a shell."""
    event_id = letter.event_id[:SHOWN_ID]
    if _PLAIN.fullmatch(event_id):
        return f"events show {event_id}"
    letter_id = letter.id[:SHOWN_ID]
    if _PLAIN.fullmatch(letter_id):
        return f"dead-letters show {letter_id}"
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
    return AlertSettings(to, silences, _excluded(to, destinations))


def _excluded(to: Sequence[str], destinations: Mapping[str, DeliveryOptions]) -> dict[str, frozenset[str]]:
    """Return the destinations that each destination in `to` gets no alerts about.

    These are all that can get its own alerts, or those of a destination after it in `to`. So the delivery of an alert
    can only cause alerts to destinations further down the list, which ends.
    """
    excluded: dict[str, frozenset[str]] = {}
    reached_from_here: frozenset[str] = frozenset()
    for name in reversed(to):
        reached_from_here |= _reached(name, destinations)
        excluded[name] = reached_from_here
    return excluded


def _reached(name: str, destinations: Mapping[str, DeliveryOptions]) -> frozenset[str]:
    """Return the destination, its `otherwise`, the `otherwise` of that one, and so on."""
    reached: set[str] = set()
    following: str | None = name
    while following is not None and following not in reached:
        reached.add(following)
        configured = destinations.get(following)
        following = configured.otherwise if configured else None
    return frozenset(reached)


def _names(written: Json) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", written))
