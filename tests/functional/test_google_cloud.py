"""The commands that look at what runs on Google Cloud, over functions that run on an emulated one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.cli.main import main
from shared.jsontext import Json, JsonObject
from tests.gcp.deployment import PROJECT, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore
from tests.processes import wait_for


@dataclass(frozen=True, slots=True)
class Operator:
    """Types `hookchain … --platform gcp`."""

    deployed: Deployed
    capsys: pytest.CaptureFixture[str]

    def output(self, *arguments: str, code: int = 0) -> str:
        self.capsys.readouterr()
        found = main([*arguments, "--platform", "gcp", "--project", PROJECT])
        output = self.capsys.readouterr()
        assert found == code, output.err
        return output.out

    def document(self, *arguments: str, code: int = 0) -> JsonObject:
        document: Json = json.loads(self.output(*arguments, "--json", code=code))
        assert isinstance(document, dict)
        return document

    def status(self, event_id: str) -> str:
        found = main(["events", "show", event_id, "--json", "--platform", "gcp", "--project", PROJECT])
        output = self.capsys.readouterr().out
        return str(json.loads(output)["status"]) if found == 0 else "not journaled yet"

    def is_soon(self, event_id: str, status: str) -> None:
        wait_for(lambda: self.status(event_id) == status)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deploy(tmp_path_factory.mktemp("cloud"), MemoryStore()) as up:
        yield up


@pytest.fixture
def operator(deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    for name, value in deployed.environ.items():
        monkeypatch.setenv(name, value)
    return Operator(deployed, capsys)


def test_an_event_is_mailed_and_its_whole_way_shown(deployed: Deployed, operator: Operator) -> None:
    event_id = deployed.post(id="1", name="Ada")
    operator.is_soon(event_id, "delivered")
    assert "Order 1" in deployed.mails()
    text = operator.output("events", "show", event_id[:12])
    for fragment in ("matched", "not_matched", "to inbox by route 'all': delivered", "1. ", "202", '"name": "Ada"'):
        assert fragment in text
    record = operator.document("events", "show", event_id)
    assert (record["passes"], record["expected"], record["source"]) == (1, 1, "shop")


def test_a_large_event_rests_in_the_bucket_and_is_shown_whole(deployed: Deployed, operator: Operator) -> None:
    event_id = deployed.post(id="large", text="x" * 300_000)
    operator.is_soon(event_id, "delivered")
    assert len(deployed.storage.objects) >= 1
    event = operator.document("events", "show", event_id)["event"]
    assert isinstance(event, dict)
    assert isinstance(event["data"], dict)
    assert event["data"]["text"] == "x" * 300_000


def test_what_is_given_up_on_is_listed_replayed_and_dropped(deployed: Deployed, operator: Operator) -> None:
    event_id = deployed.post(id="refused", to="eve@elsewhere.example")
    operator.is_soon(event_id, "dead_lettered")

    def letters(*filters: str) -> list[JsonObject]:
        found = operator.document("dead-letters", "list", *filters)["dead_letters"]
        assert isinstance(found, list)
        return [each for each in found if isinstance(each, dict) and each["event_id"] == event_id]

    wait_for(lambda: len(letters()) == 1)
    letter_id = str(letters("--destination", "inbox", "--source", "shop")[0]["id"])
    assert "elsewhere" not in operator.output("dead-letters", "list")
    assert '"to": "eve@elsewhere.example"' in operator.output("dead-letters", "show", letter_id)

    assert f"--platform gcp --project {PROJECT} --yes" in operator.output("dead-letters", "replay", letter_id)
    operator.output("dead-letters", "replay", letter_id, "--yes")
    wait_for(lambda: letters()[0]["state"] == "kept" if letters() else False)  # refused once more
    assert operator.output("dead-letters", "drop", letter_id, "--yes") == "1 dead letter dropped\n"
    assert letters() == []
    assert [each["state"] for each in letters("--status", "dropped")] == ["dropped"]


def test_what_is_held_goes_out_once_its_destination_is_resumed(deployed: Deployed, operator: Operator) -> None:
    deployed.emulation.ask("POST", "/emulator/faults", {"mail": {"next": [{"kind": "403", "count": 1}]}})
    event_id = deployed.post(id="held")
    operator.is_soon(event_id, "held")
    assert operator.output("resume", "inbox").startswith("inbox: resumed; 1 held delivery")
    deployed.sweep()
    wait_for(lambda: "Order held" in deployed.mails(), 25.0)  # notify looks at the ledger's word for 10 s
    operator.is_soon(event_id, "delivered")


def test_half_a_cloud_is_rejected(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    assert main(["events", "list", "--platform", "gcp", "--project", PROJECT]) == 1
    assert "FIRESTORE_EMULATOR_HOST. Set all of them or none" in capsys.readouterr().err
