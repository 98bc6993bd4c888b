"""The fakes, in bad weather; and a destination that remembers every effect it had."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from functions.notify.destination import Attempt
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.journal import AttemptEntry, DeadLetter, JournalEntry
from shared.ledger import Claim, DestinationState, LedgerRow, Place
from shared.ledger_rules import Rule
from tests.fakes.ledger import FakeLedger
from tests.kill.checker import Arrival
from tests.simulation.faults import RUN, Crash, Weather
from tests.simulation.gathering import Taken

REFUSED_TYPE: Final = "refused"


class WeatheredLedger(FakeLedger):
    """Each write may be slow, fail or crash, before it is done or after (a torn write: done, and not known to be)."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        await self._weather.before("ledger_unavailable")
        answer = await super().claim(delivery, message, now, lease_seconds, due_fence)
        await self._weather.after("ledger_unavailable")
        return answer

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        await self._weather.before("ledger_unavailable")
        answer = await super().gather(delivery, message, group, reason, now, at)
        await self._weather.after("ledger_unavailable")
        return answer

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        await self._weather.before("ledger_unavailable")
        return await super().rows(limit, event_id=event_id, destination=destination, state=state, before=before)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        await self._weather.before("ledger_unavailable")
        return await super().due(now, limit, since)

    async def destination_state(self, destination: str) -> DestinationState:
        await self._weather.before("ledger_unavailable")
        return await super().destination_state(destination)

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        await self._weather.before("ledger_unavailable")
        changed = await super()._change(key, rule)
        await self._weather.after("ledger_unavailable")
        return changed


class KeptDeadLetters:
    """The journal, of which only the dead letters matter here."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []

    @property
    def ids(self) -> set[str]:
        return {letter.id for letter in self.kept}

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        self.kept += [entry for entry in entries if isinstance(entry, DeadLetter)]

    async def has_event(self, event_id: str) -> bool:
        return False

    def note(self, attempt: AttemptEntry) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One copy that a destination took. `is_silent`: it took the copy and gave no answer."""

    attempt_number: int
    worker: str
    at: float
    is_silent: bool


class Inbox:
    """A destination. What it took it never forgets, and it does not know whether we know."""

    def __init__(self, weather: Weather, *, dedupes_repeats: bool) -> None:
        self.dedupes_repeats = dedupes_repeats
        self._weather = weather
        self.arrivals: list[Arrival] = []
        self.taken: list[Taken] = []
        self.effects: dict[str, list[Effect]] = {}

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        weather = self._weather
        await asyncio.sleep(weather.random.expovariate(30))
        self._die(weather.rates.crash)
        if weather.happens(weather.rates.destination_fails):
            return RetryLater("503")
        if delivery.event.type == REFUSED_TYPE:
            return Failed("request_rejected", "as it always is")
        run = RUN.get()
        assert run is not None
        is_silent = weather.happens(weather.rates.destination_silent)
        now = asyncio.get_running_loop().time()
        self.arrivals.append(Arrival(delivery.id, now, now, run.worker))
        self.taken.append(Taken(delivery, self.arrivals[-1]))
        self.effects.setdefault(delivery.id, []).append(Effect(attempt.attempt_number, run.worker, now, is_silent))
        self._die(weather.rates.crash)
        if is_silent:
            weather.note_silence()
            raise TimeoutError
        return Delivered("202")

    def _die(self, rate: float) -> None:
        if self._weather.happens(rate):
            self._weather.strike()
            raise Crash("destination")
