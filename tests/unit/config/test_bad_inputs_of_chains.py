"""The lines of bad-inputs.txt whose stage is map, any or chain: each as an operator would have written it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from functions.transform.program import read_program
from functions.transform.route_runs import decide
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, to_json
from tests.fakes.configurations import compile_text, faults_of_text
from tests.fakes.steps import EVENT

STAGES: Final = frozenset({"map", "any", "chain"})
SECRET: Final = "hunter2"
LARGE: Final = "x" * 1_000_000

RAISING: Final = """\
from typing import ClassVar

from pydantic import BaseModel

from functions.transform.step import Example, Step


class Explode(BaseModel, Step):
    summary: ClassVar[str] = "Raise what the settings name."
    example: ClassVar[Example] = Example(settings={"error": "KeyError"}, before=None, after=None)

    error: str

    def apply(self, event, _):
        raise {"RecursionError": RecursionError, "MemoryError": MemoryError, "KeyboardInterrupt": KeyboardInterrupt,
               "SystemExit": SystemExit}[self.error](event.data)
"""

DEAD: Final[dict[str, list[tuple[Json, Json, str]]]] = {
    "P08": [
        (
            [{"template": {"data.x": "{% for n in range(9) %}{{ data.text }}{% endfor %}"}}],
            {"text": LARGE},
            "output_too_large",
        ),
        ([{"map": "[data.text, data.text, data.text, data.text, data.text]"}], {"text": LARGE}, "output_too_large"),
        ([{"set": {"data.a": {"from": "[data, data, data, data, data]"}}}], {"text": LARGE}, "output_too_large"),
        ([{"map": "[data, data]"}] * 30, {"text": SECRET}, "output_too_large"),
    ],
    "P09": [
        ([{"template": {"data.x": "{{ data.none }}"}}], {"a": SECRET}, "undefined_field"),
        ([{"template": {"data.x": "{{ data.a.none.b }}"}}], {"a": {"b": SECRET}}, "undefined_field"),
        ([{"template": {"data.x": "{{ data.a.__class__.__mro__ }}"}}], {"a": SECRET}, "template_failed"),
    ],
    "P13": [
        ([{"explode": {"error": error}}], {"a": SECRET}, "step_failed")
        for error in ("RecursionError", "MemoryError", "KeyboardInterrupt", "SystemExit")
    ],
}
REFUSED: Final[dict[str, list[tuple[str, str]]]] = {
    "P09": [
        ("[{template: {data.x: \"{% include '/etc/passwd' %}\"}}]", "include, import and extends are not supported")
    ],
    "P30": [
        ("[{explodde: {error: KeyError}}]", "there is no such step; did you mean 'explode'?"),
        (f"[{', '.join(['{drop: [data.a]}'] * 33)}]", "a chain has at most 32 steps; this one has 33"),
        ("{drop: [data.a]}", "must be a list"),
    ],
}


def config(steps: str) -> str:
    route = f"{{name: r, steps: {steps}, to: people}}"
    destination = "{people: {email: {to: a@example.com, subject: x}}}"
    return (
        f"sources: {{shop: {{auth: none}}}}\nsteps_from: [explode.py]\nroutes: [{route}]\ndestinations: {destination}\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "explode.py").write_text(RAISING, encoding="utf-8")
    return tmp_path


def test_every_line_of_these_stages_is_tried(inputs_folder: Path) -> None:
    lines = (inputs_folder / "bad-inputs.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.split("|")[0] for line in lines if line.count("|") >= 3 and line.split("|")[1] in STAGES}

    assert listed == {*DEAD, *REFUSED, "P32"}


@pytest.mark.parametrize("case", [case for cases in DEAD.values() for case in cases], ids=lambda case: str(case)[:60])
async def test_it_is_one_dead_letter_with_a_reason_and_no_crash(folder: Path, case: tuple[Json, Json, str]) -> None:
    steps, data, code = case
    slices = compile_text(config(to_json(steps)), folder)
    decision = await decide(replace(EVENT, data=data), read_program(slices["transform"]).routes, None)

    assert decision.owed == ()
    assert [failed.code for failed in decision.failed] == [code]
    assert SECRET not in decision.failed[0].reason


@pytest.mark.parametrize("case", [case for cases in REFUSED.values() for case in cases], ids=lambda case: case[1])
def test_it_is_rejected_when_the_configuration_is_loaded(folder: Path, case: tuple[str, str]) -> None:
    steps, message = case
    assert message in faults_of_text(config(steps), folder)


def hops(number: int) -> Event:
    return replace(EVENT, hops=number)


@pytest.mark.parametrize("number", [9, 10, 2**40])
async def test_an_event_of_nine_of_our_hops_is_a_loop(number: int) -> None:
    routes: Sequence[Json] = [{"name": "r", "to": ["people"]}]

    with pytest.raises(Permanent, match="loop"):
        await decide(hops(number), read_program({"routes": list(routes)}).routes, None)
