"""Every step there is keeps the contract of a step; its example is true."""

import copy
from dataclasses import replace

import pytest

from functions.transform.program import read_chain, step_classes
from functions.transform.step import (
    MAX_STEPS,
    AskingStep,
    Example,
    Many,
    Noted,
    Services,
    Settings,
    Step,
    StepContext,
    StepResult,
    Stop,
    Switch,
    Through,
)
from functions.transform.verifying import compile_settings, verified_step
from shared.event import Event
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets

EVENT = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00")


async def taken(step: Step, event: Event, example: Example) -> StepResult:
    """As a chain takes it, with a world in which there is what the example says."""
    answers = {url: Fetched(200, (), to_json(body).encode()) for url, body in example.answers.items()}
    services = Services(FakeSecrets(example.secrets), lambda: FakeFetch(answers), FakeOwners(), FakeBlobs())
    if isinstance(step, AskingStep):
        return await step.ask(event, StepContext(event), services)
    return step.apply(event, StepContext(event))


def event_of(result: StepResult) -> Event:
    if isinstance(result, Noted | Switch | Through):
        return result.event
    assert isinstance(result, Event)
    return result


def verify_event(after: Event, example: Example) -> None:
    if not example.varies:
        assert after.data == example.after
    assert {attribute: getattr(after, attribute) for attribute in example.attributes} == example.attributes


@pytest.mark.parametrize("name", step_classes())
async def test_the_example_of_each_step_is_true(name: str) -> None:
    model = step_classes()[name]
    example = model.example
    event = replace(EVENT, data=copy.deepcopy(example.before))

    result = await taken(verified_step(model, example.settings), event, example)

    assert (result.reason if isinstance(result, Stop) else None) == example.stops
    if isinstance(result, Many):
        assert [each.data for each in result.events] == example.after
    elif not isinstance(result, Stop):
        verify_event(event_of(result), example)
    assert event.data == example.before


@pytest.mark.parametrize("name", step_classes())
def test_each_step_says_in_one_line_what_it_does(name: str) -> None:
    summary = step_classes()[name].summary

    assert summary.endswith(".")
    assert len(summary) <= 100
    assert "\n" not in summary


def asking(**settings: Json) -> JsonObject:
    return {"call": {"url": "https://api.example", **settings}}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"convert": {"to": "xml", "root": "no name"}}, "`root: no name` is not a name for an XML element: a letter"),
        ({"convert": {"to": "xml", "root": "a", "exact": True}}, "leave out `root` or `exact`"),
        ({"digest": {"algorithm": "sha-256"}}, "did you mean 'sha256'?"),
        ({"parse_time": {"path": "data.at", "to": "iso"}}, "to: must be rfc3339, unix, unix_ms, or a strftime format"),
        ({"parse_time": {"path": "data.at", "formats": "%Q"}}, "'%Q' has a % that strptime does not know"),
        ({"parse_time": {"path": "data.at", "formats": ["%Y", "%"]}}, "'%' has a % that strptime does not know"),
        ({"parse_time": {"path": "data.at", "formats": "%Y %Y"}}, "'%Y %Y' has the same part of a time twice"),
    ],
)
def test_what_no_event_could_pass_is_reported_at_once(step: Json, message: str) -> None:
    steps, [fault] = read_chain([step])

    assert not steps
    assert message in fault.reason


@pytest.mark.parametrize("name", step_classes())
@pytest.mark.parametrize("settings", [None, 7, "", [], {}, [[]], {"": ""}, True])
def test_no_step_takes_settings_that_say_nothing(name: str, settings: Json) -> None:
    steps, faults = read_chain([{name: settings}])

    assert not steps
    assert [(fault.number, fault.name) for fault in faults] == [(1, name)] * len(faults)
    assert faults


def test_the_steps_of_a_chain_are_read_in_their_order() -> None:
    steps, faults = read_chain([{"drop": ["data.a"]}, {"set": {"data.b": 1}}, {"drop": ["actor"]}])

    assert not faults
    assert [(step.number, step.name) for step in steps] == [(1, "drop"), (2, "set"), (3, "drop")]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ({"drop": ["data.a"]}, "steps: a chain is a list of steps; found an object"),
        ("drop", "steps: a chain is a list of steps; found text"),
        (["drop"], "step 1: a step is one name with its settings"),
        ([{"drop": ["data.a"], "set": {}}], "step 1: a step is one name"),
        ([{"dorp": ["data.a"]}], "step 1 'dorp': there is no such step; did you mean 'drop'?"),
        ([{"convert": {"to": "ymal"}}], "step 1 'convert': to: must be 'json', 'xml', 'yaml', "),
        (
            [{"template": {"data.a": "{{ data.b | uper }}"}}],
            "step 1 'template': data.a: line 1: No filter named 'uper'",
        ),
        ([{"frobnicate": {}}], "step 1 'frobnicate': there is no such step; there are: call, "),
        ([{"drop": ["data.a"]}, {"drop": ["password"]}], "step 2 'drop': [0]: path 'password' must begin with 'data'"),
        ([{"drop": "card"}], "step 1 'drop': path 'card' must begin with 'data'"),
        ([{"set": {"data.a": {"from": "a = 1"}}}], "step 1 'set': 'a = 1' is not JMESPath: column 3"),
    ],
)
def test_a_fault_in_a_chain_names_the_step(chain: Json, message: str) -> None:
    _, faults = read_chain(chain)

    assert str(faults[0]).startswith(message)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"sample": 50}, "must be a percentage over 0% and under 100%, such as `10%`"),
        ({"stop": ""}, "reason: must not be empty"),
        ({"cast": {}}, "must not be empty"),
        ({"set": {"dat.x": 1}}, "dat.x: path 'dat.x' must begin with 'data', or be one of type, subject, actor"),
        (
            {"deduplicate": {"key": "data.x", "window": "soon"}},
            "window: must be a number of seconds, or a duration such as 90s",
        ),
        (asking(retry=["5s", "soon"]), "retry[1]: must be a number of seconds, or a duration such as 90s"),
        (asking(retry=[-1]), "retry[0]: must be greater than or equal to 0"),
        (asking(retry=[1] * 51), "retry: Value must have at most 50 items after validation"),
    ],
)
def test_a_setting_that_cannot_be_is_rejected_with_a_message(step: Json, message: str) -> None:
    _, [fault] = read_chain([step])

    assert fault.reason.startswith(message)


@pytest.mark.parametrize("name", ["drop", "keep"])
def test_one_path_is_as_good_as_a_list_of_one(name: str) -> None:
    kind = step_classes()[name]
    assert issubclass(kind, Settings)
    assert compile_settings(kind, "data.a") == compile_settings(kind, ["data.a"]) == ["data.a"]


@pytest.mark.parametrize("name", step_classes())
def test_compiled_settings_are_settings_that_compile_to_themselves(name: str) -> None:
    kind = step_classes()[name]
    assert issubclass(kind, Settings)
    compiled = compile_settings(kind, kind.example.settings)
    assert compile_settings(kind, compiled) == compiled


@pytest.mark.parametrize(
    ("step", "meant"),
    [
        ({"convert": {"to": "ymal"}}, "yaml"),
        ({"cast": {"data.a": "int"}}, "integer"),
        ({"template": {"data.a": "{{ data.b | uper }}"}}, "upper"),
        ({"redact": {"card": True}}, "cards"),
    ],
)
def test_a_fault_in_settings_says_what_was_likely_meant(step: Json, meant: str) -> None:
    _, faults = read_chain([step])

    assert str(faults[0]).endswith(f"did you mean {meant!r}?")


def test_every_fault_of_a_chain_is_reported_at_once() -> None:
    _, faults = read_chain([{"drop": ["x", "y"]}, {"nothing": 1}, {"set": {"data..a": 1}}])

    assert [fault.number for fault in faults] == [1, 1, 2, 3]


def test_a_chain_longer_than_its_limit_is_rejected() -> None:
    step: Json = {"drop": ["data.a"]}

    assert read_chain([step] * MAX_STEPS)[1] == []
    assert "at most 32 steps; this one has 33" in str(read_chain([step] * (MAX_STEPS + 1))[1][0])
