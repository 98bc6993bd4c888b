"""A route whose step asks a system that is unavailable waits by itself: nothing is lost, and nothing sent twice."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from typing import Final

import pytest

from deploy.history.replay import make_dead_letter_replay, make_event_replay
from functions.notify.notifier import Acknowledged
from functions.transform.hosts import BREAKER, StepHosts
from functions.transform.program import read_program
from functions.transform.routes import Routes
from functions.transform.transform import Transformer
from shared import waiting_route
from shared.dead_letter_message import dead_letter_from
from shared.errors import Permanent, Temporary
from shared.event import Event, event_json, to_cloudevent
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import Json, JsonObject, to_json
from shared.ledger import LedgerRow
from shared.outgoing.gate import ProcessGate
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, BusMessage
from shared.push import Push
from shared.waiting_route import RETRY_SECONDS, WaitingRoute, waiting_from, waiting_message
from tests.fakes.bus import FakeBus
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier
from tests.unit.transform.asked_hosts import Hosts, asking_route

AGAIN_SECONDS: Final = 61.0
"""The wait before the bus brings a message again: longer than a lease."""
SWEEP_SECONDS: Final = 60.0


class Crash(BaseException):
    """The process dies."""


class CrashingBus(FakeBus):
    """Dies before or after the publish of that number."""

    def __init__(self, before: int = 0, after: int = 0) -> None:
        super().__init__(max_delay_seconds=900)
        self.before, self.after, self.calls = before, after, 0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        self.calls += 1
        if self.calls == self.before:
            raise Crash
        await super().publish(topic, messages)
        if self.calls == self.after:
            raise Crash


@dataclass
class World:
    """`copies` is how often the bus brings each message."""

    routes: Sequence[JsonObject]
    hosts: Hosts = field(default_factory=Hosts)
    bus: CrashingBus = field(default_factory=CrashingBus)
    copies: int = 1
    nacked: list[Temporary | str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notifier = FakeNotifier(bus=self.bus, clock=self.hosts.clock)
        self.clock, self.journal = self.hosts.clock, self.notifier.journal
        self._waiting: list[tuple[float, int, str, BusMessage]] = []
        self._numbers, self._read = count(), 0
        self._program: tuple[Sequence[JsonObject], Routes] | None = None
        self._swept_at = self.clock.now()

    @property
    def transformer(self) -> Transformer:
        if self._program is None or self._program[0] is not self.routes:
            self._program = self.routes, read_program({"routes": list(self.routes)}).routes
        services = self.hosts.services
        return Transformer(self._program[1], self.bus, services.blobs, self.journal, self.clock, services)

    async def send(self, event: Event, **attributes: str) -> None:
        await self.bus.publish(EVENTS, [BusMessage(to_json(to_cloudevent(event)).encode(), attributes)])

    async def run(self, seconds: float) -> None:
        """Take what the bus brings in that time, and sweep each minute."""
        end = self.clock.now() + seconds
        while True:
            for topic, message in self.bus.sent[self._read :]:
                for _ in range(self.copies):
                    self._add(self.clock.now() + message.delay_seconds, topic, message)
            self._read = len(self.bus.sent)
            at = self._waiting[0][0] if self._waiting else end + 1
            if min(at, self._swept_at + SWEEP_SECONDS) > end:
                self.clock.time = end
                return
            if at > self._swept_at + SWEEP_SECONDS:
                self._swept_at += SWEEP_SECONDS
                self.clock.time = max(self.clock.time, self._swept_at)
                with contextlib.suppress(Crash, Temporary):
                    await self.notifier.sweep()
                continue
            _, _, topic, message = heappop(self._waiting)
            self.clock.time = max(self.clock.time, at)
            await self._take(topic, message)

    def _add(self, at: float, topic: str, message: BusMessage) -> None:
        heappush(self._waiting, (at, next(self._numbers), topic, message))

    async def _take(self, topic: str, message: BusMessage) -> None:
        try:
            if topic == DEAD_LETTERS:
                return
            if topic == EVENTS:
                await self.transformer.take(Push(message.data, message.attributes, "m1"))
                return
            result = await self.notifier.take_message(message)
            if isinstance(result, Acknowledged):
                return
            self.nacked.append(result.outcome)
        except Permanent:
            return
        except Temporary as error:
            self.nacked.append(error)
        except Crash:
            self.notifier.start()
        self._add(self.clock.now() + AGAIN_SECONDS, topic, message)

    @property
    def delivered(self) -> list[str]:
        """The routes of the deliveries that the destination got."""
        return [each.route for each in self.notifier.crm.delivered]

    @property
    def letters(self) -> list[JsonObject]:
        return [json.loads(message.data)["data"] for message in self.bus.on(DEAD_LETTERS)]

    @property
    def tries(self) -> list[AttemptEntry]:
        """The journal's attempts of routes, those with a number."""
        return [each for each in self.journal.attempts if each.destination == "(route)" and each.attempt_number]

    def decisions(self) -> dict[str, RouteDecision]:
        """The decisions that a journal would show: an entry that is not partial replaces those before it."""
        decisions: dict[str, RouteDecision] = {}
        for entry in self.journal.entries:
            if isinstance(entry, EventEntry):
                new = {decision.route: decision for decision in entry.routes}
                decisions = decisions | new if entry.is_partial else new
        return decisions


EVENT: Final = Event("e1", "/sources/shop", "order.paid", "2026-09-21T14:13:20.000Z", "a" * 64, {"n": 1})
API: Final = "api.example"
ASKING: Final = asking_route("asks", API)
PLAIN: Final[JsonObject] = {"name": "plain", "to": ["crm"]}


def down(*routes: JsonObject, bus: CrashingBus | None = None, copies: int = 1) -> World:
    """Return a world whose API answers 503."""
    return World(routes or (ASKING, PLAIN), Hosts({API: 503}), bus or CrashingBus(), copies)


async def route_row(world: World) -> LedgerRow:
    [row] = [row for row in await world.notifier.ledger.rows(10, event_id="e1") if row.destination == "(route)"]
    return row


async def test_the_route_waits_with_a_schedule_of_its_own_and_the_other_is_delivered_at_once() -> None:
    world = down()
    await world.send(EVENT)
    await world.run(1)
    assert (world.delivered, world.nacked, world.hosts.asked) == (["plain"], [], [API])
    row = await route_row(world)
    assert (row.state, row.route) == ("retry_scheduled", "asks")
    assert row.retry_at is not None
    assert 5 <= row.retry_at - row.created_at <= 6
    assert row.reason == f"route 'asks': step 1 'fetch': {API} answered 503"
    decision = world.decisions()["asks"]
    assert (decision.outcome, decision.destinations) == ("waiting", ("crm",))
    assert decision.reason == f"it takes every event; waiting: step 1 'fetch': {API} answered 503"


async def test_it_runs_alone_until_the_system_answers() -> None:
    world = down()
    await world.send(EVENT)
    await world.run(60)
    assert [each.attempt_number for each in world.tries] == [1, 2, 3]
    world.hosts.statuses = {}
    await world.run(200)
    assert (world.delivered, world.nacked) == (["plain", "asks"], [])
    assert world.notifier.crm.delivered[1].event.data == {"n": 1, "got": {"from": API}}
    assert (await route_row(world)).state == "delivered"
    assert {name: each.outcome for name, each in world.decisions().items()} == {"asks": "matched", "plain": "matched"}
    runs = [message.attributes for message in world.bus.on(EVENTS)[1:]]
    assert [(each["route"], each["run"], each["tries"]) for each in runs] == [
        ("asks", str(number), str(number - 1)) for number in (2, 3, 4)
    ]
    assert world.letters == []


async def test_at_the_end_of_its_schedule_it_is_a_dead_letter_of_the_route() -> None:
    world = down()
    await world.send(EVENT)
    await world.run(20 * 3_600)
    [letter] = world.letters
    assert (letter["code"], letter["event_id"], letter["route"], letter["destination"]) == (
        "retries_exhausted",
        "e1",
        "asks",
        "",
    )
    assert letter["reason"] == f"try 23, the last: route 'asks': step 1 'fetch': {API} answered 503"
    assert len(world.hosts.asked) == len(RETRY_SECONDS) + 1 == 23
    assert 15.9 * 3_600 < sum(RETRY_SECONDS) < 16.2 * 3_600
    assert (await route_row(world)).state == "dead_lettered"
    assert (world.delivered, world.nacked) == (["plain"], [])


async def test_its_dead_letter_is_replayed_for_the_route_alone_with_a_new_schedule() -> None:
    world = down()
    await world.send(EVENT)
    await world.run(20 * 3_600)
    letter = dead_letter_from(json.loads(world.bus.on(DEAD_LETTERS)[0].data))
    await world.bus.publish(DELIVERIES, [make_dead_letter_replay(letter, "r1")])
    await world.run(30)
    assert [each.attempt_number for each in world.tries][-2:] == [1, 2]
    world.hosts.statuses = {}
    await world.run(60)
    assert world.delivered == ["plain", "asks"]


@pytest.mark.parametrize(("retry", "asked"), [([], 1), (["10s"], 2), (["1s", "1s"], 3)])
async def test_a_step_has_the_schedule_that_it_sets(retry: list[str | float], asked: int) -> None:
    seconds = [float(each.removesuffix("s")) for each in map(str, retry)]
    world = down(asking_route("asks", API, retry=[*seconds]))
    await world.send(EVENT)
    await world.run(120)
    assert len(world.hosts.asked) == asked
    assert [letter["code"] for letter in world.letters] == ["retries_exhausted"]


async def test_a_part_of_ours_that_fails_brings_the_whole_event_again() -> None:
    world = World([asking_route("asks", API, secret="missing-key"), PLAIN])
    await world.send(EVENT)
    await world.run(1)
    [error] = world.nacked
    assert isinstance(error, Temporary)
    assert error.code == "secret_unavailable"
    assert world.delivered == ["plain"]
    assert len(await world.notifier.ledger.rows(10)) == 1


async def test_a_run_of_a_route_that_the_configuration_no_longer_has_is_a_dead_letter() -> None:
    world = down()
    await world.send(EVENT)
    await world.run(1)
    world.routes = [PLAIN]
    await world.run(60)
    assert [(letter["code"], letter["route"]) for letter in world.letters] == [("unknown_route", "asks")]
    assert world.decisions()["asks"].outcome == "dead_lettered"


async def test_what_a_replay_asked_for_holds_for_every_run() -> None:
    world = down(ASKING)
    await world.bus.publish(EVENTS, [make_event_replay(to_cloudevent(EVENT), "r1", "crm", force=True)])
    await world.run(1)
    world.hosts.statuses = {}
    await world.run(60)
    assert world.delivered == ["asks"]
    run = world.bus.on(EVENTS)[1].attributes
    assert run.items() >= {waiting_route.ROUTE: "asks", "replay": "r1", "force": "true", "only": "crm"}.items()


async def test_an_event_that_was_forgotten_while_its_route_ran_does_not_run_again() -> None:
    world = down(ASKING)
    await world.send(EVENT)
    await world.run(20)
    row = await route_row(world)
    await world.notifier.ledger.forget(row.key, world.clock.now())
    [*_, wait] = (each for each in world.bus.on(DELIVERIES) if "due" not in each.attributes)
    waiting = waiting_from(json.loads(wait.data))
    event = json.dumps(to_cloudevent(EVENT)).encode()
    later = waiting_message("e1", event, "asks", replace(waiting, run=waiting.run + 1))
    assert (await world.notifier.take_message(later)).outcome == "finished"


@pytest.mark.parametrize("copies", [2, 3])
async def test_messages_that_come_several_times_have_one_effect(copies: int) -> None:
    world = down(ASKING, copies=copies)
    await world.send(EVENT)
    await world.run(60)
    assert len({each.attempt_number for each in world.tries}) == len(world.tries)
    world.hosts.statuses = {}
    await world.run(900)
    assert world.delivered == ["asks"]
    assert world.letters == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_that_dies_at_any_publish_loses_nothing_and_sends_nothing_twice(when: str) -> None:
    number, calls = 1, 2
    while number <= calls:
        number += 1  # the first publish is the test's own
        bus = CrashingBus(**{when: number})
        world = down(ASKING, PLAIN, bus=bus)
        await world.send(EVENT)
        await world.run(150)
        world.hosts.statuses = {}
        await world.run(3_600)
        assert (sorted(world.delivered), world.letters) == (["asks", "plain"], []), (when, number)
        assert (await route_row(world)).state == "delivered"
        calls = bus.calls
    assert calls > 8


@pytest.mark.parametrize("method", ["claim", "settle", "reopen", "give_back"])
async def test_a_ledger_that_fails_at_any_write_loses_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 9):
        world = down(ASKING)
        original, calls = getattr(world.notifier.ledger, method), [0]

        async def failing(*arguments: object) -> object:
            calls[0] += 1  # noqa: B023 each world's own
            if calls[0] == number:  # noqa: B023
                raise Temporary("ledger_unavailable", "down")
            return await original(*arguments)  # noqa: B023

        monkeypatch.setattr(world.notifier.ledger, method, failing)
        await world.send(EVENT)
        await world.run(150)
        world.hosts.statuses = {}
        await world.run(3_600)
        assert ({*world.delivered}, world.letters) == ({"asks"}, []), (method, number)


async def test_a_large_event_waits_by_reference() -> None:
    world = down(ASKING)
    light = replace(EVENT, data=None, dataref="e1-large")
    await world.hosts.blobs.put("e1-large", json.dumps(to_cloudevent(EVENT)).encode())
    await world.send(light)
    await world.run(1)
    waiting = json.loads((await route_row(world)).message)
    assert waiting["data"]["event"] == to_cloudevent(light)
    world.hosts.statuses = {}
    await world.run(30)
    assert world.notifier.crm.delivered[0].event.data == {"n": 1, "got": {"from": API}}


async def test_what_finds_its_system_paused_waits_without_a_try_that_counts() -> None:
    world = down(ASKING)
    world.hosts.gate = StepHosts(ProcessGate(world.clock.now, 100, 100), world.clock)
    for number in range(100):
        await world.send(replace(EVENT, id=f"e{number}", payloadhash=f"{number:064}"))
    await world.run(4)
    assert len(world.hosts.asked) == BREAKER.failures
    rows = await world.notifier.ledger.rows(200, state="retry_scheduled")
    assert len(rows) == 100
    not_asked = [row for row in rows if "is not asked for a while" in row.reason]
    assert len(not_asked) == 95
    assert all(row.retry_at and 29 < row.retry_at - row.created_at < 37 for row in not_asked)
    await world.run(1_800)
    assert max(each.attempt_number for each in world.tries) < 12
    assert len(world.hosts.asked) == len(world.tries) < 30
    world.hosts.statuses = {}
    await world.run(900)
    assert (len(world.delivered), world.nacked, world.letters) == (100, [], [])


@pytest.mark.parametrize(("retry", "hours"), [(None, 26.0), ([5.0, 5.0], 1.5)])
async def test_a_route_whose_system_stays_paused_becomes_a_dead_letter_once_its_schedule_is_over(
    retry: list[Json] | None, hours: float
) -> None:
    """Most of its runs find the system paused, and are no tries."""
    world = down(asking_route("asks", API, **({} if retry is None else {"retry": retry})))
    world.hosts.gate = StepHosts(ProcessGate(world.clock.now, 100, 100), world.clock)
    for number in range(BREAKER.failures + 2):
        await world.send(replace(EVENT, id=f"e{number}", payloadhash=f"{number:064}"))
    await world.run(hours * 3_600)
    assert {letter["code"] for letter in world.letters} == {"retries_exhausted"}
    assert len(world.letters) == BREAKER.failures + 2
    assert any("it has waited since 2026-09-21T" in str(letter["reason"]) for letter in world.letters)


@pytest.mark.parametrize(("closed_seconds", "state"), [(5.0, "retry_scheduled"), (600.0, "dead_lettered")])
async def test_a_route_whose_time_is_over_is_not_given_up_while_another_asks_whether_the_system_is_back(
    closed_seconds: float, state: str
) -> None:
    world = down(ASKING)
    now = world.clock.now()
    waiting = WaitingRoute("the pause is over", 1, 0, int(now) - 48 * 3_600, now, now, until=now + closed_seconds)
    await world.bus.publish(DELIVERIES, [waiting_message(EVENT.id, event_json(EVENT), "asks", waiting)])
    await world.run(1)
    assert (await route_row(world)).state == state


# The message


def test_the_message_of_a_wait_is_read_as_it_was_written() -> None:
    waiting = WaitingRoute("why", 3, 2, 1, 1.5, 2.5, (5.0,), 9.0, {"replay": "r1", "only": "crm"})
    message = waiting_message("e1", json.dumps(to_cloudevent(EVENT)).encode(), "asks", waiting)
    assert waiting_from(json.loads(message.data)) == replace(waiting, retry_seconds=[5.0])


@pytest.mark.parametrize("broken", [{"run": "3"}, {"run": True}, {"tries": -1}, {"began_at": None}, {"until": "soon"}])
async def test_a_wait_that_cannot_be_read_is_a_dead_letter(broken: JsonObject) -> None:
    world = down()
    message = waiting_message("e1", json.dumps(to_cloudevent(EVENT)).encode(), "asks", WaitingRoute("w", 1, 1, 0, 0, 0))
    document = json.loads(message.data)
    document["data"]["waiting"] |= broken
    await world.bus.publish(DELIVERIES, [BusMessage(json.dumps(document).encode())])
    await world.run(1)
    assert [letter["code"] for letter in world.letters] == ["malformed_event"]


@pytest.mark.parametrize("text", ["9" * 5_000, "²", "-1", "1.5", ""])
def test_a_number_of_a_run_that_is_none_counts_as_none(text: str) -> None:
    attributes = {waiting_route.ROUTE: "r", **dict.fromkeys((waiting_route.RUN, waiting_route.TRIES), text)}
    assert waiting_route.route_run(attributes) == waiting_route.RouteRun("r", 0, 0, 0)


@pytest.mark.parametrize("attributes", [{}, {"due": "7"}], ids=["its wait", "its due row"])
async def test_a_repeat_of_an_earlier_run_takes_no_row_that_a_later_one_reopened(attributes: dict[str, str]) -> None:
    world = down(ASKING)
    await world.send(EVENT)
    await world.run(7)
    first, second = (each for each in world.bus.on(DELIVERIES) if "due" not in each.attributes)
    row = await route_row(world)
    assert row.replays == (".2",)
    # Whoever had the wait of the second run died after it reopened the row.
    died = row._replace(state="claimed", retry_at=None, lease_until=world.clock.now())
    assert isinstance(world.notifier.ledger, FakeLedger)
    world.notifier.ledger.table[row.key] = died
    repeated = BusMessage(first.data, {**first.attributes, **attributes})
    assert (await world.notifier.take_message(repeated)).outcome == "finished"
    assert (await world.notifier.take_message(second)).outcome == "retry_scheduled"
