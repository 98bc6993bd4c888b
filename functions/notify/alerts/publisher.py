"""Publishing alerts: as deliveries on the bus, which their destinations gather.

A delivery's id follows from its alert, so an alert that is published again counts once. There is no loop, because no
alert is about an alert's own delivery or its digest, or is sent to the destination that it is about (settings.py).
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from functions.notify.alerts.alert import ALERT_SOURCE, MAX_NAME_CHARACTERS, ROUTE, Alert, alert_event
from functions.notify.alerts.settings import AlertSettings
from functions.notify.bounded_texts import cut
from shared.delivery import Delivery, delivery_from, delivery_message
from shared.errors import Permanent
from shared.event import MAX_HOPS, Event, event_json, from_cloudevent
from shared.journal import DeadLetter
from shared.jsontext import from_json
from shared.ports import DELIVERIES, EVENTS, Bus
from shared.times import rfc3339

SHOWN_ID: Final = 16
"""Characters of an id in a command: it finds what begins with them."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
"""No character of it is special in a shell."""
DAY_SECONDS: Final = 86_400.0


class AlertPublisher:
    """`where` is the options of a command that name this deployment's platform, after a space."""

    def __init__(self, settings: AlertSettings, bus: Bus, where: str = "") -> None:
        self.settings = settings
        self.where = where
        self._bus = bus

    async def publish(self, alert: Alert, to: Sequence[str]) -> None:
        """Publish the alert. Raises Temporary: it is to be published again."""
        if not to:
            return
        event = alert_event(alert)
        text, time = event_json(event), rfc3339(alert.at)
        deliveries = [Delivery(event, ROUTE, name) for name in to]
        await self._bus.publish(DELIVERIES, [delivery_message(each, text, time, {}) for each in deliveries])

    async def publish_for(self, letter: DeadLetter) -> None:
        """Publish the alert about a dead letter that is kept. Raises Temporary: the bus brings it again."""
        to = self.settings.recipients_for(letter.destination)
        cause = event_in(letter) if to else None
        if cause is not None and (cause.source == ALERT_SOURCE or cause.hops >= MAX_HOPS):
            return  # a webhook may lead an alert back to one of our sources, and its hops end that
        await self.publish(alert_of_letter(letter, cause.hops if cause else 0, self.where), to)


def event_in(letter: DeadLetter) -> Event | None:
    """Return the event that the dead letter is about; None where its message is none."""
    try:
        document = from_json(letter.message)
        return from_cloudevent(document) if letter.topic == EVENTS else delivery_from(document).event
    except (Permanent, ValueError, RecursionError):
        return None


def alert_of_letter(letter: DeadLetter, hops: int, where: str) -> Alert:
    """Return the alert. It is the same for the same message on the same day: a crash may make its dead letter twice."""
    content = hashlib.sha256(letter.message).hexdigest()[:SHOWN_ID]
    details = {"route": cut(letter.route, MAX_NAME_CHARACTERS), "code": letter.code, "event_id": letter.event_id}
    return Alert(
        kind="dead_letter",
        key=f"{letter.id}:{content}:{int(letter.at // DAY_SECONDS)}",
        at=letter.at,
        about=letter.destination,
        reason=letter.reason,
        command=f"hookchain {_shown_by(letter)}{where}",
        details={name: value or None for name, value in details.items()},
        hops=hops,
    )


def _shown_by(letter: DeadLetter) -> str:
    for command, found in (("events show", letter.event_id), ("dead-letters show", letter.id)):
        if _PLAIN.fullmatch(found[:SHOWN_ID]):
            return f"{command} {found[:SHOWN_ID]}"
    return "dead-letters list"
