"""Steps of the operator's own, named chains and routes, from the configuration to what they decide."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.bundle import contents
from deploy.chains.config_tests import run_config_tests
from deploy.compiler import compile_config
from deploy.compiling.own_step_files import own_step_warnings
from deploy.config_file import ConfigFile, parse_config
from deploy.faults import ConfigFaults
from functions.transform.read_routes import read_program
from functions.transform.transform import Decision, decide
from shared.event import Event
from shared.jsontext import Json, JsonObject

STEP = """\
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from functions.transform.step import Example, Step, StepContext
from shared.event import Event


class Loyalty(BaseModel, Step):
    \"\"\"`per_point`: how much money a point is.\"\"\"

    summary: ClassVar[str] = "Count loyalty points."
    example: ClassVar[Example] = Example(
        settings={"per_point": 10}, before={"total": 42}, after={"total": 42, "points": 4}
    )

    model_config = ConfigDict(extra="forbid")

    per_point: int

    def apply(self, event: Event, _: StepContext) -> Event:
        return event.with_data({**event.data, "points": event.data["total"] // self.per_point})
"""

CONFIG = """\
sources:
  shop: {auth: none}
  web: {auth: none}
steps_from: [my_steps/loyalty.py]
chains:
  points: [{loyalty: {per_point: 10}}]
  vip: [{set: {data.vip: true}}]
routes:
  - name: gold
    from: shop
    types: [order.*]
    steps: points
    to: list
  - name: asleep
    enabled: false
    to: list
  - name: rest
    else: true
    steps: [{switch: {to: vip, when: data.vip}}, {chain: points}]
    on_error: drop
    to: list
destinations:
  list: {email: {to: a@example.com, subject: x}}
"""

EVENT = Event("e1", "/sources/shop", "order.paid", "2026-03-01T12:00:00.000Z", "00", {"total": 42})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(STEP, encoding="utf-8")
    return tmp_path


def config_file(folder: Path, text: str = CONFIG) -> ConfigFile:
    return parse_config(text, "hookchain.yaml", folder)


def faults(folder: Path, text: str) -> str:
    with pytest.raises(ConfigFaults) as refused:
        compile_config(config_file(folder, text))
    return str(refused.value)


async def decided(folder: Path, event: Event, text: str = CONFIG) -> Decision:
    return await decide(event, read_program(compile_config(config_file(folder, text))["transform"]).routes, None)


def data_of(decision: Decision) -> list[Json]:
    return [owed.event.data for owed in decision.owed]


async def test_a_step_of_the_operators_own_is_used_by_its_name(folder: Path) -> None:
    decision = await decided(folder, EVENT)

    assert data_of(decision) == [{"total": 42, "points": 4}]


WRITES_INTO_IT = STEP[: STEP.index("        return")] + (
    "        event.data['points'] = event.data.pop('total') // self.per_point\n        return event\n"
)


async def test_what_it_writes_into_the_event_no_other_route_sees(folder: Path) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(WRITES_INTO_IT, encoding="utf-8")
    second = CONFIG.replace("  - name: asleep\n    enabled: false\n", "  - name: second\n")
    event = replace(EVENT, data={"total": 42}, rawbody='{"total": 42}')

    changed, untouched = (await decided(folder, event, second)).owed

    assert (changed.event.data, changed.event.rawbody) == ({"points": 4}, None)
    assert (untouched.event.data, untouched.event.rawbody) == ({"total": 42}, '{"total": 42}')


async def test_one_that_answers_the_event_as_it_is_leaves_the_body_as_it_came(folder: Path) -> None:
    source = STEP[: STEP.index("        return")] + "        return event\n"
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")
    event = replace(EVENT, rawbody='{"total": 42}')

    [owed] = (await decided(folder, event)).owed

    assert owed.event == event
    assert owed.event.data is event.data


def test_its_text_travels_in_the_slice_so_that_the_bundle_holds_it(folder: Path, root: Path) -> None:
    slices = compile_config(config_file(folder))

    assert slices["transform"]["own_steps"] == {"my_steps/loyalty.py": STEP}
    files = contents(root, "transform", slices["transform"], "gcp")
    assert any(b"class Loyalty" in content for content in files.values())
    assert "own_steps" not in str(slices["receive"]) + str(slices["notify"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_that_name\n", "my_steps/loyalty.py: line 1: ModuleNotFoundError"),
        ("x = (\n", "my_steps/loyalty.py: line 1: '(' was never closed"),
        ("x = 1\n\n1 / 0\n", "my_steps/loyalty.py: line 3: ZeroDivisionError"),
        ("import sys\n\nsys.exit(1)\n", "my_steps/loyalty.py: line 3: SystemExit: 1"),
        (
            f"from functions.notify import notify\n{STEP}",
            "my_steps/loyalty.py: imports 'functions.notify', which transform's bundle does not hold",
        ),
        (f"{STEP}\nfrom shared.cloud.local import owners\n", "imports 'shared.cloud.local', which transform's bundle"),
        ("x = 1\n", "no class in it is both a pydantic model and a Step"),
        (STEP.replace("def apply", "def aply"), "the step 'loyalty' has no `def apply(self, …)`"),
        (STEP.replace("    summary:", "    sumary:"), "the step 'loyalty' has no `summary: ClassVar[…]`"),
        (
            f"{STEP}\n    def model_post_init(self, _: object) -> None:\n        self.per_point / 0\n",
            "step 1 'loyalty': its code fails on these settings: ZeroDivisionError at my_steps/loyalty.py:25",
        ),
        (STEP.replace("class Loyalty", "class Drop"), "there is another step 'drop'; give its class another name"),
    ],
)
def test_a_file_that_gives_no_steps_is_a_fault_of_the_configuration(folder: Path, source: str, words: str) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")

    said = faults(folder, CONFIG)
    assert f"hookchain.yaml:4: steps_from: {words}" in said or words in said


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f"import requests.auth\n{STEP}", ["imports 'requests', which transform's bundle holds only where"]),
        (f"import json\nimport collections.abc\n{STEP}", []),
        (f"import yaml\n{STEP}".replace("    summary:", '    extras: ClassVar = ("yaml",)\n    summary:'), []),
    ],
)
def test_a_package_that_may_be_missing_where_it_runs_is_told_of(folder: Path, source: str, words: list[str]) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")
    compile_config(config_file(folder))

    found = [fault.text("hookchain.yaml") for fault in own_step_warnings(config_file(folder))]

    assert len(found) == len(words)
    for said, word in zip(found, words, strict=True):
        assert said.startswith(f"hookchain.yaml:4: steps_from: my_steps/loyalty.py: {word}")


def test_a_fault_of_a_file_is_one_line(folder: Path) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(STEP.replace("summary: ClassVar[str]", "summary"), encoding="utf-8")

    [told, *_] = faults(folder, CONFIG).splitlines()
    assert "PydanticUserError: A non-annotated attribute was detected" in told
    assert "For further information" not in faults(folder, CONFIG)


def test_a_file_that_is_not_there_is_a_fault(folder: Path) -> None:
    said = faults(folder, CONFIG.replace("my_steps/loyalty.py", "my_steps/loyality.py"))

    assert "the file 'my_steps/loyality.py', relative to the configuration's folder, cannot be read" in said
    assert "there is no such step" in said


async def test_an_else_route_takes_what_no_other_took(folder: Path) -> None:
    other = await decided(folder, Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": 7}))

    assert data_of(other) == [{"total": 7, "points": 0}]
    assert [(route.route, route.matched, route.reason) for route in other.routes] == [
        ("gold", False, "from 'web', which is not shop"),
        ("asleep", False, "it is switched off (`enabled: false`)"),
        ("rest", True, "it takes every event; no other route took it"),
    ]
    taken = await decided(folder, EVENT)
    assert taken.routes[2].reason == "it is for what nothing else takes; 'gold' took it"


async def test_what_a_chain_was_switched_to_does_is_all_that_is_done(folder: Path) -> None:
    decision = await decided(folder, Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"vip": 1}))

    assert data_of(decision) == [{"vip": True}]


async def test_a_route_that_drops_what_fails_says_so_and_leaves_no_dead_letter(folder: Path) -> None:
    decision = await decided(folder, Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": "hunter2"}))

    assert (decision.owed, decision.failed) == ((), ())
    assert decision.routes[2].matched
    assert decision.routes[2].code is None
    assert "dropped, as `on_error` says" in decision.routes[2].reason
    assert "hunter2" not in decision.routes[2].reason


async def test_a_route_that_goes_on_delivers_the_event_from_before_the_step(folder: Path) -> None:
    text = CONFIG.replace("on_error: drop", "on_error: continue")
    event = Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": "hunter2"})
    decision = await decided(folder, event, text)

    assert data_of(decision) == [{"total": "hunter2"}]
    assert (
        "went on from chain 'points' step 1 'loyalty': TypeError at my_steps/loyalty.py:22" in decision.routes[2].reason
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("steps: points", "steps: pionts"), "there is no chain 'pionts'; did you mean 'points'?"),
        (("to: vip, when", "to: vpi, when"), "step 1 'switch': there is no chain 'vpi'"),
        (("vip: [{set: {data.vip: true}}]", "vip: [{chain: points}, {chain: vip}]"), "a chain cannot lead to itself"),
        (
            ("vip: [{set: {data.vip: true}}]", "vip: [{chain: two}]\n  two: [{switch: {to: vip}}]"),
            "chain 'vip': step 1 'chain': a chain cannot lead to itself: vip → two → vip",
        ),
        (("vip: [", "vip: [{dorp: [data.x]}, "), "chain 'vip': step 1 'dorp': there is no such step; did you mean"),
        (("types: [order.*]", "types: []"), "route 'gold': types: should not be empty"),
        (("on_error: drop", "on_error: dead_leter"), "found 'dead_leter'"),
        (("on_error: drop", "on_error: dead_leter"), "; did you mean 'dead_letter'?"),
        (("vip: [", "vip: [{encode: {to: bas64}}, "), "that we know, in lower case; did you mean 'base64'?"),
        (("per_point: 10", "per_piont: 10"), "there is no such setting; did you mean 'per_point'?"),
    ],
)
def test_a_fault_in_chains_and_routes_names_its_place(folder: Path, change: tuple[str, str], words: str) -> None:
    assert words in faults(folder, CONFIG.replace(*change))


def test_a_slice_without_chains_says_nothing_of_them(folder: Path) -> None:
    plain: JsonObject = compile_config(
        parse_config("sources: {shop: {auth: none}}\nroutes: []\ndestinations: {}", "x", folder)
    )["transform"]

    assert "chains" not in plain
    assert "own_steps" not in plain


def test_the_example_of_a_step_of_ones_own_is_a_test_of_the_configuration(folder: Path) -> None:
    file = config_file(folder)
    [result] = run_config_tests(file.document, compile_config(file), folder)
    assert (result.name, result.lines) == ("the example of the step 'loyalty'", ())

    (folder / "my_steps" / "loyalty.py").write_text(STEP.replace('"points": 4', '"points": 5'), encoding="utf-8")
    [result] = run_config_tests(file.document, compile_config(file), folder)
    assert result.lines == ("- data.points: 5", "+ data.points: 4")


@pytest.mark.parametrize("missing", ["summary", "example"])
def test_a_step_without_its_line_or_its_example_is_a_fault(folder: Path, missing: str) -> None:
    source = STEP.replace(f"    {missing}: ClassVar", f"    other_{missing}: ClassVar")
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")

    assert f"the step 'loyalty' has no `{missing}: ClassVar[…]`" in faults(folder, CONFIG)


def test_the_step_and_the_routes_that_the_page_shows_work(tmp_path: Path, root: Path) -> None:
    page = (root / "functions" / "transform" / "README.md").read_text(encoding="utf-8")
    [python] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    blocks = {text.split(":")[0]: text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)}
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(python, encoding="utf-8")
    rest = "sources: {shop: {auth: none}}\ndestinations:\n"
    rest += "".join(f"  {name}: {{email: {{to: a@example.com, subject: x}}}}\n" for name in ("crm", "newsletter-list"))

    file = config_file(tmp_path, blocks["steps_from"] + blocks["tests"] + rest)
    results = run_config_tests(file.document, compile_config(file), tmp_path)
    assert [(each.name, each.lines) for each in results] == [
        ("the example of the step 'loyalty_points'", ()),
        ("an order becomes points", ()),
    ]
    routes = next(text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "\nroutes:" in text)
    assert compile_config(parse_config(routes + rest, "hookchain.yaml", tmp_path))
