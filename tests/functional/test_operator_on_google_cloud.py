"""`hookchain smoke`, `status` and `mcp` over functions that run on an emulated Google Cloud."""

import argparse
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.mcp_session import Session
from deploy.cli.mcp_tools import tools_of
from deploy.platforms.choice import TARGET_OPTIONS
from shared.jsontext import JsonObject, list_at, mapping_at, mappings_at, value_at
from shared.mcp import ToolServer
from tests.fakes.command import Command, as_objects, audit_records
from tests.gcloud.stub import install
from tests.gcp.deployment import PROJECT, SECRET, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore
from tests.stand_ins.google_apis import StandIn, standing_in

SERVICES = f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deploy(tmp_path_factory.mktemp("cloud"), MemoryStore()) as up:
        yield up


@pytest.fixture
def google(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    gcloud = install(tmp_path / "bin")
    gcloud.answers("auth print-access-token", "ya29.token\n")
    monkeypatch.setenv("PATH", gcloud.path)
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(deployed.folder / "hookchain.yaml"))
    for name, value in deployed.environ.items():
        monkeypatch.setenv(name, value)
    with standing_in() as stand_in:
        for name, value in stand_in.environ.items():
            monkeypatch.setenv(name, value)
        receive: JsonObject = {"uri": f"http://127.0.0.1:{deployed.ports['receive']}", "latestReadyRevision": "s/r/one"}
        stand_in.answers(f"{SERVICES}receive", receive)
        stand_in.answers(f"/monitoring/v3/projects/{PROJECT}/timeSeries", {})
        kept = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-shop-key/versions/latest"
        stand_in.answers(kept, {"state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
        stand_in.answers(f"{kept}:access", {"payload": {"data": base64.b64encode(SECRET.encode()).decode()}})
        yield stand_in


@pytest.fixture
def run(google: StandIn, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys, after=("--platform", "gcp", "--project", PROJECT))


def test_a_smoke_test_is_followed_to_its_mail(deployed: Deployed, run: Command, tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text(json.dumps({"event": "order.large", "to": "ann@example.com"}))
    output = run("smoke", "--file", str(order), "--yes")
    assert "route 'large orders' matched" in output
    assert output.count("✓ delivered") == 2
    assert "It works: 2 of 2 delivered." in output
    assert "journal cannot be read" not in run.error
    assert any(subject.startswith("Order smoke-") for subject in deployed.mails())


def test_the_status_tells_what_came_and_what_was_given_up_on(deployed: Deployed, run: Command) -> None:
    deployed.post(id="status", name="Ada")
    status = run.json("status")
    assert status["notes"] == []
    [shop] = as_objects(status["sources"])
    assert int(str(shop["last_day"])) >= 1
    assert isinstance(status["dead_letters"], int)
    assert "receive    one" in run("status")


def test_a_large_event_is_forgotten_in_every_store(deployed: Deployed, run: Command, tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text(json.dumps({"event": "order.large", "to": "eve@example.com", "note": "x" * 300_000}))
    run("smoke", "--file", str(order), "--yes")
    assert any(b"eve@example.com" in content for content in deployed.storage.objects.values())

    document = run.json("forget", "--where", "data.to == 'eve@example.com'", "--yes")
    assert len(list_at(document, "events")) == 1
    assert {each["left"] for each in mappings_at(document, "stores").values()} == {0}
    assert not any(b"eve@example.com" in content for content in deployed.storage.objects.values())
    assert any("dead-letters-hold" in str(each) for each in list_at(document, "beyond_reach"))


def test_an_assistants_tools_read_and_change_the_deployment(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    target = dict.fromkeys(TARGET_OPTIONS) | {"project": PROJECT}
    options = argparse.Namespace(
        config=None, env_file=tmp_path / "env", platform="gcp", state=tmp_path / "state", allow_write=True, **target
    )
    server = ToolServer("1.0", "", lambda: tools_of(Session(options)))

    def call(name: str, arguments: JsonObject) -> JsonObject:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        result = mapping_at(server.reply(json.dumps(message).encode()), "result")
        text = str(value_at(result, "content", 0, "text"))
        assert not result["isError"], text
        return mapping_at(json.loads(text))

    order = tmp_path / "order.json"
    order.write_text(json.dumps({"event": "order.large", "to": "assistant@example.com"}))
    run("smoke", "--file", str(order), "--yes")
    event_id = value_at(call("search_events", {"limit": 1}), "events", 0, "id")
    deliveries = as_objects(call("list_deliveries", {"event": event_id})["deliveries"])
    assert [each["state"] for each in deliveries] == ["delivered", "delivered"]
    assert "assistant@example.com" in str(call("get_event_body", {"id": event_id})["untrusted_body"])
    assert call("get_event", {"id": event_id})["status"] == "delivered"
    destination = deliveries[0]["destination"]
    listed = as_objects(call("list_destinations", {})["destinations"])
    assert destination in [each["destination"] for each in listed]
    assert value_at(call("list_sources", {}), "sources", 0, "source") == "shop"
    plan = call("plan_replay", {"event": event_id, "only": destination})
    assert call("run_replay", {"plan": plan["plan"]})["count"] == 1
    call("pause_destination", {"destination": destination, "for": "1h"})
    call("resume_destination", {"destination": destination})
    records = audit_records(tmp_path / "state")
    assert [each["outcome"] for each in records] == ["done"] * 3
    assert {each["where"] for each in records} == {f"--platform gcp --project {PROJECT}"}
