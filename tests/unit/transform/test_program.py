"""Every step there is keeps the contract of a step; its example is true."""

import copy
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.bundle.bundle import contents
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.sections.own_files import own_step_warnings
from deploy.explain.config_tests import run_config_tests
from functions.transform.program import read_chain
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
from functions.transform.step_classes import step_classes
from functions.transform.verifying import compile_settings, verified_step
from shared.event import Event
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.unit.config.own_configuration import CONFIG, EVENT, STEP, config_file, decided, faults

STEP_EVENT = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00")


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
    event = replace(STEP_EVENT, data=copy.deepcopy(example.before))

    result = await taken(verified_step(model, example.settings), event, example)

    assert (result.reason if isinstance(result, Stop) else None) == example.stops
    if isinstance(result, Many):
        assert [each.data for each in result.events] == example.after
    elif not isinstance(result, Stop):
        verify_event(event_of(result), example)
    assert event.data == example.before


JWE: dict[str, Json] = {"secret": "keys", "format": "jwe"}


def asking(**settings: Json) -> JsonObject:
    return {"call": {"url": "https://api.example", **settings}}


def fetching(url: str) -> JsonObject:
    return {"fetch": {"url": url, "into": "data.a"}}


@pytest.mark.parametrize("name", step_classes())
def test_no_step_takes_settings_that_say_nothing(name: str) -> None:
    nothings: list[Json] = [None, 7, "", [], {}, [[]], {"": ""}, True]
    for settings in nothings:
        steps, faults = read_chain([{name: settings}])

        assert not steps
        assert {(fault.number, fault.name) for fault in faults} == {(1, name)}


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ({"drop": ["data.a"]}, "steps: a chain is a list of steps, each after `- `; found an object"),
        (["drop"], "step 1: a step is one name with its settings"),
        ([{"drop": ["data.a"], "set": {}}], "step 1: a step is one name"),
        ([{"dorp": ["data.a"]}], "step 1 'dorp': there is no such step; did you mean 'drop'?"),
        ([{"frobnicate": {}}], "step 1 'frobnicate': there is no such step; there are: call, "),
        ([{"drop": ["data.a"]}, {"drop": ["password"]}], "step 2 'drop': [0]: path 'password' must begin with 'data'"),
        ([{"drop": ["data.a"]}] * (MAX_STEPS + 1), "steps: a chain has at most 32 steps; this one has 33"),
    ],
)
def test_a_fault_in_a_chain_names_the_step(chain: Json, message: str) -> None:
    _, faults = read_chain(chain)

    assert str(faults[0]).startswith(message)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"set": {"data.a": {"from": "a = 1"}}}, "'a = 1' is not JMESPath: column 3"),
        ({"convert": {"to": "xml", "root": "no name"}}, "`root: no name` is not a name for an XML element: a letter"),
        ({"convert": {"to": "xml", "root": "a", "exact": True}}, "leave out `root` or `exact`"),
        ({"parse_time": {"path": "data.at", "to": "iso"}}, "to: must be rfc3339, unix, unix_ms, or a strftime format"),
        ({"parse_time": {"path": "data.at", "formats": "%Q"}}, "'%Q' has a % that strptime does not know"),
        ({"parse_time": {"path": "data.at", "formats": "%Y %Y"}}, "'%Y %Y' has the same part of a time twice"),
        ({"sample": 50}, "must be a percentage over 0% and under 100%, such as `10%`"),
        ({"sample": "0%"}, "must be a percentage over 0% and under 100%"),
        ({"sample": "100%"}, "must be a percentage over 0% and under 100%"),
        ({"stop": ""}, "reason: must not be empty"),
        ({"deduplicate": {"key": "data.x", "window": "soon"}}, "window: must be a number of seconds, or a duration"),
        ({"parse_time": {"path": "data.at", "zone": "../../etc/passwd"}}, "there is no time zone"),
        ({"parse_time": {"path": "subject"}}, "not a path in 'data'"),
        (asking(retry=["5s", "soon"]), "retry[1]: must be a number of seconds, or a duration such as 90s"),
        (asking(retry=[1] * 51), "retry: must have at most 50 items; got 51"),
        (asking(url="http://convert.example.com/in"), "must begin with https://"),
        (asking(url="https://metadata.google.internal/"), "the cloud's metadata"),
        (asking(url="file:///etc/passwd"), "a URL must begin with https:// and a literal host"),
        (fetching("https://good.example.com{{ data.x }}/"), "a literal host"),
        (fetching("https://good.example.com@{{ data.x }}/"), "a literal host"),
        (fetching("https://good.example.com/{{ card }}"), "did you mean 'data.card'?"),
        (asking(auth={"scheme": "bearer", "secret": "Not A Name"}), "must be the name of a secret"),
        ({"encode": {"to": "rot13"}}, "'rot13' must be one of base64, base64url, hex"),
        ({"digest": {"algorithm": "crc32", "secret": "x"}}, "crc32 takes no secret"),
        ({"encrypt": {"secret": "keys", "algorithm": "A256KW"}}, "`algorithm` requires `format: jwe`"),
        ({"encrypt": {**JWE, "algorithm": "RSA1_5"}}, "must be 'dir'"),
        ({"encrypt": {**JWE, "context": "x"}}, "`context` requires `format: aes-gcm`"),
        ({"decrypt": {**JWE, "algorithms": []}}, "must not be empty"),
        ({"convert": {"to": "yaml", "message": "a.B"}}, "`message` and `descriptors` require `to: protobuf`"),
        ({"convert": {"to": "protobuf", "message": "a.B"}}, "without `descriptors` there is only the message"),
        ({"convert": {"to": "protobuf", "descriptors": "none"}}, "the descriptor file is not a complete set of"),
        ({"convert": {"to": "yaml", "into": "data.a[*]"}}, "'data.a[*]' names several places; only one place can"),
        ({"split": "data.orders[*].lines"}, "'data.orders[*].lines' names several places; only one place can"),
        ({"merge": {"from": "data.a[*]"}}, "'data.a[*]' names several places; only one place can"),
        ({"lint": {"on_fault": "refuse"}}, "set `format`, `schema` or `types`"),
        ({"lint": {"format": "json", "into": "data.x"}}, "`into` requires `on_fault: warn`"),
        ({"lint": {"format": "json", "on_fault": "switch"}}, "`on_fault: switch` and `chain` require each other"),
        ({"lint": {"types": {"data.a": "string"}}}, "there is no kind 'string'; there are: text, number"),
        ({"lint": {"schema": {"type": "strin"}}}, "schema: must be a JSON Schema: type: 'strin' is not valid"),
        ({"lint": {"schema": {"$ref": "https://example.com/x.json"}}}, "must refer to a part of this schema"),
        ({"lint": {"schema": "signup.json"}}, "the schema's file: not JSON"),
        ({"convert": {"to": "ymal"}}, "did you mean 'yaml'?"),
        ({"cast": {"data.a": "int"}}, "did you mean 'integer'?"),
        ({"template": {"data.a": "{{ data.b | uper }}"}}, "data.a: line 1: No filter named 'uper'"),
        ({"redact": {"card": True}}, "did you mean 'cards'?"),
        ({"cast": {"integer": "data.a"}}, "write the path first: `cast: {data.a: integer}`"),
        ({"rename": {"from": "data.a", "to": "b"}}, "write the path and then the value: `rename: {data.a: b}`"),
        ({"switch": [{"to": "x", "then": "y"}]}, "[0].then: there is no such setting; there are: to, when"),
        ({"convert": "yaml"}, 'must be a mapping, such as `{"to":"yaml"}`'),
        ({"drop": "$.data.a"}, "did you mean 'data.a'?"),
        ({"drop": "/a/b"}, "did you mean 'data.a.b'?"),
        ("clean", "to go through a chain, write `chain: clean`"),
        ({"drop": "data.a", "set": {}}, "begin each of drop and set with `- `"),
    ],
)
def test_a_setting_that_no_event_could_pass_is_rejected_at_once(step: Json, message: str) -> None:
    steps, [fault] = read_chain([step])

    assert not steps
    assert message in fault.reason


@pytest.mark.parametrize("name", step_classes())
def test_compiled_settings_are_settings_that_compile_to_themselves(name: str) -> None:
    kind = step_classes()[name]
    assert issubclass(kind, Settings)
    compiled = compile_settings(kind, kind.example.settings)
    assert compile_settings(kind, compiled) == compiled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(STEP, encoding="utf-8")
    return tmp_path


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
    ("source", "message"),
    [
        ("import nothing_of_that_name\n", "my_steps/loyalty.py: line 1: ModuleNotFoundError"),
        ("x = 1\n\n1 / 0\n", "my_steps/loyalty.py: line 3: ZeroDivisionError"),
        (
            f"from functions.notify import notify\n{STEP}",
            "my_steps/loyalty.py: imports 'functions.notify', which transform's bundle does not contain",
        ),
        ("x = 1\n", "no class in it is both a pydantic model and a Step"),
        (STEP.replace("def apply", "def aply"), "the step 'loyalty' has no `def apply(self, …)`"),
        (
            f"{STEP}\n    def model_post_init(self, _: object) -> None:\n        self.per_point / 0\n",
            "step 1 'loyalty': its code fails on these settings: ZeroDivisionError at my_steps/loyalty.py:25",
        ),
        (STEP.replace("class Loyalty", "class Drop"), "there is another step 'drop'; give its class another name"),
    ],
)
def test_a_file_that_gives_no_steps_is_a_fault_of_the_configuration(folder: Path, source: str, message: str) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")

    text = faults(folder, CONFIG)
    assert f"hookchain.yaml:4: steps_from: {message}" in text or message in text


@pytest.mark.parametrize(
    ("source", "warnings"),
    [
        (f"import requests.auth\n{STEP}", ["imports 'requests', which transform's bundle contains only if"]),
        (f"import json\nimport collections.abc\n{STEP}", []),
        (f"import yaml\n{STEP}".replace("    summary:", '    extras: ClassVar = ("yaml",)\n    summary:'), []),
    ],
)
def test_a_package_that_may_be_missing_where_it_runs_is_told_of(folder: Path, source: str, warnings: list[str]) -> None:
    (folder / "my_steps" / "loyalty.py").write_text(source, encoding="utf-8")

    found = " ".join(fault.text("hookchain.yaml") for fault in own_step_warnings(config_file(folder)))
    assert found.count("hookchain.yaml:4: steps_from: my_steps/loyalty.py: ") == len(warnings)
    assert all(warning in found for warning in warnings)


def test_the_example_of_a_step_of_ones_own_is_a_test_of_the_configuration(folder: Path) -> None:
    file = config_file(folder)
    [result] = run_config_tests(file.document, compile_config(file), folder)
    assert (result.name, result.lines) == ("the example of the step 'loyalty'", ())

    (folder / "my_steps" / "loyalty.py").write_text(STEP.replace('"points": 4', '"points": 5'), encoding="utf-8")
    [result] = run_config_tests(file.document, compile_config(file), folder)
    assert result.lines == ("- data.points: 5", "+ data.points: 4")


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


LOAD = """
import json, sys
from functions.transform import entry, transform
from functions.transform.program import read_program
route = {"name": "all", "to": ["crm"], **json.loads(sys.argv[1])}
read_program({"function": "transform", "routes": [route]}, is_compiled=True)
print(*set(sys.modules) & {"pydantic", "jmespath", "jsonschema", "jinja2", "yaml", "xml", "zoneinfo",
    "functions.transform.steps.ask", "functions.transform.hosts", "shared.waiting_route"})
"""


@pytest.mark.parametrize(
    ("route", "loaded"),
    [
        ({"from": ["shop"], "types": ["order.*"]}, set()),
        (
            {"where": "data.paid", "steps": [{"drop": ["data.password"]}, {"lint": {"types": {"data.n": "integer"}}}]},
            {"jmespath"},
        ),
    ],
)
def test_a_route_loads_the_libraries_that_it_needs(root: Path, route: Json, loaded: set[str]) -> None:
    command = [sys.executable, "-c", LOAD, json.dumps(route)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == loaded
