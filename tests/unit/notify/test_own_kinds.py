"""Kinds of destinations of the operator's own, from their files to what they send."""

import json
import re
from pathlib import Path

import pytest

from deploy.bundle.bundle import contents
from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, ConfigFile, parse_config
from deploy.config.config_schema import config_schema
from deploy.config.sections.own_files import own_kind_warnings
from deploy.explain.config_tests import run_config_tests
from functions.notify.attempt import call_destination
from functions.notify.http_kind import ATTEMPT, KEY, example_delivery
from functions.notify.own_kinds import load_own_kinds
from functions.notify.registry import Destinations, dedupes_repeats, read_destinations
from shared.delivery import Delivered, Failed, Outcome
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject
from shared.settings import SliceFault
from shared.time_bound import Deadlines
from tests.fakes.destinations import a_context
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets

PAGE = Path("functions/notify/docs/own-kind.md")
URL = "https://desk.example.com/tickets"
REST = "sources: {shop: {auth: none}}\nroutes: [{name: returns, from: shop, to: help-desk}]\n"
FILE = "my_kinds/ticket.py"


def on_the_page(root: Path) -> tuple[str, str]:
    """Return the file and the configuration that the page shows."""
    page = (root / PAGE).read_text(encoding="utf-8")
    [python] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [yaml] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    return python, yaml


@pytest.fixture
def kind(root: Path) -> str:
    return on_the_page(root)[0]


@pytest.fixture
def folder(tmp_path: Path, kind: str) -> Path:
    (tmp_path / "my_kinds").mkdir()
    (tmp_path / FILE).write_text(kind, encoding="utf-8")
    return tmp_path


@pytest.fixture
def config(folder: Path, root: Path) -> ConfigFile:
    return parse_config(on_the_page(root)[1] + REST, "hookchain.yaml", folder)


def faults(config: ConfigFile) -> str:
    with pytest.raises(ConfigFaults) as caught:
        compile_config(config)
    return str(caught.value)


async def attempt(slice_: JsonObject, fetch: FakeFetch, data: Json) -> Outcome:
    context = a_context(FakeSecrets({"desk-key": "k3y-of-the-desk"}), fetch)
    configured = read_destinations(slice_)
    destination = Destinations(configured, context).connected(configured["help-desk"])
    assert dedupes_repeats(destination)
    return await call_destination(destination, example_delivery(data), ATTEMPT, Deadlines())


ONE_TEXT = """\
from pydantic import Field, RootModel


class Settings(RootModel[str]):
    root: str = Field(pattern="^/")


EXAMPLES = []


def request(delivery, settings, secrets, attempt): ...


def outcome(response): ...
"""


def test_settings_that_are_one_text_have_faults_too(tmp_path: Path) -> None:
    (tmp_path / "jotter.py").write_text(ONE_TEXT, encoding="utf-8")
    text = "sources: {form: {auth: none}}\nroutes: [{name: keep, from: form, to: notes}]\n"
    text += "destinations_from: [jotter.py]\ndestinations: {notes: {jotter: notes.txt}}\n"
    assert "must match the pattern '^/'" in faults(parse_config(text, "hookchain.yaml", tmp_path))


async def test_the_kind_that_the_page_shows_delivers(config: ConfigFile) -> None:
    slice_ = compile_config(config)["notify"]
    fetch = FakeFetch({URL: Fetched(201, (), b"T-1")})

    assert await attempt(slice_, fetch, {"order": "A-17"}) == Delivered("201 T-1")
    [request] = fetch.asked
    assert json.loads(request.body) == {"queue": "returns", "title": "Return of A-17", "details": {"order": "A-17"}}
    assert ("authorization", "Bearer k3y-of-the-desk") in request.headers
    assert ("idempotency-key", KEY) in request.headers


async def test_its_exception_is_a_dead_letter_that_names_the_line(config: ConfigFile, folder: Path, kind: str) -> None:
    (folder / FILE).write_text(kind.replace("    ticket = {", "    1 / 0\n    ticket = {"), encoding="utf-8")

    outcome = await attempt(compile_config(config)["notify"], FakeFetch(), {"order": "A"})
    assert isinstance(outcome, Failed)
    assert re.search(r"ZeroDivisionError at my_kinds/ticket.py:\d+", outcome.reason)


@pytest.mark.parametrize("function", ["request", "outcome"])
async def test_a_function_without_a_return_is_named(config: ConfigFile, folder: Path, kind: str, function: str) -> None:
    without = {
        "request": kind.replace("return json_request", "json_request"),
        "outcome": kind.replace("return outcome_by", "outcome_by"),
    }
    (folder / FILE).write_text(without[function], encoding="utf-8")

    outcome = await attempt(compile_config(config)["notify"], FakeFetch({URL: Fetched(201, (), b"")}), {"order": "A"})
    assert outcome == Failed("destination_fault", f"the destination's code failed: `{function}` returned NoneType")


async def test_it_computes_for_a_limited_time_whatever_the_receiver_answers(
    config: ConfigFile, folder: Path, kind: str
) -> None:
    slow = 're.match("(a+)+$", "a" * 40 + "b")\n    return outcome_by'
    (folder / FILE).write_text(f"import re\n{kind.replace('return outcome_by', slow)}", encoding="utf-8")

    outcome = await attempt(compile_config(config)["notify"], FakeFetch({URL: Fetched(201, (), b"")}), {"order": "A"})
    assert isinstance(outcome, Failed)
    assert outcome.code == "time_limit_exceeded"


def test_its_text_travels_in_the_slice_so_that_the_bundle_holds_it(config: ConfigFile, root: Path, kind: str) -> None:
    slices = compile_config(config)

    assert slices["notify"]["own_kinds"] == {FILE: kind}
    files = contents(root, "notify", slices["notify"], "gcp")
    assert any(b"A ticket in our help desk." in content for content in files.values())
    assert "own_kinds" not in str(slices["receive"]) + str(slices["transform"])


def test_its_settings_are_validated_and_stand_in_the_schema(folder: Path, root: Path, kind: str) -> None:
    text = on_the_page(root)[1].replace("queue: returns", "line: returns") + REST
    assert "ticket.queue: is missing" in faults(parse_config(text, "hookchain.yaml", folder))

    schema = config_schema({}, load_own_kinds({FILE: kind}))
    destination = schema["$defs"]["DestinationConfig"]  # type: ignore[index,call-overload] # a schema
    assert "ticket" in destination["properties"]  # type: ignore[index,operator,call-overload] # a schema


def test_its_examples_are_tests_of_the_configuration(config: ConfigFile, folder: Path, kind: str) -> None:
    [result] = run_config_tests(config.document, compile_config(config), folder)
    assert (result.name, result.lines) == ("example 1 of the kind 'ticket'", ())

    (folder / FILE).write_text(kind.replace('"Return of A-17"', '"Return of A-18"'), encoding="utf-8")
    [result] = run_config_tests(config.document, compile_config(config), folder)
    assert [line[0] for line in result.lines] == ["-", "+"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("DEDUPES", "import nothing_of_that_name\nDEDUPES", f"{FILE}: line 13: ModuleNotFoundError"),
        ("DEDUPES", "x = (\nDEDUPES", f"{FILE}: line 13: '(' was never closed"),
        ("def request", "def reqest", f"{FILE}: the kind 'ticket' has no `def request(delivery, settings, secrets, at"),
        (
            "DEDUPES",
            "from functions.transform import chain\nDEDUPES",
            f"{FILE}: imports 'functions.transform', which notify's bundle does not contain",
        ),
    ],
)
def test_a_file_that_gives_no_kind_is_the_one_fault(
    config: ConfigFile, folder: Path, kind: str, before: str, after: str, message: str
) -> None:
    (folder / FILE).write_text(kind.replace(before, after, 1), encoding="utf-8")

    [line] = faults(config).splitlines()
    assert f"hookchain.yaml:1: destinations_from: {message}" in line


@pytest.mark.parametrize(
    ("name", "message"),
    [("email.py", "there is another kind 'email'"), ("my-kind.py", "the file's name is the kind's")],
)
def test_the_name_of_a_file_is_a_free_name_of_a_kind(folder: Path, kind: str, name: str, message: str) -> None:
    (folder / name).write_text(kind, encoding="utf-8")

    text = faults(parse_config(f"destinations_from: [{name}]\n{REST}destinations: {{}}\n", "hookchain.yaml", folder))
    assert message in text


def test_a_package_that_may_be_missing_where_it_runs_is_told_of(config: ConfigFile, folder: Path, kind: str) -> None:
    assert not list(own_kind_warnings(config))

    (folder / FILE).write_text(f"import requests.auth\n{kind}", encoding="utf-8")
    [warning] = own_kind_warnings(config)
    assert "imports 'requests', which notify's bundle contains only if something else needs it" in str(warning)


def test_a_slice_whose_kind_does_not_load_ends_the_process(config: ConfigFile) -> None:
    slice_ = compile_config(config)["notify"]

    with pytest.raises(SliceFault, match=r"my_kinds/ticket\.py: line 1"):
        read_destinations({**slice_, "own_kinds": {FILE: "x = ("}})
