"""Notify with one destination that gathers, and events to it."""

from collections.abc import Sequence
from dataclasses import replace

from functions.notify.digests.settings import Digest, GatherSettings
from shared.delivery import Delivery
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.times import rfc3339
from tests.fakes.destinations import Answer, FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier

START = 1_790_000_100.0  # a multiple of 900
DIGEST = GatherSettings(digest=Digest(900.0, "data.computer"))


class CountingLedger(FakeLedger):
    """Counts the reads of what is due; each takes `read_seconds` on the clock of the notifier."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.rows_read = 0
        self.read_seconds = 0.0
        self.notifier: FakeNotifier | None = None

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        self.reads += 1
        if self.notifier is not None:
            self.notifier.clock.advance(self.read_seconds)
        found = await super().due(now, limit, since)
        self.rows_read += len(found)
        return found


def notifier_of(gather: GatherSettings, *answers: Answer, **options: object) -> FakeNotifier:
    crm, other = FakeDestination(*answers), FakeDestination()
    own = Options(gather=gather)
    own.update(options)  # type: ignore[typeddict-item] # a test's own
    made = FakeNotifier(
        crm, FakeDestinations({"crm": crm, "other": other}, options={"crm": own}), ledger=CountingLedger()
    )
    made.clock.time = START
    assert isinstance(made.ledger, CountingLedger)
    made.ledger.notifier = made
    return made


def event(notifier: FakeNotifier, number: int, data: Json = None, destination: str = "crm") -> Delivery:
    own = replace(
        EVENT,
        id=f"{number:032x}",
        data={"computer": "a"} if data is None else data,
        receivedat=rfc3339(notifier.clock.now()),
        actor="ada",
    )
    return Delivery(own, "tell the list", destination)


async def pass_time(notifier: FakeNotifier, seconds: float) -> None:
    end = notifier.clock.now() + seconds
    while notifier.clock.now() < end:
        notifier.clock.advance(60.0)
        await notifier.sweep_and_take()


def ledger_of(notifier: FakeNotifier) -> CountingLedger:
    assert isinstance(notifier.ledger, CountingLedger)
    return notifier.ledger
