"""Noting when a source was last seen: seldom, for sources whose silence is told of, and without holding up an event."""

import asyncio
import json
from dataclasses import replace

import pytest

from functions.transform.program import read_program
from functions.transform.seen import Seen
from functions.transform.transform import Transformer
from shared.errors import Permanent
from shared.event import Event, to_cloudevent
from shared.jsontext import to_json
from shared.push import Push
from shared.times import rfc3339
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.records import FakeRecords

START = 1_790_000_000.0
EVENT = Event("e1", "/sources/shop", "order", rfc3339(START), "00", {})


class Bench:
    def __init__(self, records: FakeRecords, seconds: float = 60.0) -> None:
        self.clock = FakeClock(START)
        self.seen = Seen({"shop": seconds}, lambda: records, self.clock)
        routes = read_program({"routes": []}).routes
        self.transformer = Transformer(routes, FakeBus(), None, None, self.clock, seen=self.seen)

    async def take(self, event: Event = EVENT, **attributes: str) -> None:
        event = replace(event, receivedat=rfc3339(self.clock.now())) if event is EVENT else event
        await self.transformer.take(Push(to_json(to_cloudevent(event)).encode(), attributes, "m1"))


def seen_at(records: FakeRecords) -> float:
    return float(json.loads(records.kept["seen:shop"].text)["seen_at"])


async def test_an_event_that_ends_as_a_dead_letter_is_noted() -> None:
    records = FakeRecords()
    with pytest.raises(Permanent):
        await Bench(records).take(replace(EVENT, hops=99))
    assert seen_at(records) == START


async def test_a_source_without_silence_costs_no_call() -> None:
    records = FakeRecords()
    await Bench(records).take(replace(EVENT, source="/sources/other"))
    assert records.calls == 0


async def test_each_instance_makes_a_note_once_in_the_interval_and_all_of_them_write_as_seldom() -> None:
    records = FakeRecords()
    benches = [Bench(records) for _ in range(5)]
    for _ in range(300):
        for bench in benches:
            bench.clock.advance(1)
            await bench.take()
    assert 5 <= records.writes <= 6
    assert records.calls <= 5 * 6
    assert seen_at(records) >= START + 240


async def test_events_that_come_together_are_one_note() -> None:
    records = FakeRecords()
    bench = Bench(records)
    await asyncio.gather(*[bench.take() for _ in range(50)])
    assert records.calls == 1


async def test_a_replay_and_an_old_event_make_no_source_look_alive() -> None:
    records = FakeRecords()
    bench = Bench(records)
    await bench.take()
    bench.clock.advance(600)
    await bench.take(EVENT, replay="r1")
    await bench.take(replace(EVENT, id="e2"))
    assert seen_at(records) == START


async def test_a_store_that_fails_holds_up_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    records = FakeRecords()
    bench = Bench(records)
    records.fault = "down"
    for _ in range(10):
        await bench.take()
        bench.clock.advance(1)
    assert records.calls == 2
    assert "not noted as seen" in capsys.readouterr().out
    records.fault = None
    bench.clock.advance(5)
    await bench.take()
    assert seen_at(records) == bench.clock.now()
