"""`hookchain smoke`: a test event through the whole pipe, stage by stage, and plainly why where it stops."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.main import main
from deploy.cli.smoke_follow import (
    DEAD_LETTERED,
    DELIVERED,
    GATHERED,
    HELD,
    MERGED,
    PENDING,
    RETRY_SCHEDULED,
    DeliveryState,
    EventState,
    StagePrinter,
    follow,
    state_from_logs,
    timeout_text,
)
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.history.log_records import Record
from deploy.requests.events import MARK, make_example_event, make_test_event, read_event_file
from deploy.requests.smoke import Posting, Recipient, possible_recipients, signed_url, usable_auth
from deploy.requests.sources import compiled_sources
from deploy.terminal.tables import Screen
from shared.http import Request
from shared.journal import RouteDecision
from shared.jsontext import JsonObject
from tests.google_stand_in import StandIn
from tests.processes import wait_for
from tests.stack import Stack, running
from tests.stub_gcloud import StubGcloud

EVENT_ID: Final = "4f2a9c0000000000000000000000abcd"
PROJECT: Final = "acme-hooks"
CONFIG: Final = """
sources:
  signed:
    auth: {scheme: hmac, header: X-Signature, secret: signed-key}
    type: header.X-Event
    id: data.order.id
  in-path: {auth: {scheme: path, secret: path-token}}
  pay: {provider: stripe, secret: pay-key}
  chat: {provider: discord, secret: chat-key}
routes:
  - {name: money, from: pay, types: ["*.payment_failed"], to: crm}
  - {name: orders, from: signed, types: [order.*], to: people}
  - {name: from the path, from: in-path, where: data.plan == 'big', to: [people, crm]}
destinations:
  people: {email: {to: [ann@example.com]}}
  crm: {email: {to: [bob@example.com]}}
"""


# The event


def test_type_and_id_stand_where_the_source_looks_for_them() -> None:
    source: JsonObject = {"type": ["header.X-Event", "data.kind"], "id": "data.order.id"}
    event = make_test_event(source, "order.created", "smoke-1")
    assert event.headers == {"X-Event": "order.created"}
    assert isinstance(event.data, dict)
    assert event.data["order"] == {"id": "smoke-1"}
    assert event.data[MARK] == "smoke-1"
    assert make_test_event({"id": "query.id"}, "t", "smoke-1").query == {"id": "smoke-1"}


def test_an_event_for_a_form_says_which_page_it_is_on() -> None:
    source: JsonObject = {"form": {"origins": ["https://a.example", "https://b.example"]}}
    assert make_test_event(source, "t", "smoke-1").headers == {"Origin": "https://a.example", "Sec-Fetch-Mode": "cors"}
    assert make_example_event(source, "t").headers == {"Origin": "https://a.example", "Sec-Fetch-Mode": "cors"}


def test_a_file_goes_as_it_is_but_for_its_id(tmp_path: Path) -> None:
    (tmp_path / "sample.xml").write_text("<event><id>7</id></event>")
    assert (
        read_event_file(tmp_path / "sample.xml", {"id": "data.id"}, "smoke-1", None).data
        == b"<event><id>7</id></event>"
    )
    (tmp_path / "sample.json").write_text('{"id": 7, "plan": "big"}')
    event = read_event_file(tmp_path / "sample.json", {"id": "data.id", "type": "header.X-Event"}, "smoke-1", "order")
    assert event.data == {"id": "smoke-1", "plan": "big"}
    assert event.headers == {"X-Event": "order"}


def test_the_url_that_is_signed_has_the_scheme_that_a_trusted_proxy_tells() -> None:
    text = "sources: {calls: {provider: twilio, secret: token, trusted_proxies: 1}}\n"
    slices = compile_config(parse_config(text, "test.yaml", Path()))
    [(name, settings)] = compiled_sources(slices["receive"]).items()
    assert isinstance(settings, dict)
    auth = usable_auth(settings)
    assert auth is not None
    posting = Posting("https://hooks.example.com/calls", name, settings, auth, lambda _: "")
    request = Request("POST", "/calls", "", (("host", "hooks.example.com"),), b"")
    assert signed_url(posting)(request) == posting.url


# Whom it reaches

SLICES: Final[dict[str, JsonObject]] = {
    "transform": {
        "routes": [
            {"name": "a", "from": ["shop"], "types": ["order.*"], "to": ["people"]},
            {"name": "b", "from": None, "types": None, "to": ["crm", "people"]},
            {"name": "c", "from": ["other"], "types": None, "to": ["nobody"]},
        ]
    },
    "notify": {
        "destinations": {
            "people": {"kind": "email", "settings": {"to": ["a@x", "b@x", "c@x"], "cc": ["d@x"]}},
            "crm": {"kind": "webhook", "settings": {"url": "https://crm.example.com/in"}},
        }
    },
}


def test_whom_it_may_reach_is_known_before_it_is_sent() -> None:
    assert possible_recipients(SLICES, "shop", "order.created") == [
        Recipient("people", "email", "a@x, b@x, c@x and 1 more"),
        Recipient("crm", "webhook", "https://crm.example.com/in"),
    ]
    assert [each.destination for each in possible_recipients(SLICES, "shop", "refund")] == ["crm", "people"]
    assert [each.destination for each in possible_recipients(SLICES, "shop", None)] == ["people", "crm"]


# Following it

MATCHED: Final = RouteDecision("orders", True, "from 'shop'", ("crm",))
UNMATCHED: Final = RouteDecision("refunds", False, "type 'order' does not match refund")


def followed(*sights: EventState) -> tuple[EventState, list[str]]:
    text: list[str] = []
    seconds = iter(range(1000))
    left = list(sights)
    result = StagePrinter(Screen(), lambda: float(next(seconds)), text.append)
    last = follow(lambda: left.pop(0) if len(left) > 1 else left[0], result, 30.0, lambda: None)
    return last, text


def delivery(state: str, message: str = "", attempts: int = 1) -> DeliveryState:
    return DeliveryState("crm", "orders", state, attempts, message)


def test_each_stage_is_reported_once_and_the_end_is_the_end() -> None:
    routed = EventState(1, (MATCHED, UNMATCHED))
    done = replace(routed, deliveries=(delivery(DELIVERED, "202"),))
    last, text = followed(EventState(), EventState(), routed, replace(routed, deliveries=(delivery(PENDING),)), done)
    assert last.is_good
    assert [line.split("  ")[0].strip() for line in text if line[0] in "✓✗"] == ["✓ transformed", "✓ delivered"]
    assert "did not match: type 'order' does not match refund" in text[2]
    assert text[-1].endswith("crm: 202")


@pytest.mark.parametrize(
    ("state", "todo"),
    [
        (RETRY_SCHEDULED, "it is retried automatically"),
        (HELD, "hookchain resume crm"),
        (DEAD_LETTERED, "hookchain dead-letters list"),
    ],
)
def test_a_delivery_that_did_not_work_ends_it_with_what_to_do(state: str, todo: str) -> None:
    last, text = followed(EventState(1, deliveries=(delivery(state, "550 no such user"),)))
    assert last.is_complete
    assert not last.is_good
    assert "crm, attempt 1: 550 no such user" in text[-2]
    assert todo in text[-1]


@pytest.mark.parametrize("state", [GATHERED, MERGED])
def test_a_delivery_that_waits_for_its_digest_or_is_part_of_it_is_a_success(state: str) -> None:
    last, text = followed(EventState(1, deliveries=(delivery(state, "waits for the digest", attempts=0),)))
    assert last.is_good
    assert text[-1].startswith(f"✓ {state}")
    assert text[-1].endswith("crm: waits for the digest")


def test_an_event_that_leads_nowhere_is_no_success() -> None:
    last, text = followed(EventState(0, (UNMATCHED,)))
    assert (last.is_complete, last.is_good) == (True, False)
    assert "no route matched" in text[0]
    broken, message = followed(EventState(0, broken=("route 'orders': step 1 fails",)))
    assert not broken.is_good
    assert "step 1 fails" in message[0]


def test_what_does_not_come_is_reported_as_that() -> None:
    last, text = followed(EventState())
    assert text == []
    assert "transform did not process it" in timeout_text(last, 30)[0]
    assert (
        "1 of 2 deliveries without an attempt" in timeout_text(EventState(2, deliveries=(delivery(DELIVERED),)), 30)[0]
    )


def a_record(process: str, **fields: object) -> Record:
    document: JsonObject = json.loads(json.dumps({"event_id": EVENT_ID, **fields}))
    return Record(0.0, process, "INFO", document)


def test_the_functions_logs_tell_an_events_way() -> None:
    records = [
        a_record("receive", status=200),
        a_record("transform", outcome="routed", count=2),
        a_record("transform", code="step_failed", route="b", reason="step 1 fails"),
        a_record("notify", delivery_id="1", destination="crm", route="a", outcome="retry_scheduled", attempt_number=1),
        a_record("notify", delivery_id="1", destination="crm", route="a", outcome="delivered", attempt_number=2),
        a_record("notify", delivery_id="1", destination="crm", route="a", outcome="finished"),
        a_record("notify", event_id=f"{EVENT_ID}-2", delivery_id="2", destination="x", route="a", outcome="held"),
        Record(0.0, "notify", "INFO", {"event_id": "another", "delivery_id": "9", "outcome": "delivered"}),
    ]
    state = state_from_logs(records, EVENT_ID)
    assert state == EventState(
        2, (), ("route 'b': step 1 fails",), (DeliveryState("crm", "a", DELIVERED, 2), DeliveryState("x", "a", HELD, 0))
    )


# On Google Cloud


@pytest.fixture
def gcloud(gcloud: StubGcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGcloud:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    gcloud.answers("auth print-access-token", "ya29.token\n")
    return gcloud


@pytest.fixture
def google(google: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    service = f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-receive"
    google.answers(service, {"uri": f"{google.url}/hooks"})
    version = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-signed-key/versions/latest"
    google.answers(version, {"state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    google.answers(f"{version}:access", {"payload": {"data": "YS1sb25nLWFuZC1yYW5kb20ta2V5"}})
    for name in ("PUBSUB", "FIRESTORE", "STORAGE"):  # where nothing answers
        monkeypatch.setenv(f"{name}_EMULATOR_HOST", "127.0.0.1:1")
    return google


def cloud_entry(function: str, number: int, **fields: object) -> dict[str, object]:
    resource = {"labels": {"service_name": f"hookchain-{function}"}}
    at = f"2026-03-01T12:00:0{number}Z"
    payload = {"message": "x", "event_id": EVENT_ID, **fields}
    return {"insertId": str(number), "timestamp": at, "severity": "INFO", "resource": resource, "jsonPayload": payload}


def on_gcp(*arguments: str) -> int:
    return main(["smoke", "--platform", "gcp", "--project", PROJECT, "--source", "signed", *arguments])


def test_on_google_it_is_signed_with_the_kept_secret_and_followed_in_the_logs_where_no_journal_can_be_read(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.smoke.time.sleep", lambda _: None)
    google.answers("/hooks/signed", {"id": EVENT_ID}, method="POST")
    owed = cloud_entry("transform", 1, outcome="routed", count=1)
    tried = cloud_entry("notify", 2, delivery_id="1", destination="people", route="orders", outcome="delivered")
    gcloud.answers("logging read", [])
    gcloud.answers("logging read", [owed])
    gcloud.answers("logging read", [owed, tried])
    assert on_gcp("--yes") == 0
    output = capsys.readouterr()
    assert "It works: 1 of 1 delivered." in output.out
    assert output.err.count("the journal cannot be read") == 1
    [posted] = [request for request in google.requests if request.method == "POST"]
    assert posted.headers["x-event"] == "order.created"
    assert posted.headers["webhook-id"].startswith("smoke-")
    assert len(posted.headers["x-signature"]) == 64
    assert json.loads(posted.body)["order"]["id"] == posted.headers["webhook-id"]
    query = next(call.arguments[2] for call in gcloud.calls if call.arguments[0] == "logging")
    assert f'jsonPayload.event_id=~"^{EVENT_ID}"' in query


def test_nobody_is_written_to_unasked(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert on_gcp() == 2
    output = capsys.readouterr().err
    assert "people (email)  ann@example.com" in output
    assert "add --yes to confirm" in output
    assert not [request for request in google.requests if request.method == "POST"]


def test_a_rejection_is_reported_with_where_to_look(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    google.answers("/hooks/signed", {"code": "signature_mismatch"}, status=401, method="POST")
    assert on_gcp("--yes") == 1
    output = capsys.readouterr().out
    assert "✗ accepted" in output
    assert "the signature does not match" in output
    assert "hookchain logs --function receive --platform gcp" in output


def test_a_secret_that_is_not_there_is_reported_before_anything_is_sent(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["smoke", "--platform", "gcp", "--project", PROJECT, "--source", "in-path", "--yes"]
    assert main(arguments) == 1
    assert "hookchain secrets set path-token --platform gcp" in capsys.readouterr().err


# On this machine


def test_without_dev_the_message_names_the_command_to_start(
    tmp_path: Path, gcloud: StubGcloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--state", str(tmp_path / "state")]) == 1
    assert "Start `make dev`, or use --platform gcp" in capsys.readouterr().err
    assert main(["smoke", "--source", "singed"]) == 1
    assert "did you mean 'signed'?" in capsys.readouterr().err


def test_through_the_whole_pipe_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, CONFIG, {}) as stack:
        assert smoke(stack, tmp_path) == 0
        output = capsys.readouterr().out
        assert "✓ accepted" in output
        assert "route 'orders' matched" in output
        assert "✓ delivered" in output
        assert smoke(stack, tmp_path, "--source", "in-path") == 1
        assert "no route matched" in capsys.readouterr().out
        (tmp_path / "big.json").write_text('{"event": "x", "plan": "big"}')
        assert smoke(stack, tmp_path, "--source", "in-path", "--file", str(tmp_path / "big.json")) == 0
        assert "It works: 2 of 2 delivered." in capsys.readouterr().out
        assert smoke(stack, tmp_path, "--source", "pay") == 0
        assert "route 'money' matched: from 'pay'; type 'invoice.payment_failed'" in capsys.readouterr().out
        assert smoke(stack, tmp_path, "--source", "chat") == 1
        assert "`hookchain trigger`" in capsys.readouterr().err
        assert stack.trouble({"mail": {"unplugged": True}})
        assert smoke(stack, tmp_path) == 1
        assert "✗ retry_scheduled" in capsys.readouterr().out

        def is_logged() -> bool:
            """Return whether the log has the retry: the supervisor writes it after the journal has it."""
            assert main(["logs", "--state", str(stack.state), "--function", "notify"]) == 0
            return "warning: retry scheduled" in capsys.readouterr().out

        wait_for(is_logged)


def smoke(stack: Stack, folder: Path, *arguments: str) -> int:
    config = ["--config", str(folder / "hookchain.yaml"), "--env-file", str(folder / "env")]
    return main(["smoke", "--state", str(stack.state), *config, *arguments])
