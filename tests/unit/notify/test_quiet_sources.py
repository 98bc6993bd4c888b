"""Sources that go quiet and come back: each told once, by whichever sweep, whatever dies on the way."""

import json
from random import Random

import pytest

from functions.notify.alerts.publisher import Silence
from functions.notify.alerts.quiet_sources import decide
from functions.transform.seen import Seen
from shared.delivery import delivery_from
from shared.errors import Temporary
from shared.event import Event
from shared.ports import DELIVERIES
from shared.store_ports import Kept
from shared.times import rfc3339
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination
from tests.unit.notify.alerting import START, Alerting, kinds_of, lines_of

HOUR = 3_600.0
SILENCE = Silence(HOUR, ("ops",), 60.0)


def watching(**made: FakeDestination) -> Alerting:
    names = {"crm": FakeDestination(), "ops": FakeDestination(), **made}
    return Alerting(names, to=("ops",), silences={"shop": SILENCE})


async def send(alerting: Alerting) -> None:
    """Have an event of the source arrive, at another instance of transform."""
    notifier = alerting.notifier
    seen = Seen({"shop": 60.0}, lambda: notifier.records, notifier.clock)
    await seen.note(Event("e", "/sources/shop", "order", rfc3339(notifier.clock.now()), "00"))


def all_lines(alerting: Alerting) -> list[str]:
    return [line for each in alerting.told() for line in lines_of(each)]


async def test_somebody_is_told_once_when_a_source_has_gone_quiet_and_once_when_it_is_back() -> None:
    made = watching()
    await made.pass_time(60)
    await send(made)
    await made.pass_time(HOUR)
    assert made.told() == []
    await made.pass_time(2 * HOUR)
    assert all_lines(made) == [
        "no event was accepted since 2026-09-21 14:16 UTC, for longer than 60 minutes"
        " · hookchain events list --source shop"
    ]
    await send(made)
    await made.pass_time(600)
    [_, back] = made.told()
    assert kinds_of(back) == [("hookchain.alert.source_back", "shop", 1)]
    assert lines_of(back) == [
        "it sends again, after 3 hours without an event; how many it missed is unknown"
        " · hookchain events list --source shop"
    ]
    await made.pass_time(HOUR / 2)
    assert len(made.told()) == 2


async def test_a_source_that_was_never_seen_counts_from_the_first_sweep_that_saw_it() -> None:
    made = watching()
    await made.pass_time(HOUR)
    assert made.told() == []
    await made.pass_time(HOUR / 2)
    assert len(made.told()) == 1


async def test_a_time_in_which_nothing_watched_is_not_a_silence() -> None:
    made = watching()
    await send(made)
    await made.pass_time(600)
    made.notifier.clock.advance(30 * 86_400)  # its silence was not configured, or nothing ran
    await made.pass_time(HOUR)
    assert made.told() == []
    await made.pass_time(HOUR / 2)
    assert len(made.told()) == 1


async def test_a_sweep_that_dies_leaves_one_alert_to_the_next() -> None:
    made = watching()
    await made.pass_time(HOUR)
    made.notifier.clock.advance(600)
    made.notifier.bus.fault = "down"
    with pytest.raises(Temporary):
        await made.monitor.check()
    made.notifier.bus.fault = None
    made.start()
    records = made.notifier.records
    decide = records.change

    async def failing(*_: object) -> object:
        raise Temporary("records_unavailable", "down")

    records.change = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(Temporary):
        await made.monitor.check()
    assert len(made.notifier.bus.on(DELIVERIES)) == 1
    records.change = decide  # type: ignore[method-assign]
    await made.pass_time(900)
    assert [each.merged for each in made.told()] == [1]


@pytest.mark.parametrize("seed", range(6))
async def test_silences_alternate_and_each_is_told_of_once(seed: int) -> None:
    """Two sweeps with clocks that differ by minutes, which die at any point, over days of coming and going."""
    random = Random(seed)
    made = watching()
    notifier = made.notifier
    true_clock, records = notifier.clock, notifier.records
    silences, quiet_from = 0, START
    change = records.change

    async def torn(*arguments: object) -> object:
        if random.random() < 0.2:
            raise Temporary("records_unavailable", "before")
        answer: object = await change(*arguments)  # type: ignore[arg-type]
        if random.random() < 0.2:
            raise Temporary("records_unavailable", "after")
        return answer

    records.change = torn  # type: ignore[method-assign, assignment]
    watches = []
    for skew in (-120.0, 120.0):
        notifier.clock = Skewed(true_clock, skew)
        made.start()
        watches.append(made.monitor)
    notifier.clock = true_clock
    sending = True
    for _ in range(40):
        sending = not sending
        lasts = random.choice([10, 30, 150, 300]) * 60.0
        end = true_clock.now() + lasts
        if sending:
            gap = true_clock.now() - quiet_from
            silences += gap > 1.5 * HOUR
        while true_clock.now() < end:
            true_clock.advance(60)
            notifier.bus.fault = "down" if random.random() < 0.1 else None
            if sending:
                await send(made)
                quiet_from = true_clock.now()
            for watch in random.sample(watches, 2):
                try:
                    await watch.check()
                except Temporary:
                    continue
    records.change = change  # type: ignore[method-assign]
    kinds: dict[str, str] = {}
    for message in notifier.bus.on(DELIVERIES):
        delivery = delivery_from(json.loads(message.data))
        kinds.setdefault(delivery.id, delivery.event.type.rpartition(".")[2])
    told = list(kinds.values())
    assert told == ["source_quiet" if number % 2 == 0 else "source_back" for number in range(len(told))]
    assert silences <= (len(told) + 1) // 2


class Skewed(FakeClock):
    def __init__(self, clock: FakeClock, skew: float) -> None:
        self._clock, self._skew = clock, skew

    def now(self) -> float:
        return self._clock.now() + self._skew


def test_a_record_that_cannot_be_read_is_begun_anew() -> None:
    pending, kept = decide("not JSON", SILENCE, START)
    assert pending is None
    assert isinstance(kept, Kept)


@pytest.mark.parametrize(("seconds", "is_quiet"), [(HOUR + 60, False), (HOUR + 61, True)])
def test_a_source_is_quiet_once_its_record_can_no_longer_be_behind_its_last_event(
    seconds: float, is_quiet: bool
) -> None:
    record = {"seen_at": START, "watched_from": START - HOUR, "watched_at": START + seconds}
    pending, _ = decide(json.dumps(record), SILENCE, START + seconds)
    assert (pending is not None) is is_quiet
