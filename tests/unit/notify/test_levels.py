"""What the sweep says of the whole deployment as metrics: its backlog and the states of its destinations."""

import pytest

from functions.notify.waiting.levels import EVERY_SECONDS, SweepLevels
from functions.notify.waiting.publication import DueCount
from shared.delivery import ROUTE_ITSELF
from shared.telemetry.metrics import Metrics
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger
from tests.stand_ins.otlp_receiver import points_of

NAMES = ("crm", "mail", "audit")


class Swept:
    """Levels over a fake ledger."""

    def __init__(self) -> None:
        self.clock, self.ledger = FakeClock(), FakeLedger()
        self.metrics = Metrics({}, self.clock.now)
        self.is_taken = True
        self.levels = SweepLevels(lambda: self.metrics if self.is_taken else None, NAMES, self.ledger, self.clock)

    async def note(self, **backlogs: DueCount) -> dict[tuple[str, str], float]:
        """Note what a sweep found, and return what is sent after it."""
        await self.levels.note(backlogs)
        points = points_of(self.metrics.take()) if self.metrics.is_waiting else []
        return {(point.name, str(*point.attributes.values())): point.value for point in points}


async def test_each_minute_has_the_backlog_of_each_destination_and_the_number_in_each_state() -> None:
    swept = Swept()
    await swept.ledger.disable("mail", "no such sender", swept.clock.now())
    await swept.ledger.pause("audit", swept.clock.now() + 600, swept.clock.now(), "it keeps failing")
    assert await swept.note(crm=DueCount(7, 12.5), removed=DueCount(2, 1.0)) == {
        # Another process may have set that of routes.
        **{("hookchain.backlog", name): 0 for name in ("mail", "audit", ROUTE_ITSELF)},
        **{("hookchain.backlog.oldest", name): 0 for name in ("mail", "audit", ROUTE_ITSELF)},
        ("hookchain.backlog", "crm"): 7,
        ("hookchain.backlog.oldest", "crm"): 12.5,
        ("hookchain.backlog", "removed"): 2,
        ("hookchain.backlog.oldest", "removed"): 1,
        **{("hookchain.destinations", state): 1 for state in ("delivering", "paused", "disabled")},
    }
    swept.clock.advance(60)
    found = await swept.note()
    assert found["hookchain.backlog", "crm"] == 0, "a backlog that is gone does not stay"
    assert found["hookchain.backlog", "removed"] == 0, "nor does that of a destination that is not configured any more"


async def test_sweeps_that_come_each_second_are_reported_once_a_minute() -> None:
    swept = Swept()
    await swept.note()
    swept.clock.advance(1)
    assert await swept.note(crm=DueCount(3, 1.0)) == {}
    swept.clock.advance(EVERY_SECONDS)
    assert (await swept.note())["hookchain.backlog", "crm"] == 3


async def test_a_ledger_that_fails_costs_the_sweep_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    swept = Swept()
    swept.ledger.fault = "the disk is full"
    found = await swept.note(crm=DueCount(3, 1.0))
    assert found["hookchain.backlog", "crm"] == 3
    assert not [name for name, _ in found if name == "hookchain.destinations"]
    assert "states not measured" in capsys.readouterr().out


async def test_once_a_collector_takes_no_metrics_no_state_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    swept = Swept()
    swept.is_taken, swept.ledger.fault = False, "a read would fail"
    assert await swept.note(crm=DueCount(3, 1.0)) == {}
    assert capsys.readouterr().out == ""
