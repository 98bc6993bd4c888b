"""The commands that look at what runs on Google Cloud, over functions that run on an emulated one."""

from collections.abc import Iterator

import pytest

from shared.jsontext import JsonObject, objects_at, value_at
from tests.fakes.command import Command
from tests.gcp.deployment import PROJECT, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore
from tests.running.processes import wait_for


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deploy(tmp_path_factory.mktemp("cloud"), MemoryStore()) as up:
        yield up


@pytest.fixture
def run(deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    for name, value in deployed.environ.items():
        monkeypatch.setenv(name, value)
    return Command(capsys, after=("--platform", "gcp", "--project", PROJECT))


def wait_until(run: Command, event_id: str, status: str) -> None:
    listed = {"id": event_id, "status": status}.items()
    wait_for(lambda: any(listed <= each.items() for each in objects_at(run.json("events", "list"), "events")))


def test_an_event_is_mailed_and_its_whole_way_shown(deployed: Deployed, run: Command) -> None:
    event_id = deployed.post(id="1", name="Ada")
    wait_until(run, event_id, "delivered")
    assert "Order 1" in deployed.mails()
    text = run("events", "show", event_id[:12])
    for fragment in ("matched", "not_matched", "to inbox by route 'all': delivered", "1. ", "202", '"name": "Ada"'):
        assert fragment in text
    record = run.json("events", "show", event_id)
    assert (record["passes"], record["expected"], record["source"]) == (1, 1, "shop")


def test_a_large_event_rests_in_the_bucket_and_is_shown_whole(deployed: Deployed, run: Command) -> None:
    event_id = deployed.post(id="large", text="x" * 300_000)
    wait_until(run, event_id, "delivered")
    assert len(deployed.storage.objects) >= 1
    assert value_at(run.json("events", "show", event_id), "event", "data", "text") == "x" * 300_000


def test_what_is_given_up_on_is_listed_replayed_and_dropped(deployed: Deployed, run: Command) -> None:
    event_id = deployed.post(id="refused", to="eve@elsewhere.example")
    wait_until(run, event_id, "dead_lettered")

    def letters(*filters: str) -> list[JsonObject]:
        found = objects_at(run.json("dead-letters", "list", *filters), "dead_letters")
        return [each for each in found if each["event_id"] == event_id]

    wait_for(lambda: len(letters()) == 1)
    letter_id = str(letters("--destination", "inbox", "--source", "shop")[0]["id"])
    assert "elsewhere" not in run("dead-letters", "list")
    assert '"to": "eve@elsewhere.example"' in run("dead-letters", "show", letter_id)

    assert f"--platform gcp --project {PROJECT} --yes" in run("dead-letters", "replay", letter_id)
    run("dead-letters", "replay", letter_id, "--yes")
    wait_for(lambda: letters()[0]["state"] == "kept" if letters() else False)  # refused once more
    assert run("dead-letters", "drop", letter_id, "--yes") == "1 dead letter dropped\n"
    assert letters() == []
    assert [each["state"] for each in letters("--status", "dropped")] == ["dropped"]


def test_what_is_held_goes_out_once_its_destination_is_resumed(deployed: Deployed, run: Command) -> None:
    deployed.emulation.ask("POST", "/emulator/faults", {"mail": {"next": [{"kind": "403", "count": 1}]}})
    event_id = deployed.post(id="held")
    wait_until(run, event_id, "held")
    assert run("resume", "inbox").startswith("inbox: resumed; 1 held delivery")
    deployed.sweep()
    wait_for(lambda: "Order held" in deployed.mails(), 25.0)  # notify looks at the ledger's word for 10 s
    wait_until(run, event_id, "delivered")


def test_half_a_cloud_is_rejected(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    run("events", "list", code=1)
    assert "FIRESTORE_EMULATOR_HOST. Set all of them or none" in run.error
