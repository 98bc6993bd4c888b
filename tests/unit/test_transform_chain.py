import math

import pytest

from functions.transform.chain import Chain
from functions.transform.output import MAX_OUTPUT_CHARACTERS, verify_output
from functions.transform.registry import NamedStep, read_chain
from functions.transform.step import Step, StepContext
from shared.errors import HookchainError, Permanent, Temporary
from shared.event import Event
from shared.jsontext import Json

EVENT = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", {"a": 1, "text": "hunter2"})


class Raising(Step):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def apply(self, event: Event, context: StepContext) -> Event:
        raise self.error


class Answering(Step):
    def __init__(self, data: Json) -> None:
        self.data = data

    def apply(self, event: Event, context: StepContext) -> Event:
        return event.with_data(self.data)


def chain(*steps: Step) -> Chain:
    named = tuple(NamedStep(number, type(step).__name__.lower(), step) for number, step in enumerate(steps, 1))
    return Chain("tell the list", named)


def configured(raw: Json) -> Chain:
    steps, faults = read_chain(raw)
    assert not faults
    return Chain("tell the list", tuple(steps))


def test_each_step_takes_the_event_that_the_one_before_made() -> None:
    after = configured(
        [{"set": {"data.b": {"from": "data.a"}}}, {"drop": ["data.a", "data.text"]}, {"set": {"data.c": 2}}]
    ).run(EVENT)

    assert after.data == {"b": 1, "c": 2}
    assert EVENT.data == {"a": 1, "text": "hunter2"}


def test_a_chain_without_steps_answers_the_very_same_event() -> None:
    assert configured(None).run(EVENT) is EVENT


def test_an_error_names_the_route_the_steps_number_and_the_step() -> None:
    with pytest.raises(Permanent) as caught:
        configured([{"set": {"data.b": 1}}, {"set": {"data.text.x": 1}}]).run(EVENT)

    assert caught.value.code == "path"
    assert caught.value.detail == (
        "route 'tell the list': step 2 'set': 'data.text.x': data.text is text, not an object"
    )


@pytest.mark.parametrize(
    "error",
    [RecursionError("hunter2"), MemoryError(), KeyError("hunter2"), KeyboardInterrupt(), SystemExit(1), Exception()],
)
def test_whatever_a_step_raises_is_permanent_and_says_only_its_kind(error: BaseException) -> None:
    with pytest.raises(Permanent) as caught:
        chain(Raising(error)).run(EVENT)

    assert caught.value.code == "step"
    assert caught.value.detail == f"route 'tell the list': step 1 'raising': {type(error).__name__}"


@pytest.mark.parametrize("kind", [Permanent, Temporary])
def test_our_own_errors_keep_their_kind_and_code(kind: type[HookchainError]) -> None:
    with pytest.raises(kind) as caught:
        chain(Raising(kind("secret_unavailable", "no key"))).run(EVENT)

    assert caught.value.code == "secret_unavailable"


def test_a_step_that_answers_no_event_is_permanent() -> None:
    class Forgetful(Step):
        def apply(self, event: Event, context: StepContext) -> Event:
            return None  # type: ignore[return-value] # what an operator's own step may do

    with pytest.raises(Permanent, match="it answered NoneType, not an event"):
        chain(Forgetful()).run(EVENT)


@pytest.mark.parametrize(
    "data",
    [
        "x" * (MAX_OUTPUT_CHARACTERS + 1),
        {"x" * (MAX_OUTPUT_CHARACTERS + 1): 1},
        [0] * (MAX_OUTPUT_CHARACTERS // 2 + 1),
        1 << (5 * MAX_OUTPUT_CHARACTERS),
        math.nan,
        [math.inf],
    ],
    ids=["text", "key", "list", "number", "nan", "infinity"],
)
def test_output_that_is_too_large_or_not_json_is_permanent(data: Json) -> None:
    with pytest.raises(Permanent) as caught:
        chain(Answering(data)).run(EVENT)

    assert caught.value.code == "output"
    assert "step 1 'answering'" in caught.value.detail


def test_what_holds_itself_over_and_over_is_refused_before_it_is_written() -> None:
    doubled: list[Json] = [{"set": {"data": {"from": "[data, data]"}}}] * 32

    with pytest.raises(Permanent, match="larger than"):
        configured(doubled).run(EVENT)


def test_output_nested_too_deeply_is_refused() -> None:
    data: Json = 1
    for _ in range(100_000):
        data = [data]

    with pytest.raises(Permanent, match="nested deeper"):
        verify_output(data)


def test_output_within_its_limits_passes() -> None:
    verify_output({"a": ["x" * 4_000_000, 1.5, True, None, -(10**4_000)]})
