"""What a chain may take and make: steps, events, seconds and characters."""

import asyncio
import math
import time

import pytest

from functions.transform.chain import Chain
from functions.transform.output import MAX_EVENTS, verify_output
from functions.transform.program import read_chain
from functions.transform.step import AskingStep, Services, Step, StepContext, Through
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.time_bound import bounded
from shared.writers.writing import MAX_OUTPUT_CHARACTERS
from tests.fakes.steps import finished
from tests.unit.transform.chain_steps import (
    EVENT,
    START,
    Adding,
    Answering,
    Splitting,
    To,
    chain,
    configured,
    letters,
    services,
    the_event,
    the_fault,
)


def test_there_is_an_end_to_how_many_one_event_becomes() -> None:
    assert len(finished(chain(Splitting(MAX_EVENTS)).run(START)).events) == MAX_EVENTS
    assert the_fault(finished(chain(Splitting(MAX_EVENTS + 1)).run(START))).code == "output_too_large"
    assert {fault.code for fault in finished(chain(Splitting(40), Splitting(40)).run(START)).faults} == {
        "output_too_large"
    }


def test_what_the_parts_of_an_event_repeat_is_bounded() -> None:
    split: JsonObject = {"split": {"path": "data.items", "into": "data.item"}}
    items: list[Json] = list(range(1_000))
    steps, _ = read_chain([split])

    fits = finished(Chain("r", tuple(steps)).run(EVENT.with_data({"items": items, "rest": "x" * 50_000})))
    assert len(fits.events) == 1_000
    assert (
        the_fault(finished(Chain("r", tuple(steps)).run(EVENT.with_data({"items": items, "rest": "x" * 100_000})))).code
        == "output_too_large"
    )


def test_an_event_takes_at_most_32_steps_whatever_the_chains() -> None:
    eleven = [Adding("a")] * 11
    at_the_limit = chain(*eleven, To("more", Through), *eleven, more=[Adding("b")] * 9)
    beyond = chain(*eleven, To("more", Through), *eleven, more=[Adding("b")] * 10)

    assert len(str(the_event(finished(at_the_limit.run(START))).data)) == 31
    assert the_fault(finished(beyond.run(START))).detail.endswith(
        "step 23 'adding': an event takes at most 32 steps of one route"
    )


def test_a_step_that_computes_forever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Step):
        def apply(self, event: Event, context: StepContext) -> Event:
            while True:
                try:
                    sum(range(1_000))
                except Exception:  # what is raised at it is no Exception
                    continue

    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.02,))
    assert the_fault(finished(chain(Endless()).run(EVENT))).code == "time_limit_exceeded"


@pytest.mark.parametrize("waits_first", [False, True])
async def test_a_step_that_computes_forever_while_it_is_asked_is_ended(
    waits_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(AskingStep):
        async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
            if waits_first:
                await asyncio.sleep(0)
            while True:
                sum(range(1_000))

    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.02,))
    assert the_fault(await chain(Endless()).run(EVENT, services())).code == "time_limit_exceeded"


async def test_what_others_compute_while_a_step_waits_is_not_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting(AskingStep):
        async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
            await asyncio.sleep(0)
            return event

    async def computes() -> None:
        ends = time.process_time() + 0.1
        while time.process_time() < ends:
            sum(range(1_000))

    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.02,))
    course, _ = await asyncio.gather(chain(Waiting()).run(EVENT, services()), computes())
    assert letters(course) == letters(finished(chain().run(EVENT)))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("x" * (MAX_OUTPUT_CHARACTERS + 1), "output_too_large"),
        ({"x" * (MAX_OUTPUT_CHARACTERS + 1): 1}, "output_too_large"),
        ([0] * (MAX_OUTPUT_CHARACTERS // 2 + 1), "output_too_large"),
        (1 << (5 * MAX_OUTPUT_CHARACTERS), "invalid_output"),
        ([10**4_300], "invalid_output"),
        (-(10**4_300), "invalid_output"),
        (math.nan, "invalid_output"),
        ([math.inf], "invalid_output"),
        ("half a pair \ud800", "invalid_output"),
        ({"\udfff": 1}, "invalid_output"),
    ],
    ids=["text", "key", "list", "number", "digits", "negative", "nan", "infinity", "half", "half key"],
)
def test_output_that_is_too_large_or_not_json_is_permanent(data: Json, code: str) -> None:
    fault = the_fault(finished(chain(Answering(EVENT.with_data(data))).run(EVENT)))

    assert fault.code == code
    assert "step 1 'answering'" in fault.detail


def test_what_holds_itself_over_and_over_is_rejected_before_it_is_written() -> None:
    doubled: list[Json] = [{"set": {"data": {"from": "[data, data]"}}}] * 32

    assert "larger than" in the_fault(finished(configured(doubled).run(EVENT))).detail


def test_output_nested_too_deeply_is_rejected() -> None:
    data: Json = 1
    for _ in range(100_000):
        data = [data]

    with pytest.raises(Permanent, match="nested deeper"):
        verify_output(data)


def test_output_within_its_limits_passes() -> None:
    verify_output({"a": ["x" * 4_000_000, 1.5, True, None, 1 - 10**4_300]})
