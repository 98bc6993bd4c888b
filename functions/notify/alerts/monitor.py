"""The sweep's check of sources and destinations, each minute at most: which of them stand still, or work again.

There is one record for each source, and one for all destinations. A check does this with a record:

    decide   which alerts are pending: a change of the record decides about each one, and so decides it once
    publish  each of them
    mark     them as published

A sweep that dies in between leaves an alert pending, and the next one publishes it under the same id. The functions
that decide and mark are pure, in quiet_sources.py and paused_destinations.py: they take the text of a record, and
return their answer and the record to keep if it changes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from functions.notify.alerts import paused_destinations, publisher, quiet_sources
from shared import batching, errors, ledger_rules, ports, store_ports
from shared.ledger import Ledger
from shared.seen_record import seen_record

EVERY_SECONDS: Final = 50.0
"""Less than the minute after which the scheduler's next sweep comes."""
DESTINATIONS: Final = "alerts:destinations"
Answer = TypeVar("Answer")


class Monitor:
    """The check of one process, which each of its sweeps calls.

    `destinations` are the names of all destinations, of which those are checked whose alerts have recipients. `records`
    opens the store when it is first called.
    """

    def __init__(
        self,
        alerts: publisher.AlertPublisher,
        destinations: Sequence[str],
        ledger: Ledger,
        records: Callable[[], store_ports.Records],
        clock: ports.Clock,
    ) -> None:
        self._alerts = alerts
        self._destinations = [name for name in destinations if alerts.settings.recipients_for(name)]
        self._ledger = ledger
        self._records = records
        self._clock = clock
        self._checked_at: float | None = None

    async def check(self) -> None:
        """Publish the alerts about all sources and destinations, unless the last check began within EVERY_SECONDS.

        Raises the first Temporary after all others were checked. What was not published is published by another sweep.
        """
        now = self._clock.now()
        if self._checked_at is not None and self._checked_at <= now < self._checked_at + EVERY_SECONDS:
            return
        self._checked_at = now
        checks = [self._check_source(name) for name in self._alerts.settings.silences]
        if self._destinations:
            checks.append(self._check_destinations())
        for fault in await batching.await_all(map(_answer_or_fault, checks)):
            if fault is not None:
                raise fault

    async def _check_source(self, name: str) -> None:
        """Publish the alert that the source's silence calls for. Raises Temporary."""
        record = seen_record(name)
        settings = self._alerts.settings.silences[name]
        now = self._clock.now()
        pending = await self._records().change(record, now, lambda text: quiet_sources.decide(text, settings, now))
        if pending is not None:
            alert = quiet_sources.silence_alert(name, pending, settings, self._alerts.where)
            await self._alerts.publish(alert, settings.to)
            await self._records().change(record, now, lambda text: quiet_sources.mark_published(text, pending, now))

    async def _check_destinations(self) -> None:
        """Publish the alerts that changes of the destinations' health call for.

        Raises Temporary; for a destination whose state could not be read, only after the alerts about the others.
        """
        paused = paused_destinations.open_pauses(await self._records().read(DESTINATIONS))
        checks = [self._health(name, name in paused) for name in self._destinations]
        healths_or_faults = await batching.await_all(map(_answer_or_fault, checks))
        found = {
            name: health
            for name, health in zip(self._destinations, healths_or_faults, strict=True)
            if isinstance(health, paused_destinations.Health)
        }
        now = self._clock.now()
        pending = await self._records().change(
            DESTINATIONS, now, lambda text: paused_destinations.decide(text, found, now)
        )
        for each in pending:
            to = self._alerts.settings.recipients_for(each.name)
            await self._alerts.publish(paused_destinations.health_alert(each, self._alerts.where), to)
        if pending:
            await self._records().change(
                DESTINATIONS, now, lambda text: paused_destinations.mark_published(text, pending, now)
            )
        for fault in healths_or_faults:
            if isinstance(fault, errors.Temporary):
                raise fault

    async def _health(self, name: str, was_paused: bool) -> paused_destinations.Health:
        """Return the health of the destination. Raises Temporary.

        `was_paused`: an alert said that it is paused, and none said since that it works again. Only then is its last
        delivery looked for, by which it works again.
        """
        state = await self._ledger.destination_state(name)
        is_paused = state.paused_until is not None and state.paused_until > self._clock.now()
        delivered_at = None
        if was_paused and not is_paused:
            delivered = await self._ledger.rows(1, destination=name, state=ledger_rules.DELIVERED)
            delivered_at = delivered[0].updated_at if delivered else None
        return paused_destinations.Health(state.disabled_reason, state.paused_until, state.pause_reason, delivered_at)


async def _answer_or_fault(check: Awaitable[Answer]) -> Answer | errors.Temporary:
    """Return the answer of a check, or the Temporary that it raised, so that the other checks go on."""
    try:
        return await check
    except errors.Temporary as fault:
        return fault
