"""Kinds of destinations, the operator's own too, from their files to what notify makes of them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from deploy.bundle.bundle import contents
from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, ConfigFile, parse_config
from deploy.config.config_schema import config_schema
from deploy.config.sections.own_files import own_kind_warnings
from deploy.explain.config_tests import run_config_tests
from functions.notify.call import call_destination
from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.examples import ATTEMPT, KEY, example_delivery
from functions.notify.own_kinds import load_own_kinds
from functions.notify.registry import DeliveryOptions, Destinations, dedupes_repeats, read_destinations
from shared.delivery import Delivered, Failed, Outcome
from shared.errors import Temporary
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject
from shared.settings import SliceFault
from shared.time_bound import Deadlines
from tests.fakes.destinations import a_context
from tests.fakes.fetch import FakeFetch
from tests.fakes.mail_settings import mail_settings
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


SETTINGS = cast("JsonObject", mail_settings(to="list@example.com"))
WRITTEN: dict[str, Json] = {
    "kind": "email",
    "settings": SETTINGS,
    "retry_seconds": [5, 300],
    "timeout_seconds": 15,
    "on_unknown": "resend",
}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pigeon"},
        {"kind": "../email"},
        {"kind": None},
        {"retry_seconds": None},
        {"no_such_setting": 1},
    ],
)
def test_a_destination_that_does_not_read_is_a_fault_that_names_it(change: dict[str, Json]) -> None:
    with pytest.raises(SliceFault, match="'list'"):
        read_destinations({"destinations": {"list": {**WRITTEN, **change}}})


def test_settings_that_its_kind_does_not_take_wait_for_a_bundle_that_is_whole() -> None:
    written: Json = {**WRITTEN, "settings": {"no such setting": "hunter2-hunter2"}}
    destinations = Destinations(read_destinations({"destinations": {"list": written}}), a_context())
    configured = destinations.configured["list"]
    with pytest.raises(Temporary, match="'list' of kind 'email' cannot start") as raised:
        destinations.connected(configured)
    assert "hunter2" not in str(raised.value)


TO_ACTOR = """\
import asyncio, sys
from functions.notify import main, wiring
from shared.delivery import Delivery
from shared.event import Event
configured = wiring.destinations_or_exit()["list"]
print(*sorted(sys.modules))
notifier = wiring.service().notifier
notifier.destinations.connected(configured)
print(*sorted(sys.modules))
event = Event("e", "/sources/web", "signup", "2026-09-21T14:13:20.000Z", "0" * 64, actor="anna-gh")
print(asyncio.run(notifier.recipients.find_person(configured, Delivery(event, "r", "list"))).email)
"""


def test_notify_imports_only_what_its_destinations_use(root: Path, tmp_path: Path) -> None:
    rows: Json = [{"name": "anna", "email": "anna@example.com", "github": "anna-gh"}]
    slice_ = {
        "function": "notify",
        "destinations": {"list": {**WRITTEN, "recipient": {"path": "actor", "address": "email"}}},
        "people": {"rows": rows, "providers": {"web": "github"}},
    }
    (tmp_path / "slice.json").write_text(json.dumps(slice_))
    environ = {
        "HOOKCHAIN_SLICE": str(tmp_path / "slice.json"),
        "HOOKCHAIN_STATE": str(tmp_path),
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    }
    command = [sys.executable, "-c", TO_ACTOR]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=True)
    at_start, connected, email = done.stdout.splitlines()

    people = {"functions.notify.recipients.people", "functions.notify.recipients.recipient", "jmespath"}
    smtp = {f"functions.notify.destinations.email.{name}" for name in ("smtp", "smtp_server")}
    assert people & {*at_start.split()} == set()
    assert "functions.notify.destinations.email.transports" in connected
    assert (smtp | {"pydantic", "aiosmtplib", "cryptography", "sendgrid"}) & {*connected.split()} == set()
    assert email == "anna@example.com"


def test_the_options_of_every_destination_are_read_and_a_slice_without_them_still_loads() -> None:
    options: dict[str, Json] = {"expires_after_seconds": 600, "otherwise": "pager", "success_when": "body.ok"}
    read = read_destinations({"destinations": {"new": {**WRITTEN, **options}, "old": WRITTEN}})
    new, old = read["new"], read["old"]
    assert old == DeliveryOptions("old", "email", SETTINGS, (5.0, 300.0), 15.0, "resend")
    assert (new.expires_after_seconds, new.otherwise, new.success_when) == (600.0, "pager", "body.ok")


def test_alerts_are_delivered_together_and_by_a_schedule_of_their_own() -> None:
    alerts: Json = {"gather": {"digest": {"every_seconds": 900, "by": None}, "is_alerts": True}, "retry_seconds": [60]}
    read = read_destinations({"destinations": {"list": {**WRITTEN, "alerts": alerts}}})["list"]
    assert (read.gather, read.retry_seconds) == (None, (5, 300))
    assert read.alert_options is not None
    assert read.alert_options.retry_seconds == (60,)
    assert read.alert_options.gather == GatherSettings(digest=Digest(900, None), is_alerts=True)
