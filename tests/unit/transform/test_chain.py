"""A chain: its steps in their order, what they raise, and what they ask."""

import asyncio
import re
from dataclasses import replace

import pytest

from functions.transform.step import AskingStep, Many, Services, StepContext, Switch, Through
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.steps import finished
from tests.unit.transform.chain_steps import (
    EVENT,
    START,
    Adding,
    Answering,
    Asking,
    To,
    chain,
    configured,
    letters,
    services,
    the_event,
    the_fault,
)


def test_each_step_takes_the_event_that_the_one_before_made() -> None:
    steps: Json = [{"set": {"data.b": {"from": "data.a"}}}, {"drop": ["data.a", "data.text"]}, {"set": {"data.c": 2}}]

    assert the_event(finished(configured(steps).run(EVENT))).data == {"b": 1, "c": 2}
    assert EVENT.data == {"a": 1, "text": "hunter2"}


def test_a_chain_without_steps_answers_the_very_same_event() -> None:
    assert the_event(finished(configured(None).run(EVENT))) is EVENT


def test_an_error_names_the_route_the_steps_number_and_the_step_and_what_was_done_before() -> None:
    fault = the_fault(finished(configured([{"set": {"data.b": 1}}, {"set": {"data.text.x": 1}}]).run(EVENT)))

    assert fault.code == "path_conflict"
    assert fault.detail == "route 'tell the list': step 2 'set': data.text is text, not an object"
    assert fault.previous_steps == ("step 1 'set'",)


def test_an_error_in_a_named_chain_names_the_chain() -> None:
    course = finished(chain(To("clean", Through), clean=[Answering(Permanent("path_conflict", "no"))]).run(EVENT))

    assert the_fault(course).detail == "route 'tell the list': chain 'clean' step 1 'answering': no"
    assert the_fault(course).previous_steps == ("step 1 'to'",)


ANY_ERROR: list[BaseException] = [
    RecursionError("hunter2"),
    MemoryError(),
    KeyError("hunter2"),
    KeyboardInterrupt(),
    SystemExit(1),
    Exception(),
    GeneratorExit(),
]


@pytest.mark.parametrize("error", ANY_ERROR)
def test_whatever_a_step_raises_is_permanent_and_says_its_kind_and_its_line(error: BaseException) -> None:
    fault = the_fault(finished(chain(Answering(error)).run(EVENT)))

    assert fault.code == "step_failed"
    text = re.escape(f"route 'tell the list': step 1 'answering': {type(error).__name__} at ")
    assert re.fullmatch(text + r"\w+\.py:\d+", fault.detail)


@pytest.mark.parametrize("error", [*ANY_ERROR, asyncio.CancelledError()])  # the last, of what it waited for
async def test_whatever_an_asking_step_raises_is_permanent_too(error: BaseException) -> None:
    course = await chain(Adding("a"), Asking(error)).run(START, services())

    text = f"route 'tell the list': step 2 'asking': {type(error).__name__}"
    assert the_fault(course).detail.startswith(text)


def test_our_own_permanent_errors_keep_their_code() -> None:
    assert the_fault(finished(chain(Answering(Permanent("lint_failed", "no"))).run(EVENT))).code == "lint_failed"


async def test_a_temporary_error_is_raised_so_that_the_event_comes_again() -> None:
    error = Temporary("secret_unavailable", "no key")

    for run in (
        chain(Answering(error)),
        chain(Asking(error), on_error="continue"),
        chain(Asking(error), on_error="drop"),
    ):
        with pytest.raises(Temporary, match=r"step 1 '\w+': no key") as caught:
            await run.run(EVENT, services())
        assert caught.value.code == "secret_unavailable"


@pytest.mark.parametrize("answer", [None, {"a": 1}, "text", Many((None,)), Switch(EVENT, "x")])  # type: ignore[arg-type] # wrong on purpose
def test_a_step_that_answers_no_event_is_permanent(answer: object) -> None:
    assert the_fault(finished(chain(Answering(answer)).run(EVENT))).code in {"step_failed", "invalid_chain"}


def test_a_step_cannot_give_the_event_another_id() -> None:
    assert "changed the event's id" in the_fault(finished(chain(Answering(replace(EVENT, id="e2"))).run(EVENT))).detail


async def test_a_chain_of_steps_that_ask_keeps_the_order() -> None:
    asking = chain(Adding("a"), Asking(), Adding("b"), Asking())

    assert asking.asks
    assert letters(await asking.run(START, services())) == ["a?b?"]


async def test_a_chain_asks_where_a_chain_that_it_leads_to_asks() -> None:
    asking = chain(To("one", Through), Adding("z"), one=[To("two", Switch)], two=[Asking(), Adding("b")], three=[])

    assert asking.asks
    assert not chain(Adding("a"), three=[Asking()]).asks
    assert letters(await asking.run(START, services())) == ["?bz"]


async def test_a_cancelled_question_cancels_the_chain() -> None:
    class Hanging(AskingStep):
        async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
            await asyncio.Event().wait()
            return event

    task = asyncio.create_task(chain(Hanging()).run(EVENT, services()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
