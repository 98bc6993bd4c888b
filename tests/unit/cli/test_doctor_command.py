"""`hookchain doctor` on this machine, and on Google Cloud: what would stop a deployment, and what to do about it."""

import asyncio
import base64
import json
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.doctor import checkup, document, is_well, lines
from deploy.cloud_access.gcp_names import Target
from deploy.config.running_dev import NOT_RESUMED, PRODUCTION_FILE, RESUME_ALL
from deploy.doctor.checks import held_finding
from deploy.doctor.google import PERMISSIONS
from deploy.doctor.machine import clock_finding, disk, env_file, processes, python
from deploy.gcp.organization_policies import CONSTRAINTS, policies_finding
from deploy.gcp.resources.project import APIS
from deploy.history.local import ledger_faults
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from deploy.terminal.output import Screen
from shared.cloud.local.journal import open_journal
from shared.cloud.local.ledger import LocalLedger
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.ledger import PAUSED_BY_OPERATOR
from tests.fakes.command import Command, as_objects
from tests.gcloud.stub import StubGcloud, install
from tests.stand_ins.google_apis import StandIn

PROJECT: Final = "acme-hooks"
SECRET: Final = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-{{}}/versions/latest"
BILLING: Final = f"/cloudbilling/v1/projects/{PROJECT}/billingInfo"
SENDERS: Final = "/sendgrid/v3/verified_senders"
DOMAINS: Final = "/sendgrid/v3/whitelabel/domains"
CONFIG: Final = """
sources: {shop: {auth: {scheme: header, secret: shop-password}}}
routes: [{name: all of it, to: people}]
destinations: {people: {email: {to: ann@example.com, from: hooks@example.com}}}
"""


@pytest.fixture(autouse=True)
def config(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("deploy.doctor.machine.clock", lambda: ok("right"))
    return config


class Doctor:
    """`hookchain doctor`. Each call returns its checks by their names."""

    def __init__(self, command: Command, dotenv: Path) -> None:
        self._command = command.partial("doctor", "--env-file", str(dotenv))
        dotenv.touch()

    def __call__(self, *arguments: str, code: int = 0) -> dict[str, JsonObject]:
        document = self._command.json(*arguments, code=code)
        assert document["ok"] == (code == 0)
        return {str(each["check"]): each for each in as_objects(document["checks"])}

    def on_gcp(self, code: int = 0) -> dict[str, JsonObject]:
        return self("--platform", "gcp", "--project", PROJECT, code=code)


@pytest.fixture
def doctor(command: Command, tmp_path: Path) -> Doctor:
    return Doctor(command, tmp_path / ".env")


def with_verdict(checks: dict[str, JsonObject], verdict: str) -> set[str]:
    return {name for name, each in checks.items() if each["verdict"] == verdict}


@pytest.fixture
def gcloud(gcloud: StubGcloud) -> StubGcloud:
    gcloud.answers("auth print-access-token", "ya29.token\n")
    gcloud.answers("version", {"Google Cloud SDK": "578.0.0"})
    gcloud.answers("run deploy --help", "--base-image --function --[no-]invoker-iam-check")
    gcloud.answers("config get-value account", "ann@example.com\n")
    return gcloud


@pytest.fixture
def google(gcloud: StubGcloud, google: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A project in which everything is as it should be."""
    monkeypatch.setenv("SENDGRID_API_URL", f"{google.url}/sendgrid")
    services: list[Json] = [{"name": f"projects/1/services/{name}", "state": "ENABLED"} for name in APIS]
    answers: dict[str, Json] = {
        f"/cloudresourcemanager/v3/projects/{PROJECT}": {"state": "ACTIVE", "displayName": "Acme"},
        BILLING: {"billingEnabled": True},
        f"/serviceusage/v1/projects/{PROJECT}/services:batchGet": {"services": services},
        f"/run/v1/projects/{PROJECT}/locations": {"locations": [{"locationId": "europe-west1"}]},
        SENDERS: {"results": [{"from_email": "Hooks@example.com", "verified": True}]},
        DOMAINS: [],
    }
    for name in ("shop-password", "sendgrid-api-key"):
        answers[SECRET.format(name)] = {"state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"}
        answers[SECRET.format(name) + ":access"] = value_of("SG.long-and-random-value")
    for path, answer in answers.items():
        google.answers(path, answer)
    tested = f"/cloudresourcemanager/v3/projects/{PROJECT}:testIamPermissions"
    google.answers(tested, {"permissions": list(PERMISSIONS)}, method="POST")
    return google


def value_of(text: str) -> JsonObject:
    return {"payload": {"data": base64.b64encode(text.encode()).decode()}}


def test_an_smtp_url_with_a_password_is_found_and_not_repeated(
    doctor: Doctor, google: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", "smtp://me:sekrit-1@mail.example.com")
    checks = doctor.on_gcp(code=1)
    assert checks["sender"]["verdict"] == "problem"
    assert "smtp-password" in str(checks["sender"]["found"])
    assert "sekrit-1" not in json.dumps(checks)


def test_each_secret_of_a_wrong_form_is_named_once(doctor: Doctor, config: Path) -> None:
    config.write_text(
        "sources: {shop: {auth: none}}\n"
        "routes: [{name: all, from: shop, to: [one, two, three]}]\n"
        "destinations:\n"
        "  one: {slack: {secret: chat-a}}\n"
        "  two: {slack: {secret: chat-b}}\n"
        "  three: {slack: {secret: chat-a, text: also}}\n"
    )
    (config.parent / ".env").write_text("CHAT_A=xoxb-0123456789-abcdef\nCHAT_B=xoxb-0123456789-abcdef\n")
    found = str(doctor(code=1)["secrets"]["found"])
    assert found.startswith("secret 'chat-a' is a token, which needs the destination's `channel`")
    assert found.endswith("(of a wrong form too: chat-b)")


def test_a_server_needs_what_a_developers_machine_generates(
    doctor: Doctor, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    listing = ("secrets", "list", "--env-file", str(tmp_path / ".env"))
    command(*listing)
    (tmp_path / "state" / PRODUCTION_FILE).touch()
    secrets = doctor(code=1)["secrets"]
    missing = "sendgrid-api-key, shop-password"
    assert secrets["found"] == f"missing: {missing}; `hookchain serve` does not start without them"
    assert secrets["todo"] == "hookchain secrets set sendgrid-api-key"
    command(*listing, code=1)
    assert "generates" not in command.shown


def test_this_machine_is_looked_at(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SHOP_PASSWORD=changeme\n")
    (tmp_path / ".env").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as result:
        base = result.getsockname()[1]
        monkeypatch.setenv("PORT_BASE", str(min(base, 65_000)))
        checks = doctor(code=1)
    assert checks[".env"]["todo"] == f"chmod 600 {tmp_path / '.env'}"
    assert "placeholder" in str(checks["secrets"]["found"])
    assert checks["sender"]["found"] == "mail is caught here, not sent"
    if base <= 65_000:
        assert f"Port {base} (receive) is in use" in str(checks["ports"]["found"])
        assert "PORT_BASE=" in str(checks["ports"]["todo"])


def test_what_runs_is_checked_with_its_ledger(tmp_path: Path) -> None:
    assert processes("", []) == ok("each process answers")
    assert processes("no answer from transform: hookchain logs", []).todo == "stop `make dev` and start it again"
    assert processes(f"{NOT_RESUMED}: {RESUME_ALL}", []).todo == "hookchain resume --all"
    assert not list(ledger_faults(tmp_path))
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN EXCLUSIVE")
        found = processes("", list(ledger_faults(tmp_path)))
    assert found.found == f"{path}: database is locked; another program may have it open"


def test_a_full_disk_is_not_taken_for_another_program_or_a_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("disk I/O error")
    full.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

    def connect(*_: object, **__: object) -> sqlite3.Connection:
        raise full

    monkeypatch.setattr(sqlite3, "connect", connect)
    path = tmp_path / "ledger.db"
    path.touch()
    assert list(ledger_faults(tmp_path)) == [f"{path}: disk I/O error; its disk may be full"]

    def check() -> Finding:
        raise Temporary("ledger_unavailable", "ledger.db cannot be read: disk I/O error; its disk may be full")

    [(_, finding)] = checkup([Check("deliveries", check)], lambda _: None, 5.0)
    assert finding.found == "ledger.db cannot be read: disk I/O error; its disk may be full"


async def _stop(state: Path) -> None:
    ledger = LocalLedger(state / "ledger.db")
    await ledger.disable("chat", "secret 'slack-url' must begin with https://", 1.0)
    await ledger.disable("crm", PAUSED_BY_OPERATOR, 1.0)
    await ledger.close()


def test_a_destination_that_delivers_nothing_until_somebody_acts_is_a_problem(tmp_path: Path) -> None:
    assert held_finding(tmp_path, ["chat"]).verdict == "ok"
    open_journal(tmp_path / "journal.db").close()
    assert held_finding(tmp_path, ["chat"]).verdict == "ok"
    asyncio.run(_stop(tmp_path))
    assert held_finding(tmp_path, ["crm"]).found == "paused, see `hookchain status`: crm"
    found = held_finding(tmp_path, ["chat", "crm"])
    assert found.found == "held: chat, 0 deliveries: secret 'slack-url' must begin with https://; paused: crm"
    assert found.todo == "correct it, then run: hookchain resume chat"


def test_a_python_that_is_too_old_and_a_disk_that_is_there(tmp_path: Path) -> None:
    assert python((3, 10)).verdict == "problem"
    assert disk(tmp_path / "not" / "yet").verdict == "ok"
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("date", "verdict"),
    [("Thu, 01 Jan 1970 00:17:40 GMT", "ok"), ("Thu, 01 Jan 1970 00:17:41 GMT", "problem"), (None, "unknown")],
)
def test_a_clock_that_is_a_minute_off_is_a_problem(date: str | None, verdict: str) -> None:
    assert clock_finding(date, 1000.0).verdict == verdict


# Policies and senders, as data

TARGET: Final = Target("acme-hooks")


def policy(constraint: str, *rules: JsonObject) -> Finding:
    return policies_finding(TARGET, {**dict.fromkeys(CONSTRAINTS, ()), constraint: rules})


@pytest.mark.parametrize(
    ("constraint", "rule", "verdict"),
    [
        ("run.managed.requireInvokerIam", {"enforce": True}, "problem"),
        ("run.managed.requireInvokerIam", {"enforce": True, "condition": {"expression": "resource.x"}}, "ok"),
        ("iam.disableServiceAccountCreation", {"enforce": True}, "problem"),
        ("run.allowedIngress", {"values": {"allowedValues": ["internal"]}}, "problem"),
        ("run.allowedIngress", {"denyAll": True}, "problem"),
        ("run.allowedIngress", {"denyAll": True, "condition": {"expression": "resource.x"}}, "ok"),
        ("gcp.resourceLocations", {"values": {"allowedValues": ["in:us-locations"]}}, "unknown"),
        ("gcp.resourceLocations", {"values": {"allowedValues": ["in:europe-west1-locations"]}}, "ok"),
        ("gcp.resourceLocations", {"values": {"allowedValues": ["us-east1"]}}, "problem"),
    ],
)
def test_a_policy_is_read_as_it_is_meant(constraint: str, rule: JsonObject, verdict: str) -> None:
    assert policy(constraint, rule).verdict == verdict


# Time, and how it is told


def test_a_check_that_hangs_is_not_waited_for_and_hides_no_other() -> None:
    released = threading.Event()

    def hang() -> Finding:
        released.wait(30)
        ended.append("slow")
        return ok("late")

    def broken() -> Finding:
        raise ZeroDivisionError

    ended: list[str] = []
    checks = [Check("slow", hang), Check("broken", broken), Check("good", lambda: ok("fine"))]
    found = dict(checkup(checks, lambda _: None, longest_seconds=1.0))
    assert not ended
    released.set()
    verdicts = {name: each.verdict for name, each in found.items()}
    assert verdicts == {"slow": "unknown", "broken": "unknown", "good": "ok"}
    assert "ZeroDivisionError at test_doctor_command.py" in found["broken"].found


@pytest.mark.parametrize(
    ("found", "is_good"),
    [
        ([("clock", ok("")), ("project", unknown("no answer")), ("signed in", unknown("no answer"))], False),
        ([("credentials", unknown("no answer within 45 s")), ("configuration", ok(""))], False),
        ([("credentials", ok("arn")), ("stack", unknown("is being changed"))], True),
        ([("signed in", ok("ann")), ("billing", problem("off", "link an account"))], False),
    ],
)
def test_a_cloud_that_could_not_be_asked_is_not_well(found: list[tuple[str, Finding]], is_good: bool) -> None:
    assert is_well(found) == is_good
    has_problem = any(each.verdict == "problem" for _, each in found)
    assert ("the cloud could not be asked" in lines(found, Screen())[-1]) == (not is_good and not has_problem)
    assert document(found)["ok"] == is_good


def test_what_is_seldom_meant_in_dotenv_is_no_problem_and_a_name_that_cannot_be_is_one(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.touch(0o600)
    for text, verdict in (("A_PW=A_PW=hidden\n", "unknown"), ("a-pw=hidden\n", "problem")):
        path.write_text(text, encoding="utf-8")
        assert env_file(path).verdict == verdict


# On Google Cloud


def test_where_all_is_well_nothing_is_to_be_done(doctor: Doctor, gcloud: StubGcloud, google: StandIn) -> None:
    checks = doctor.on_gcp()
    assert with_verdict(checks, "ok") == {*checks} - {"sources"}  # no stand-in has events
    assert checks["sources"]["verdict"] == "unknown"
    assert checks["gcloud"]["found"] == "version 578.0.0"
    assert checks["signed in"]["found"] == "ann@example.com"
    assert not any("create" in call.arguments or "enable" in call.arguments for call in gcloud.calls)
    assert {request.method for request in google.requests if "testIam" not in request.path} == {"GET"}


POLICY = f"/orgpolicy/v2/projects/{PROJECT}/policies/"
ENFORCED: Final[JsonObject] = {"spec": {"rules": [{"enforce": True}]}}
BROKEN: Final[dict[str, tuple[str, JsonObject, str]]] = {
    "project": (f"/cloudresourcemanager/v3/projects/{PROJECT}", {"state": "DELETE_REQUESTED"}, "undelete"),
    "billing": (BILLING, {"billingEnabled": False}, "billing account"),
    "region": (f"/run/v1/projects/{PROJECT}/locations", {"locations": [{"locationId": "x"}]}, "run regions list"),
    "policies": (f"{POLICY}run.managed.requireInvokerIam:getEffectivePolicy", ENFORCED, "orgpolicy.policyAdmin"),
    "sender": (SENDERS, {"results": []}, "verify it: https://app.sendgrid.com"),
    "secrets": (
        SECRET.format("shop-password") + ":access",
        value_of("changeme"),
        f"hookchain secrets set shop-password --platform gcp --project {PROJECT}",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_would_stop_a_deploy_is_found_and_said_with_what_to_do(doctor: Doctor, google: StandIn, name: str) -> None:
    path, answer, todo = BROKEN[name]
    google.canned[("GET", path)] = [(200, answer)]
    checks = doctor.on_gcp(code=1)
    assert with_verdict(checks, "problem") == {name}
    assert todo in str(checks[name]["todo"])
    assert "changeme" not in json.dumps(checks)


def test_a_missing_secret_is_named(doctor: Doctor, google: StandIn) -> None:
    del google.canned[("GET", SECRET.format("sendgrid-api-key"))]
    checks = doctor.on_gcp(code=1)
    assert checks["secrets"]["found"] == "missing: sendgrid-api-key"
    assert checks["sender"]["verdict"] == "unknown"


def test_what_may_not_be_looked_at_is_no_problem(doctor: Doctor, google: StandIn) -> None:
    google.refuses(f"{POLICY}run.managed.requireInvokerIam:getEffectivePolicy", 403, "IAM_PERMISSION_DENIED")
    for path in (SENDERS, DOMAINS):
        google.canned[("GET", path)] = [(403, {"errors": [{"message": "access forbidden"}]})]
    assert with_verdict(doctor.on_gcp(), "unknown") == {"policies", "sender", "sources"}


def test_an_api_that_asks_on_whose_quota_is_asked_on_ours(doctor: Doctor, google: StandIn) -> None:
    google.canned[("GET", BILLING)] = []
    google.refuses(BILLING, 403, "SERVICE_DISABLED")
    google.answers(BILLING, {"billingEnabled": True})
    assert doctor.on_gcp()["billing"]["verdict"] == "ok"
    payers = [request.headers.get("x-goog-user-project") for request in google.requests if request.path == BILLING]
    assert payers == [None, PROJECT]


def test_without_a_file_it_looks_at_what_would_be_deployed_and_not_at_the_example(
    doctor: Doctor, google: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOKCHAIN_CONFIG")
    monkeypatch.setattr("deploy.config.checkout.OWN_CONFIGS", (Path("there-is-none.yaml"),))
    assert str(doctor.on_gcp(code=1)["configuration"]["todo"]).startswith("set EMAIL_ADDRESS")
    monkeypatch.setenv("EMAIL_ADDRESS", "hooks@example.com")
    assert doctor.on_gcp()["secrets"]["found"] == "the deployment generates: webhook-password"


def test_without_gcloud_the_one_thing_to_do_is_to_install_it(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = doctor.on_gcp(code=1)
    assert with_verdict(checks, "problem") == {"gcloud"}
    assert "cloud.google.com/sdk" in str(checks["gcloud"]["todo"])


def test_nobody_signed_in_and_a_gcloud_that_is_too_old_are_problems(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = install(tmp_path / "old")
    monkeypatch.setenv("PATH", stub.path)
    stub.answers("version", {"Google Cloud SDK": "400.0.0"})
    stub.answers("run deploy --help", "--image")
    stub.answers("auth print-access-token", code=1, stderr="ERROR: You do not currently have an active account")
    checks = doctor.on_gcp(code=1)
    assert checks["signed in"]["todo"] == "gcloud auth login"
    assert checks["gcloud run"]["todo"] == "gcloud components update"


def test_without_a_project_the_rest_is_looked_at_anyway(doctor: Doctor, gcloud: StubGcloud) -> None:
    gcloud.answers("config get-value project", "(unset)\n")
    checks = doctor("--platform", "gcp", code=1)
    assert (checks["project"]["verdict"], checks["configuration"]["verdict"]) == ("problem", "ok")
