"""The sweep's look at what nobody else tells of, each minute at most: sources and destinations that stand still.

Each alert is decided by a change of a record, published, and then marked as told. A sweep that dies in between leaves
it untold, and the next one publishes it under the same id.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property, partial
from typing import Final, TypeVar

from functions.notify.alerts import silence, standing
from functions.notify.alerts.standing import Standing
from functions.notify.alerts.teller import Teller
from shared.errors import Temporary
from shared.ledger import Ledger
from shared.ledger_rules import DELIVERED, RETRY_SCHEDULED
from shared.ports import Clock, Records
from shared.seen import seen_record

EVERY_SECONDS: Final = 50.0
"""Less than the minute after which the scheduler's next sweep comes."""
AT_ONCE: Final = 16
MAX_SEARCHED: Final = 20
"""This many of a paused destination's deliveries are searched for why its attempts fail."""
DESTINATIONS: Final = "alerts:destinations"
Answer = TypeVar("Answer")


class Watch:
    """`destinations` are the names of all of them. `records` is called at first use."""

    def __init__(
        self, teller: Teller, destinations: Sequence[str], ledger: Ledger, records: Callable[[], Records], clock: Clock
    ) -> None:
        self._teller = teller
        self._destinations = [name for name in destinations if teller.settings.told_about(name)]
        self._ledger = ledger
        self._make_records = records
        self._clock = clock
        self._looked_at: float | None = None

    @cached_property
    def _records(self) -> Records:
        return self._make_records()

    async def look(self) -> None:
        """Raises Temporary, once all was looked at; what was not told of is told by another sweep."""
        now = self._clock.now()
        if self._looked_at is not None and self._looked_at <= now < self._looked_at + EVERY_SECONDS:
            return
        self._looked_at = now
        looks = [(name, partial(self._look_at_source, name)) for name in self._teller.settings.silences]
        _, faults = await _all(looks)
        if self._destinations:
            try:
                await self._look_at_destinations()
            except Temporary as error:
                faults.append(error)
        if faults:
            raise faults[0]

    async def _look_at_source(self, name: str) -> None:
        record, settings = seen_record(name), self._teller.settings.silences[name]
        now = self._clock.now()
        untold, kept = silence.look(await self._records.read(record), settings, now)
        if kept is not None:
            untold = await self._records.change(record, now, lambda text: silence.look(text, settings, now))
        if untold is not None:
            alert = silence.silence_alert(name, untold, settings, self._teller.where)
            await self._teller.tell(alert, settings.to)
            await self._records.change(record, now, lambda text: silence.told(text, untold, now))

    async def _look_at_destinations(self) -> None:
        text = await self._records.read(DESTINATIONS)
        paused = standing.open_pauses(text)
        looks = [(name, partial(self._standing, name, paused.get(name))) for name in self._destinations]
        found, faults = await _all(looks)
        now = self._clock.now()
        untold, kept = standing.look(text, found, now)
        if kept is not None:
            untold = await self._records.change(DESTINATIONS, now, lambda text: standing.look(text, found, now))
        if untold:
            for each in untold:
                to = self._teller.settings.told_about(each.name)
                await self._teller.tell(standing.standing_alert(each, self._teller.where), to)
            await self._records.change(DESTINATIONS, now, lambda text: standing.told(text, untold, now))
        if faults:
            raise faults[0]

    async def _standing(self, name: str, paused_before: float | None) -> Standing:
        """Return how the destination stands. `paused_before`: until when, where it is not known to have recovered."""
        state, now = await self._ledger.destination_state(name), self._clock.now()
        until = state.paused_until
        if until is None or (until <= now - standing.RECENT_SECONDS and paused_before is None):
            return Standing(state.disabled_reason, until)
        if paused_before is None:
            rows = await self._ledger.rows(MAX_SEARCHED, destination=name, state=RETRY_SCHEDULED)
            reasons = [
                row.reason for row in rows if row.attempt_number and not row.reason.startswith("the destination")
            ]
            return Standing(state.disabled_reason, until, reasons[0] if reasons else "")
        delivered = await self._ledger.rows(1, destination=name, state=DELIVERED) if until <= now else ()
        return Standing(state.disabled_reason, until, delivered_at=delivered[0].updated_at if delivered else None)


async def _all(
    looks: Sequence[tuple[str, Callable[[], Awaitable[Answer]]]],
) -> tuple[dict[str, Answer], list[Temporary]]:
    """Run all of them, some at once. Return the answers by name, and why others have none."""
    answers: dict[str, Answer] = {}
    faults: list[Temporary] = []
    for start in range(0, len(looks), AT_ONCE):
        some = looks[start : start + AT_ONCE]
        done = await asyncio.gather(*(look() for _, look in some), return_exceptions=True)
        for (name, _), answer in zip(some, done, strict=True):
            if isinstance(answer, Temporary):
                faults.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answers[name] = answer
    return answers, faults
