"""A chain: its steps in their order, what they raise, and what they ask."""

import asyncio
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, strategies as st

from functions.transform import output, step
from functions.transform.chain import Chain, ChainResult, StepRecord
from functions.transform.output import MAX_EVENTS, count_characters, verify_change
from shared.errors import HookchainError, Permanent, Temporary
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.time_bound import bounded
from shared.writers.writing import MAX_OUTPUT_CHARACTERS
from tests.fakes.steps import finished
from tests.unit.shared.json_values import json_values, texts
from tests.unit.transform.chain_steps import (
    EVENT,
    START,
    Adding,
    Answering,
    Asking,
    Splitting,
    To,
    chain,
    configured,
    letters,
    services,
    the_event,
    the_fault,
)


def test_a_chain_without_steps_answers_the_very_same_event() -> None:
    assert the_event(finished(configured(None).run(EVENT))) is EVENT


def test_an_error_names_the_route_the_steps_number_and_the_step_and_what_was_done_before() -> None:
    fault = the_fault(finished(configured([{"set": {"data.b": 1}}, {"set": {"data.text.x": 1}}]).run(EVENT)))

    assert fault.code == "path_conflict"
    assert fault.detail == "route 'tell the list': step 2 'set': data.text is text, not an object"
    assert fault.previous_steps == ("step 1 'set'",)


ANY_ERROR: list[BaseException] = [RecursionError("hunter2"), KeyError("hunter2"), KeyboardInterrupt(), GeneratorExit()]


@pytest.mark.parametrize("error", ANY_ERROR)
def test_whatever_a_step_raises_is_permanent_and_says_its_kind_and_its_line(error: BaseException) -> None:
    fault = the_fault(finished(chain(Answering(error)).run(EVENT)))

    assert fault.code == "step_failed"
    text = re.escape(f"route 'tell the list': step 1 'answering': {type(error).__name__} at ")
    assert re.fullmatch(text + r"\w+\.py:\d+", fault.detail)


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


@pytest.mark.parametrize("answer", [None, {"a": 1}, "text", step.Many((None,)), step.Switch(EVENT, "x")])  # type: ignore[arg-type] # wrong on purpose
def test_a_step_that_answers_no_event_is_permanent(answer: object) -> None:
    assert the_fault(finished(chain(Answering(answer)).run(EVENT))).code in {"step_failed", "invalid_chain"}


def test_a_step_cannot_give_the_event_another_id() -> None:
    assert "changed the event's id" in the_fault(finished(chain(Answering(replace(EVENT, id="e2"))).run(EVENT))).detail


async def test_a_chain_asks_where_a_chain_that_it_leads_to_asks() -> None:
    asking = chain(
        To("one", step.Through), Adding("z"), one=[To("two", step.Switch)], two=[Asking(), Adding("b")], three=[]
    )

    assert asking.asks
    assert not chain(Adding("a"), three=[Asking()]).asks
    assert letters(await asking.run(START, services())) == ["?bz"]


async def test_a_cancelled_question_cancels_the_chain() -> None:
    class Hanging(step.AskingStep):
        async def ask(self, event: Event, context: step.StepContext, services: step.Services) -> Event:
            await asyncio.Event().wait()
            return event

    task = asyncio.create_task(chain(Hanging()).run(EVENT, services()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_there_is_an_end_to_how_many_one_event_becomes() -> None:
    assert len(finished(chain(Splitting(MAX_EVENTS)).run(START)).events) == MAX_EVENTS
    assert the_fault(finished(chain(Splitting(MAX_EVENTS + 1)).run(START))).code == "output_too_large"
    assert {fault.code for fault in finished(chain(Splitting(40), Splitting(40)).run(START)).faults} == {
        "output_too_large"
    }


def test_what_the_parts_of_an_event_repeat_is_bounded() -> None:
    split = configured([{"split": {"path": "data.items", "into": "data.item"}}])

    def parts(characters: int) -> ChainResult:
        return finished(split.run(EVENT.with_data({"items": list(range(1_000)), "rest": "x" * characters})))

    assert len(parts(50_000).events) == 1_000
    assert the_fault(parts(100_000)).code == "output_too_large"


def test_an_event_takes_at_most_32_steps_whatever_the_chains() -> None:
    eleven = [Adding("a")] * 11
    at_the_limit = chain(*eleven, To("more", step.Through), *eleven, more=[Adding("b")] * 9)
    beyond = chain(*eleven, To("more", step.Through), *eleven, more=[Adding("b")] * 10)

    assert len(str(the_event(finished(at_the_limit.run(START))).data)) == 31
    assert the_fault(finished(beyond.run(START))).detail.endswith(
        "step 23 'adding': an event takes at most 32 steps of one route"
    )


def test_a_step_that_computes_forever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(step.Step):
        def apply(self, event: Event, context: step.StepContext) -> Event:
            while True:
                try:
                    sum(range(1_000))
                except Exception:  # what is raised at it is no Exception
                    continue

    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.02,))
    assert the_fault(finished(chain(Endless()).run(EVENT))).code == "time_limit_exceeded"


@pytest.mark.parametrize("waits_first", [False, True])
async def test_a_question_that_computes_forever_is_ended(waits_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(step.AskingStep):
        async def ask(self, event: Event, context: step.StepContext, services: step.Services) -> Event:
            if waits_first:
                await asyncio.sleep(0)
            while True:
                sum(range(1_000))

    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.02,))
    assert the_fault(await chain(Endless()).run(EVENT, services())).code == "time_limit_exceeded"


async def test_what_others_compute_while_a_step_waits_is_not_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting(step.AskingStep):
        async def ask(self, event: Event, context: step.StepContext, services: step.Services) -> Event:
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
        ([10**4_300], "invalid_output"),
        (math.nan, "invalid_output"),
        ([math.inf], "invalid_output"),
        ("half a pair \ud800", "invalid_output"),
        ({"\udfff": 1}, "invalid_output"),
    ],
    ids=["text", "key", "digits", "nan", "infinity", "half", "half key"],
)
def test_output_that_is_too_large_or_not_json_is_permanent(data: Json, code: str) -> None:
    fault = the_fault(finished(chain(Answering(EVENT.with_data(data))).run(EVENT)))

    assert fault.code == code
    assert "step 1 'answering'" in fault.detail


def test_an_operators_own_step_is_measured_whatever_it_says_of_itself() -> None:
    class Claiming(Answering):
        only_removes = True

    too_large = EVENT.with_data("x" * (MAX_OUTPUT_CHARACTERS + 1))
    own = Chain("r", (step.NamedStep(1, "claiming", Claiming(too_large), None, is_own=True),))
    assert the_fault(finished(own.run(EVENT))).code == "output_too_large"


@pytest.mark.parametrize(
    "returned",
    [
        step.Noted(EVENT, ValueError("hm")),  # type: ignore[arg-type]
        step.Noted(EVENT, "data" * 20_000),
        step.Many((EVENT,), 5),  # type: ignore[arg-type]
        step.Stop("no", None),  # type: ignore[arg-type]
        Permanent("step_failed", ValueError("hm")),  # type: ignore[arg-type]
        Permanent("step_failed", f"{'data.' * 20_000} is not there"),
        Temporary("step_timeout", ValueError("hm")),  # type: ignore[arg-type]
    ],
    ids=["note", "long note", "note of many", "missing", "permanent", "long permanent", "temporary"],
)
def test_an_operators_own_step_may_say_anything(returned: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.5,))
    own = Chain("r", (step.NamedStep(1, "own", Answering(returned), None, is_own=True),))
    try:
        result = finished(own.run(EVENT))
    except Temporary as fault:
        assert fault.detail == "route 'r': step 1 'own': hm"
    else:
        texts_ = (*result.notes, *result.journal_stops, *(fault.detail for fault in result.faults))
        assert [len(text) <= 500 for text in texts_] == [True]


def test_output_nested_too_deeply_is_rejected() -> None:
    data: Json = 1
    for _ in range(100_000):
        data = [data]

    with pytest.raises(Permanent, match="nested deeper"):
        count_characters(data)


def test_one_event_becomes_several_which_go_on_by_themselves() -> None:
    course = finished(chain(Splitting(2), Adding("b"), Splitting(2), Adding("c")).run(START))

    assert [(event.id, event.data) for event in course.events] == [
        ("e1-1-1", "0b0c"),
        ("e1-1-2", "0b1c"),
        ("e1-2-1", "1b0c"),
        ("e1-2-2", "1b1c"),
    ]


def test_what_fails_for_one_part_does_not_stop_the_others() -> None:
    class Fussy(step.Step):
        def apply(self, event: Event, context: step.StepContext) -> Event:
            if event.data == "1":
                raise Permanent("path_conflict", "not this one")
            return event

    course = finished(chain(Splitting(3), Fussy()).run(START))

    assert [event.id for event in course.events] == ["e1-1", "e1-3"]
    assert [fault.detail for fault in course.faults] == ["route 'tell the list': step 2 'fussy': not this one"]


def test_a_switch_goes_on_in_the_other_chain_instead_of_the_rest_of_its_own() -> None:
    switching = chain(Adding("a"), To("other", step.Switch), Adding("b"), other=[Adding("x")])
    assert letters(finished(switching.run(START))) == ["ax"]


def test_a_step_leads_to_no_chain_that_it_does_not_name() -> None:
    sneaky = Answering(step.Switch(START, "other"), leads_to=[])

    assert the_fault(finished(chain(sneaky, other=[Adding("x")]).run(START))).code == "invalid_chain"


def test_where_an_error_is_no_end_the_event_goes_on_from_before_the_step() -> None:
    course = finished(
        chain(Adding("a"), Answering(Permanent("path_conflict", "no")), Adding("b"), on_error="continue").run(START)
    )

    assert letters(course) == ["ab"]
    assert course.skipped_faults == ("route 'tell the list': step 2 'answering': no",)
    assert course.faults == ()


def test_the_steps_are_recorded_on_request() -> None:
    records: list[StepRecord] = []
    finished(
        chain(
            Adding("a"), To("other", step.Through), Answering(Permanent("path_conflict", "no")), other=[Adding("x")]
        ).run(START, records=records)
    )

    assert [(record.step.label, record.before.data) for record in records] == [
        ("step 1 'adding'", ""),
        ("step 2 'to'", "a"),
        ("chain 'other' step 1 'adding'", "a"),
        ("step 3 'answering'", "ax"),
    ]
    assert isinstance(records[0].result, Event)
    assert isinstance(records[3].result, HookchainError)


objects = st.dictionaries(texts, json_values, max_size=6)
LIMIT = 40


def outcome(verify: Callable[[], int]) -> int | tuple[str, str]:
    try:
        return verify()
    except Permanent as error:
        return error.code, error.detail


@st.composite
def changes(draw: st.DrawFn) -> tuple[Json, Json]:
    """Return a value, and another one that shares some of it, perhaps at a key of another name or several times."""
    before: JsonObject = draw(objects)
    shared: list[Json] = [before, *before.values(), float("inf")]
    shared.append([before, before])
    new = st.sampled_from(shared) | json_values
    kept: JsonObject = {key: value for key, value in before.items() if draw(st.booleans())}
    after: Json = {**kept, **draw(st.dictionaries(texts | st.sampled_from([*before, ""]), new, max_size=3))}
    return before, draw(st.just(after) | new)


@given(changes(), st.integers(0, 30))
def test_a_change_has_the_answer_of_the_whole(values: tuple[Json, Json], more: int) -> None:
    before, after = values
    with pytest.MonkeyPatch.context() as patch:
        known = count_characters(before) + more
        patch.setattr(output, "MAX_OUTPUT_CHARACTERS", max(LIMIT, known))
        whole, change = outcome(lambda: count_characters(after)), outcome(lambda: verify_change(after, before, known))

    if isinstance(whole, int):
        assert isinstance(change, int)
        assert whole <= change <= max(LIMIT, known)
    else:
        assert change == whole


STEPS: tuple[Json, ...] = (
    {"drop": "data.a"},
    {"set": {"data.b": 1, "data.c.d": {"from": "data"}}},
    {"set": {"data.a": "x" * 30}},
    {"rename": {"data.b": "a"}},
    {"map": "{a: data, b: data.b}"},
    {"split": {"path": "data.list", "into": "data.a"}},
)


@given(st.dictionaries(st.sampled_from("abc"), json_values), st.lists(st.sampled_from(STEPS), max_size=6))
def test_a_chain_has_the_same_result_whether_the_size_is_known_or_not(data: JsonObject, steps: list[Json]) -> None:
    event = EVENT.with_data({**data, "list": [1, "two"]})
    size = count_characters(event.data)
    assume(size <= 400)  # what comes is within the limits; what steps make of it may not be
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "MAX_OUTPUT_CHARACTERS", 400)
        known = finished(configured(steps).run(event, characters=size))
        unknown = finished(configured(steps).run(event))

    assert known.events == unknown.events
    assert [fault.detail for fault in known.faults] == [fault.detail for fault in unknown.faults]
