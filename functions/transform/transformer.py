"""One pushed event: decided, then published to those it is owed to, then journaled."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from functions.transform.routes import Route
from functions.transform.signed_bytes import first_with_signed_bytes
from functions.transform.step import Services
from functions.transform.transform import Decision, Failed, Owed, decide
from shared.claim_check import checked_in, checked_out
from shared.dead_letters import dead_letter_message
from shared.delivery import DELIVERY_TYPE, Delivery, to_cloudevent_of
from shared.errors import Permanent
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.journal import DeadLetter, EventEntry, Journaling, RouteDecision
from shared.jsontext import to_json
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, Blobs, Bus, BusMessage, Clock, Owners
from shared.push import Push

CARRIED: Final = ("replay", "force")
"""What a replay says of itself that its deliveries say too."""


@dataclass(frozen=True, slots=True)
class Transformed:
    """`event` is as it travelled. `duplicate_of` is the event that had the same signed bytes before."""

    event: Event
    decision: Decision
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Transformer:
    """`owners` remembers which event was first with its signed bytes; None where the platform has no place for it."""

    routes: tuple[Route, ...]
    bus: Bus
    blobs: Blobs | None
    journaling: Journaling
    clock: Clock
    services: Services | None = None
    owners: Owners | None = None

    async def take(self, push: Push) -> Transformed:
        """Returns once the bus has confirmed what follows from the event.

        Raises Temporary (where a step did, the bus has confirmed what the other routes owe), and Permanent where the
        event as a whole is a dead letter, which the bus has confirmed.
        """
        event = await self._event(push)
        if self.owners and "force" not in push.attributes:
            first = await first_with_signed_bytes(event, self.owners)
            if first is not None:
                return await self._duplicate(event, first)
        try:
            whole = await checked_out(event, self.blobs)
            decision = await decide(whole, self.routes, self.services, push.attributes.get("only"))
        except Permanent as error:
            await self._give_up(event.id, error, push.data, event)
            raise
        now = self.clock.now()
        letters = [_letter(event, failed, push.data, now) for failed in decision.failed]
        light = [await self._travelling(owed, whole, event) for owed in decision.owed]
        await self._publish(letters, _messages(light, push.attributes, now))
        await self._journal(event, decision.routes, now)
        if decision.unfinished:
            raise decision.unfinished
        return Transformed(event, decision)

    async def _duplicate(self, event: Event, first: str) -> Transformed:
        """Routed nowhere. Its entry leaves that of the first, which may have the same id, as it is."""
        decision = RouteDecision("", False, duplicate_reason(first))
        entry_id = event.id
        if first == event.id:
            entry_id = _digest(f"{event.id}.{event.signedas}".encode())
        await self._journal(replace(event, id=entry_id), (decision,), self.clock.now())
        return Transformed(event, Decision((decision,), (), ()), first)

    async def _event(self, push: Push) -> Event:
        try:
            return from_cloudevent(push.document())
        except Permanent as error:
            await self._give_up(push.message_id or _digest(push.data), error, push.data)
            raise

    async def _give_up(self, dead_letter_id: str, error: Permanent, message: bytes, event: Event | None = None) -> None:
        now = self.clock.now()
        event_id = event.id if event else ""
        letter = DeadLetter(dead_letter_id, error.code, error.detail, now, message, EVENTS, event_id)
        await self.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
        if event:
            await self._journal(event, (RouteDecision("", False, error.detail, code=error.code),), now)

    async def _travelling(self, owed: Owed, whole: Event, travelled: Event) -> Owed:
        """What a chain left as it was travels as it came; what it made that is large goes to Blobs."""
        if owed.event is whole:
            return Owed(owed.route, travelled, owed.destinations)
        name = f"{owed.event.id}-{_digest(to_json(to_cloudevent(owed.event)).encode())}"
        light, _ = await checked_in(owed.event, self.blobs, name)
        return Owed(owed.route, light, owed.destinations)

    async def _publish(self, letters: list[DeadLetter], deliveries: list[BusMessage]) -> None:
        if letters:
            await self.bus.publish(DEAD_LETTERS, [dead_letter_message(letter) for letter in letters])
        if deliveries:
            await self.bus.publish(DELIVERIES, deliveries)

    async def _journal(self, event: Event, routes: tuple[RouteDecision, ...], now: float) -> None:
        await self.journaling.record(EventEntry(event, routes, now), event.id)


def duplicate_reason(first: str) -> str:
    return (
        f"same_signed_bytes: the event {first} came first with the same signed bytes, and what differs was signed by"
        " nobody. If its sender repeats bodies on purpose, set `dedupe: delivery_id` on the source"
    )


def _letter(event: Event, failed: Failed, message: bytes, now: float) -> DeadLetter:
    dead_letter_id = f"{event.id}:{failed.route}"
    reason = f"{failed.reason}; done before: {', '.join(failed.done)}" if failed.done else failed.reason
    return DeadLetter(dead_letter_id, failed.code, reason, now, message, EVENTS, event.id, failed.route)


def _messages(all_owed: list[Owed], attributes: Mapping[str, str], now: float) -> list[BusMessage]:
    carried = {name: attributes[name] for name in CARRIED if name in attributes}
    return [
        _message(Delivery(owed.event, owed.route, destination), carried, now)
        for owed in all_owed
        for destination in owed.destinations
    ]


def _message(delivery: Delivery, carried: Mapping[str, str], now: float) -> BusMessage:
    document = to_cloudevent_of(delivery, now)
    names = {"ce-id": delivery.id, "ce-type": DELIVERY_TYPE, "ce-source": f"/routes/{delivery.route}"}
    return BusMessage(to_json(document).encode(), {**names, **carried})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
