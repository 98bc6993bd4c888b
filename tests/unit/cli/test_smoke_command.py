"""`hookchain smoke`: its event and whom it may reach, how it is followed, and its result on each platform."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import smoke
from deploy.requests.events import read_event_file
from deploy.requests.smoke_request import Recipient, possible_recipients
from deploy.terminal.output import Screen
from shared import ledger_rules
from shared.journal import RouteDecision
from shared.jsontext import JsonObject
from tests.fakes.command import Command, as_objects
from tests.stand_ins.google_apis import StandIn

EVENT_ID: Final = "4f2a9c0000000000000000000000abcd"
CONFIG: Final = """
sources:
  signed:
    auth: {scheme: hmac, header: X-Signature, secret: signed-key}
    type: header.X-Event
    id: data.order.id
routes:
  - {name: orders, from: signed, types: [order.*], to: people}
destinations:
  people: {email: {to: [ann@example.com]}}
"""


def test_a_file_goes_as_it_is_but_for_its_id(tmp_path: Path) -> None:
    (tmp_path / "sample.xml").write_text("<event><id>7</id></event>")
    xml = read_event_file(tmp_path / "sample.xml", {"id": "data.id"}, "smoke-1", None)
    assert xml.data == b"<event><id>7</id></event>"
    (tmp_path / "sample.json").write_text('{"id": 7, "plan": "big"}')
    event = read_event_file(tmp_path / "sample.json", {"id": "data.id", "type": "header.X-Event"}, "smoke-1", "order")
    assert event.data == {"id": "smoke-1", "plan": "big"}
    assert event.headers == {"X-Event": "order"}


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


# Following the event to its end

MATCHED: Final = RouteDecision("orders", True, "from 'shop'", ("crm",))
UNMATCHED: Final = RouteDecision("refunds", False, "type 'order' does not match refund")


def followed(*sights: smoke.EventState) -> tuple[smoke.EventState, list[str]]:
    text: list[str] = []
    seconds = iter(range(1000))
    left = list(sights)
    result = smoke.StagePrinter(Screen(), lambda: float(next(seconds)), text.append)
    last = smoke.follow(lambda: left.pop(0) if len(left) > 1 else left[0], result, 30.0, lambda: None)
    return last, text


def delivery(state: str, message: str = "", attempts: int = 1) -> smoke.DeliveryState:
    return smoke.DeliveryState("crm", "orders", state, attempts, message)


def test_each_stage_is_reported_once_and_the_end_is_the_end() -> None:
    routed = smoke.EventState(1, (MATCHED, UNMATCHED))
    done = replace(routed, deliveries=(delivery(ledger_rules.DELIVERED, "202"),))
    last, text = followed(
        smoke.EventState(), smoke.EventState(), routed, replace(routed, deliveries=(delivery(smoke.PENDING),)), done
    )
    assert last.is_good
    assert [line.split("  ")[0].strip() for line in text if line[0] in "✓✗"] == ["✓ transformed", "✓ delivered"]
    assert "did not match: type 'order' does not match refund" in text[2]
    assert text[-1].endswith("crm: 202")


def test_a_chain_that_failed_is_no_success_though_another_route_delivered() -> None:
    routed = smoke.EventState(1, (MATCHED,), ("route 'refunds': its step failed",))
    last, text = followed(replace(routed, deliveries=(delivery(ledger_rules.DELIVERED, "202"),)))
    assert not last.is_good
    assert "route 'refunds': its step failed" in text[1]


@pytest.mark.parametrize(
    ("state", "attempts", "line", "todo"),
    [
        (smoke.GATHERED, 0, "crm: 550", ""),
        (ledger_rules.MERGED, 0, "crm: 550", ""),
        (ledger_rules.RETRY_SCHEDULED, 1, "crm, attempt 1: 550", "it is retried automatically"),
        (ledger_rules.HELD, 1, "crm, attempt 1: 550", "hookchain resume crm"),
        (ledger_rules.DEAD_LETTERED, 1, "crm, attempt 1: 550", "hookchain dead-letters list"),
    ],
)
def test_each_result_of_a_delivery_ends_it_and_one_without_success_says_what_to_do(
    state: str, attempts: int, line: str, todo: str
) -> None:
    last, text = followed(smoke.EventState(1, deliveries=(delivery(state, "550", attempts),)))
    assert (last.is_complete, last.is_good) == (True, not todo)
    assert text[1].startswith(f"{'✗' if todo else '✓'} {state}")
    assert text[1].endswith(line)
    assert todo in text[-1]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (smoke.EventState(0, (UNMATCHED,)), "no route matched"),
        (smoke.EventState(0, broken=("route 'orders': step 1 fails",)), "step 1 fails"),
    ],
)
def test_an_event_that_leads_nowhere_is_no_success(state: smoke.EventState, line: str) -> None:
    last, text = followed(state)
    assert (last.is_complete, last.is_good) == (True, False)
    assert line in text[0]


# On this machine


@pytest.mark.usefixtures("config")
def test_without_dev_the_message_names_the_command_to_start(command: Command) -> None:
    command("smoke", code=1)
    assert "Start `make dev`, or use --platform gcp" in command.error
    command("smoke", "--source", "singed", code=2)
    assert "did you mean 'signed'?" in command.error


# On Google Cloud

PROJECT: Final = "acme-hooks"


@pytest.fixture
def on_gcp(command: Command, config: Path, google: StandIn, signed_in: None) -> Command:
    service = f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-receive"
    google.answers(service, {"uri": f"{google.url}/hooks"})
    version = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-signed-key/versions/latest"
    google.answers(version, {"state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    google.answers(f"{version}:access", {"payload": {"data": "YS1sb25nLWFuZC1yYW5kb20ta2V5"}})
    return command.partial("smoke", "--platform", "gcp", "--project", PROJECT, "--source", "signed")


def test_on_google_it_is_signed_with_the_kept_secret_and_a_journal_that_cannot_be_read_is_named(
    on_gcp: Command, google: StandIn
) -> None:
    google.answers("/hooks/signed", {"id": EVENT_ID}, method="POST")
    output = on_gcp("--yes", code=1)
    assert f"as event {EVENT_ID}" in output
    assert "stopped" in output
    assert "whether it was delivered is not known: Firestore" in output
    assert "with roles/datastore.viewer, or dynamodb:GetItem and dynamodb:Query: hookchain events show" in output
    [posted] = [request for request in google.requests if request.method == "POST"]
    assert posted.headers["x-event"] == "order.created"
    assert posted.headers["webhook-id"].startswith("smoke-")
    assert len(posted.headers["x-signature"]) == 64
    assert json.loads(posted.body)["order"]["id"] == posted.headers["webhook-id"]


def test_it_sends_the_data_that_the_schema_describes(on_gcp: Command, config: Path, google: StandIn) -> None:
    google.answers("/hooks/signed", {"id": EVENT_ID}, method="POST")
    number = "{type: object, required: [n], properties: {n: {const: 3}}, additionalProperties: false}"
    signed = "    type: header.X-Event\n    id: data.order.id\n"
    config.write_text(CONFIG.replace(signed, f"    type: header.X-Event\n    schema: {number}\n"), encoding="utf-8")
    on_gcp("--yes", code=1)
    [posted] = [request for request in google.requests if request.method == "POST"]
    assert (json.loads(posted.body), posted.headers["x-event"]) == ({"n": 3}, "order.created")
    config.write_text(CONFIG.replace(signed, "    body: plist\n"), encoding="utf-8")
    on_gcp("--yes", code=1)
    assert "hookchain smoke: no example can be made for the source 'signed': its `body` is plist." in on_gcp.error
    assert len([request for request in google.requests if request.method == "POST"]) == 1


def test_nobody_is_written_to_unasked(on_gcp: Command, google: StandIn) -> None:
    on_gcp(code=2, stdin="y\n")
    assert "people (email)  ann@example.com" in on_gcp.error
    assert "add --yes to confirm" in on_gcp.error
    assert not [request for request in google.requests if request.method == "POST"]


def test_a_rejection_is_reported_with_where_to_look(on_gcp: Command, google: StandIn) -> None:
    for _ in range(2):
        google.answers("/hooks/signed", {"code": "signature_mismatch"}, status=401, method="POST")
    output = on_gcp("--yes", code=1)
    assert "the signature does not match" in output
    assert "hookchain logs --function receive --platform gcp" in output
    [stage] = as_objects(on_gcp.json("--yes", code=1)["stages"])
    assert (stage["stage"], stage["ok"]) == ("accepted", False)
