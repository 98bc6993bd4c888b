"""Which questions of steps are asked: a host in trouble holds few places, and is not asked for a while."""

import asyncio
from dataclasses import replace
from typing import Final

import pytest

from functions.transform.hosts import BREAKER, Closed, StepHosts
from shared.event import Event, to_cloudevent
from shared.jsontext import to_json
from shared.outgoing.gate import HANGING_ANSWERS, ProcessGate
from shared.outgoing.instance_leases import MOST_INSTANCES, InstanceLeases
from shared.times import rfc3339
from tests.fakes.clock import FakeClock
from tests.fakes.grants import FakeGrants
from tests.fakes.notifier import push_of
from tests.unit.transform.asked_hosts import Hosts, asking_route
from tests.unit.transform.transform_bench import Bench

PLACES: Final = 40
EVENT: Final = Event("e1", "/sources/shop", "order.paid", "2026-09-21T14:13:20.000Z", "0" * 64)
API: Final = "api.example"


def step_hosts() -> tuple[StepHosts, FakeClock]:
    clock = FakeClock()
    return StepHosts(ProcessGate(clock.now, PLACES, PLACES), clock), clock


async def ask(hosts: StepHosts, has_failed: bool | None = False, step: int = 1, host: str = API) -> Closed | None:
    """Ask, and get the answer at once; return why it was not asked."""
    entered = await hosts.enter(step, host, EVENT)
    if isinstance(entered, Closed):
        return entered
    hosts.leave(entered, has_failed=has_failed, reason="answered 503")
    return None


async def entered_keys(hosts: StepHosts, count: int, host: str = API) -> list[str]:
    """Return the keys of those of `count` questions that are asked, which nobody answers."""
    found = await asyncio.gather(*(hosts.enter(1, host, EVENT) for _ in range(count)))
    return [each for each in found if isinstance(each, str)]


async def test_after_five_failures_in_a_row_the_host_is_not_asked_until_the_pause_is_over() -> None:
    hosts, clock = step_hosts()
    for _ in range(BREAKER.failures):
        assert await ask(hosts, True) is None
    closed = await ask(hosts)
    assert closed is not None
    assert closed.until == clock.now() + BREAKER.pause_seconds
    assert closed.reason == f"{API} is not asked for a while: 5 requests in a row failed, the last: answered 503"
    clock.advance(BREAKER.pause_seconds)
    assert await ask(hosts) is None
    assert await ask(hosts) is None


async def test_an_answer_between_failures_begins_the_count_again() -> None:
    hosts, _ = step_hosts()
    for has_failed in [*[True] * 4, False] * 3:
        assert await ask(hosts, has_failed) is None


async def test_after_a_pause_one_question_is_asked_for_all_and_a_failure_pauses_twice_as_long() -> None:
    hosts, clock = step_hosts()
    for _ in range(BREAKER.failures):
        await ask(hosts, True)
    clock.advance(BREAKER.pause_seconds)
    probe = await hosts.enter(1, API, EVENT)
    assert isinstance(probe, str)
    beside = await ask(hosts)
    assert beside is not None
    assert "another route asks it first" in beside.reason
    hosts.leave(probe, has_failed=True, reason="answered 500")
    closed = await ask(hosts)
    assert closed is not None
    assert closed.until == clock.now() + 2 * BREAKER.pause_seconds
    assert "the request after the last pause failed, the last: answered 500" in closed.reason


async def test_a_question_that_was_not_sent_says_nothing_of_the_host() -> None:
    hosts, _ = step_hosts()
    for _ in range(20):
        assert await ask(hosts, None) is None


async def test_each_step_has_a_breaker_of_its_own() -> None:
    hosts, _ = step_hosts()
    for _ in range(BREAKER.failures):
        await ask(hosts, True, step=1)
    assert await ask(hosts, step=1) is not None
    assert await ask(hosts, step=2) is None


@pytest.mark.parametrize("answers", [0, 20])
async def test_a_host_that_hangs_leaves_places_for_others(answers: int) -> None:
    hosts, clock = step_hosts()
    for _ in range(answers):
        await ask(hosts)
    if answers:  # a host that has answered quickly is in trouble once an answer is late
        [_] = await entered_keys(hosts, 1)
        clock.advance(2)
    entered = await entered_keys(hosts, 200)
    assert len(entered) <= PLACES / 3
    assert await ask(hosts, host="other.example") is None


async def test_requests_that_hang_open_the_breaker_before_they_end() -> None:
    hosts, clock = step_hosts()
    for _ in range(HANGING_ANSWERS):
        await ask(hosts)
    keys = await entered_keys(hosts, BREAKER.failures)
    assert len(keys) == BREAKER.failures
    clock.advance(5.1)
    closed = await ask(hosts)
    assert closed is not None
    assert "it takes far longer than usual" in closed.reason
    for key in keys:  # their timeouts come later, and count no second time
        hosts.leave(key, has_failed=True, reason="no answer within 10 s")
    clock.advance(BREAKER.pause_seconds)
    assert await ask(hosts) is None


class NotedGate(ProcessGate):
    """A gate that keeps what it was told of messages."""

    def __init__(self) -> None:
        super().__init__(FakeClock().now, PLACES, PLACES)
        self.noted: list[float | bool] = []

    def note_arrival(self, waited_seconds: float) -> None:
        self.noted.append(waited_seconds)

    def note_answer(self, *, is_acknowledged: bool) -> None:
        self.noted.append(is_acknowledged)


async def test_the_gate_is_told_how_long_events_waited_and_whether_they_are_acknowledged() -> None:
    asked, gate = Hosts(), NotedGate()
    asked.gate = StepHosts(gate, asked.clock)
    event = replace(EVENT, receivedat=rfc3339(asked.clock.now() - 3))
    bench = Bench([asking_route("asks", API)], services=asked.services)
    body = push_of(to_json(to_cloudevent(event)).encode())
    assert (await bench.push(body)).status == 204
    bench.bus.fault = "down"
    assert (await bench.push(body)).status == 503
    assert gate.noted == [3.0, True, 3.0, False]


async def test_on_lambda_a_host_that_another_instance_tries_is_not_asked_and_the_place_is_left() -> None:
    hosts, clock = step_hosts()
    grants = FakeGrants()
    hosts.instances = InstanceLeases(lambda: grants, hosts.gate, clock, "me")
    await grants.lease(f"{API}:instances", "another", MOST_INSTANCES, MOST_INSTANCES, clock.now(), 50.0)
    assert await ask(hosts) == Closed(clock.now() + 1, f"another instance tries {API} first")
    assert await ask(hosts) == Closed(clock.now() + 3, f"another instance tries {API} first")
    clock.advance(51)
    assert await ask(hosts) is None
    await hosts.give_back(API)
    other = InstanceLeases(lambda: grants, step_hosts()[0].gate, clock, "other")
    assert await other.enter(API, 10.0) is None, "it answers, so all may ask it"
