"""The commands that look at what runs on Google Cloud, over functions that run on an emulated one."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.cli.main import main
from shared.jsontext import Json, JsonObject
from tests.gcp.deployment import PROJECT, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_npm import npm_store
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


@pytest.fixture(scope="module", params=["in memory", pytest.param("npm's emulator", marks=pytest.mark.slow)])
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, node_package: Callable[[str], Path]
) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("cloud")
    if request.param == "in memory":
        with deploy(folder, MemoryStore()) as up:
            yield up
    else:
        with npm_store(node_package("@firestore-emulator/server")) as store, deploy(folder, store) as up:
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


def test_events_are_listed_newest_first_and_by_what_was_asked_for(deployed: Deployed, operator: Operator) -> None:
    ids = [deployed.post(id=f"list {number}", event=f"list.{number}", to="bob@example.com") for number in range(4)]
    for event_id in ids:
        operator.is_soon(event_id, "delivered")

    def listed(*filters: str) -> list[str]:
        events = operator.document("events", "list", *filters)["events"]
        assert isinstance(events, list)
        return [str(event["id"]) for event in events if isinstance(event, dict)]

    assert [each for each in listed() if each in ids] == ids[::-1]
    assert listed("--type", "list.2") == [ids[2]]
    assert listed("--type", "list.*", "--limit", "2") == [ids[3], ids[2]]
    assert listed("--type", "list.*", "--text", "bob@example", "--status", "delivered") == ids[::-1]
    assert listed("--type", "list.*", "--text", "nobody") == []
    assert listed("--source", "shop", "--type", "list.1", "--since", "1h") == [ids[1]]
    assert listed("--source", "shop", "--type", "another") == []
    assert listed("--until", "1h") == []


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


def test_a_replay_goes_through_once_more(deployed: Deployed, operator: Operator) -> None:
    event_id = deployed.post(id="again")
    operator.is_soon(event_id, "delivered")
    assert "1 event would be replayed" in operator.output("events", "replay", event_id)
    operator.output("events", "replay", event_id, "--force", "--yes")
    wait_for(lambda: deployed.mails().count("Order again") == 2)
    wait_for(lambda: operator.document("events", "show", event_id)["passes"] == 2)


def test_what_is_held_goes_out_once_its_destination_is_resumed(deployed: Deployed, operator: Operator) -> None:
    deployed.emulation.ask("POST", "/emulator/faults", {"mail": {"next": [{"kind": "403", "count": 1}]}})
    event_id = deployed.post(id="held")
    operator.is_soon(event_id, "held")
    assert operator.output("resume", "inbox").startswith("inbox: resumed; 1 held delivery")
    deployed.sweep()
    wait_for(lambda: "Order held" in deployed.mails(), 25.0)  # notify looks at the ledger's word for 10 s
    operator.is_soon(event_id, "delivered")


def test_what_is_not_there_is_reported(operator: Operator) -> None:
    assert operator.output("events", "show", "0000000000", code=1) == ""
    assert operator.output("dead-letters", "show", "0000000000", code=1) == ""


def test_half_a_cloud_is_rejected(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    assert main(["events", "list", "--platform", "gcp", "--project", PROJECT]) == 1
    assert "FIRESTORE_EMULATOR_HOST. Set all of them or none" in capsys.readouterr().err
