import asyncio
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from functions.transform.chain import Chain, OnError
from functions.transform.output import MAX_OUTPUT_CHARACTERS, verify_output
from functions.transform.registry import NamedStep, read_chain
from functions.transform.step import (
    AskingStep,
    Many,
    Services,
    Step,
    StepContext,
    StepResult,
    Stop,
    Switch,
    Through,
)
from functions.transform.trail import Trail
from functions.transform.walk import MAX_EVENTS, ChainFault, Course
from shared.errors import HookchainError, Permanent, Temporary
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.time_bound import bounded
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets

EVENT = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", {"a": 1, "text": "hunter2"})


@dataclass
class Answering(Step):
    """Answers what it was made with, or raises it; `leads_to` are the chains that it names."""

    answer: object
    leads_to: Sequence[str] = ()

    def chains(self) -> tuple[str, ...]:
        return tuple(self.leads_to)

    def apply(self, event: Event, context: StepContext) -> StepResult:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value] # an operator's own step may answer anything


@dataclass
class Adding(Step):
    """Puts its letter into the data, so that the way of an event can be read from it."""

    letter: str

    def apply(self, event: Event, context: StepContext) -> Event:
        return event.with_data(f"{event.data if isinstance(event.data, str) else ''}{self.letter}")


@dataclass
class Splitting(Step):
    parts: int

    def apply(self, event: Event, context: StepContext) -> Many:
        return Many(tuple(event.with_data(f"{event.data}{n}") for n in range(self.parts)))


@dataclass
class To(Step):
    """Goes to the chain, or through it."""

    chain: str
    kind: type[Switch] | type[Through]

    def chains(self) -> tuple[str, ...]:
        return (self.chain,)

    def apply(self, event: Event, context: StepContext) -> StepResult:
        return self.kind(event, self.chain)


@dataclass
class Asking(AskingStep):
    answer: object = None
    asked: list[str] = field(default_factory=list)

    async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
        await asyncio.sleep(0)
        self.asked.append(event.id)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return event.with_data(f"{event.data}?")


def named(*steps: Step, chain: str | None = None) -> tuple[NamedStep, ...]:
    return tuple(NamedStep(number, type(step).__name__.lower(), step, chain) for number, step in enumerate(steps, 1))


def chain(*steps: Step, on_error: OnError = "dead_letter", **chains: Sequence[Step]) -> Chain:
    known = {name: named(*others, chain=name) for name, others in chains.items()}
    return Chain("tell the list", named(*steps), known, on_error)


def services() -> Services:
    return Services(FakeSecrets({}), FakeFetch(), FakeOwners(), None)


def configured(raw: Json) -> Chain:
    steps, faults = read_chain(raw)
    assert not faults
    return Chain("tell the list", tuple(steps))


def the_event(course: Course) -> Event:
    [event] = course.arrived
    return event


def the_fault(course: Course) -> ChainFault:
    assert course.arrived == []
    [fault] = course.faults
    return fault


def way(course: Course) -> list[Json]:
    return [event.data for event in course.arrived]


START = replace(EVENT, data="")


def test_each_step_takes_the_event_that_the_one_before_made() -> None:
    steps: Json = [{"set": {"data.b": {"from": "data.a"}}}, {"drop": ["data.a", "data.text"]}, {"set": {"data.c": 2}}]

    assert the_event(configured(steps).run(EVENT)).data == {"b": 1, "c": 2}
    assert EVENT.data == {"a": 1, "text": "hunter2"}


def test_a_chain_without_steps_answers_the_very_same_event() -> None:
    assert the_event(configured(None).run(EVENT)) is EVENT


def test_an_error_names_the_route_the_steps_number_and_the_step_and_what_was_done_before() -> None:
    fault = the_fault(configured([{"set": {"data.b": 1}}, {"set": {"data.text.x": 1}}]).run(EVENT))

    assert fault.code == "path"
    assert fault.detail == "route 'tell the list': step 2 'set': 'data.text.x': data.text is text, not an object"
    assert fault.done == ("step 1 'set'",)


def test_an_error_in_a_named_chain_names_the_chain() -> None:
    course = chain(To("clean", Through), clean=[Answering(Permanent("path", "no"))]).run(EVENT)

    assert the_fault(course).detail == "route 'tell the list': chain 'clean' step 1 'answering': no"
    assert the_fault(course).done == ("step 1 'to'",)


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
    fault = the_fault(chain(Answering(error)).run(EVENT))

    assert fault.code == "step"
    said = re.escape(f"route 'tell the list': step 1 'answering': {type(error).__name__} at ")
    assert re.fullmatch(said + r"\w+\.py:\d+", fault.detail)


@pytest.mark.parametrize("error", ANY_ERROR)
async def test_whatever_an_asking_step_raises_is_permanent_too(error: BaseException) -> None:
    course = await chain(Adding("a"), Asking(error)).ask(START, services())

    said = f"route 'tell the list': step 2 'asking': {type(error).__name__}"
    assert the_fault(course).detail.startswith(said)


def test_our_own_permanent_errors_keep_their_code() -> None:
    assert the_fault(chain(Answering(Permanent("schema", "no"))).run(EVENT)).code == "schema"


async def test_a_temporary_error_is_raised_so_that_the_event_comes_again() -> None:
    error = Temporary("secret_unavailable", "no key")

    for run in (
        chain(Answering(error)),
        chain(Asking(error), on_error="continue"),
        chain(Asking(error), on_error="drop"),
    ):
        with pytest.raises(Temporary, match=r"step 1 '\w+': no key") as caught:
            await run.ask(EVENT, services())
        assert caught.value.code == "secret_unavailable"


@pytest.mark.parametrize("answer", [None, {"a": 1}, "text", Many((None,)), Switch(EVENT, "x")])  # type: ignore[arg-type] # wrong on purpose
def test_a_step_that_answers_no_event_is_permanent(answer: object) -> None:
    assert the_fault(chain(Answering(answer)).run(EVENT)).code in {"step", "chain"}


def test_a_step_cannot_give_the_event_another_id() -> None:
    assert "changed the event's id" in the_fault(chain(Answering(replace(EVENT, id="e2"))).run(EVENT)).detail


async def test_a_chain_of_steps_that_ask_keeps_the_order() -> None:
    asking = chain(Adding("a"), Asking(), Adding("b"), Asking())

    assert asking.asks
    assert way(await asking.ask(START, services())) == ["a?b?"]


async def test_a_chain_asks_where_a_chain_that_it_leads_to_asks() -> None:
    asking = chain(To("one", Through), Adding("z"), one=[To("two", Switch)], two=[Asking(), Adding("b")], three=[])

    assert asking.asks
    assert not chain(Adding("a"), three=[Asking()]).asks
    assert way(await asking.ask(START, services())) == ["?bz"]


async def test_a_cancelled_question_cancels_the_chain() -> None:
    class Hanging(AskingStep):
        async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
            await asyncio.Event().wait()
            return event

    task = asyncio.create_task(chain(Hanging()).ask(EVENT, services()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_one_event_becomes_several_which_go_on_by_themselves() -> None:
    course = chain(Splitting(2), Adding("b"), Splitting(2), Adding("c")).run(START)

    assert [(event.id, event.data) for event in course.arrived] == [
        ("e1-1-1", "0b0c"),
        ("e1-1-2", "0b1c"),
        ("e1-2-1", "1b0c"),
        ("e1-2-2", "1b1c"),
    ]


def test_what_fails_for_one_part_does_not_stop_the_others() -> None:
    class Fussy(Step):
        def apply(self, event: Event, context: StepContext) -> Event:
            if event.data == "1":
                raise Permanent("path", "not this one")
            return event

    course = chain(Splitting(3), Fussy()).run(START)

    assert [event.id for event in course.arrived] == ["e1-1", "e1-3"]
    assert [fault.detail for fault in course.faults] == ["route 'tell the list': step 2 'fussy': not this one"]


def test_an_event_that_becomes_none_is_stopped() -> None:
    course = chain(Splitting(0), Adding("b")).run(START)

    assert (course.arrived, course.stopped) == ([], ["step 1 'splitting': there was nothing to make events of"])


def test_there_is_an_end_to_how_many_one_event_becomes() -> None:
    assert len(chain(Splitting(MAX_EVENTS)).run(START).arrived) == MAX_EVENTS
    assert the_fault(chain(Splitting(MAX_EVENTS + 1)).run(START)).code == "output"
    assert {fault.code for fault in chain(Splitting(40), Splitting(40)).run(START).faults} == {"output"}


def test_a_stop_ends_the_chain_and_says_why() -> None:
    course = chain(Adding("a"), Answering(Stop("a free plan")), Adding("b")).run(START)

    assert (course.arrived, course.stopped, course.faults) == ([], ["step 2 'answering': a free plan"], [])


def test_a_switch_goes_on_in_the_other_chain_instead_of_the_rest_of_its_own() -> None:
    assert way(chain(Adding("a"), To("other", Switch), Adding("b"), other=[Adding("x")]).run(START)) == ["ax"]


def test_what_the_parts_of_an_event_repeat_is_bounded() -> None:
    split: JsonObject = {"split": {"path": "data.items", "into": "data.item"}}
    items: list[Json] = list(range(1_000))
    steps, _ = read_chain([split])

    fits = Chain("r", tuple(steps)).run(EVENT.with_data({"items": items, "rest": "x" * 50_000}))
    assert len(fits.arrived) == 1_000
    assert (
        the_fault(Chain("r", tuple(steps)).run(EVENT.with_data({"items": items, "rest": "x" * 100_000}))).code
        == "output"
    )


def test_a_chain_that_is_gone_through_is_followed_by_the_rest() -> None:
    steps = [Adding("a"), To("outer", Through), Adding("b")]
    outer = [Adding("x"), To("inner", Switch), Adding("y")]

    assert way(chain(*steps, outer=outer, inner=[Splitting(2)]).run(START)) == ["ax0b", "ax1b"]


def test_a_step_leads_to_no_chain_that_it_does_not_name() -> None:
    sneaky = Answering(Switch(START, "other"), leads_to=[])

    assert the_fault(chain(sneaky, other=[Adding("x")]).run(START)).code == "chain"


def test_an_event_takes_at_most_32_steps_whatever_the_chains() -> None:
    eleven = [Adding("a")] * 11
    at_the_limit = chain(*eleven, To("more", Through), *eleven, more=[Adding("b")] * 9)
    beyond = chain(*eleven, To("more", Through), *eleven, more=[Adding("b")] * 10)

    assert len(str(the_event(at_the_limit.run(START)).data)) == 31
    assert the_fault(beyond.run(START)).detail.endswith(
        "step 23 'adding': an event takes at most 32 steps of one route"
    )


def test_where_an_error_is_no_end_the_event_goes_on_from_before_the_step() -> None:
    course = chain(Adding("a"), Answering(Permanent("path", "no")), Adding("b"), on_error="continue").run(START)

    assert way(course) == ["ab"]
    assert course.skipped == ["route 'tell the list': step 2 'answering': no"]
    assert course.faults == []


def test_a_step_that_computes_forever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Step):
        def apply(self, event: Event, context: StepContext) -> Event:
            while True:
                try:
                    sum(range(1_000))
                except Exception:  # what is raised at it is no Exception
                    continue

    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.02,))
    assert the_fault(chain(Endless()).run(EVENT)).code == "time"


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
    assert the_fault(await chain(Endless()).ask(EVENT, services())).code == "time"


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
    course, _ = await asyncio.gather(chain(Waiting()).ask(EVENT, services()), computes())
    assert way(course) == way(chain().run(EVENT))


def test_the_way_is_told_step_by_step_where_it_is_asked_for() -> None:
    trail: Trail = []
    chain(Adding("a"), To("other", Through), Answering(Permanent("path", "no")), other=[Adding("x")]).run(START, trail)

    assert [(taken.step.label, taken.before.data) for taken in trail] == [
        ("step 1 'adding'", ""),
        ("step 2 'to'", "a"),
        ("chain 'other' step 1 'adding'", "a"),
        ("step 3 'answering'", "ax"),
    ]
    assert isinstance(trail[0].result, Event)
    assert isinstance(trail[3].result, HookchainError)


@pytest.mark.parametrize(
    "data",
    [
        "x" * (MAX_OUTPUT_CHARACTERS + 1),
        {"x" * (MAX_OUTPUT_CHARACTERS + 1): 1},
        [0] * (MAX_OUTPUT_CHARACTERS // 2 + 1),
        1 << (5 * MAX_OUTPUT_CHARACTERS),
        [10**4_300],
        -(10**4_300),
        math.nan,
        [math.inf],
    ],
    ids=["text", "key", "list", "number", "digits", "negative", "nan", "infinity"],
)
def test_output_that_is_too_large_or_not_json_is_permanent(data: Json) -> None:
    fault = the_fault(chain(Answering(EVENT.with_data(data))).run(EVENT))

    assert fault.code == "output"
    assert "step 1 'answering'" in fault.detail


def test_what_holds_itself_over_and_over_is_refused_before_it_is_written() -> None:
    doubled: list[Json] = [{"set": {"data": {"from": "[data, data]"}}}] * 32

    assert "larger than" in the_fault(configured(doubled).run(EVENT)).detail


def test_output_nested_too_deeply_is_refused() -> None:
    data: Json = 1
    for _ in range(100_000):
        data = [data]

    with pytest.raises(Permanent, match="nested deeper"):
        verify_output(data)


def test_output_within_its_limits_passes() -> None:
    verify_output({"a": ["x" * 4_000_000, 1.5, True, None, 1 - 10**4_300]})
