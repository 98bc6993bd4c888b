"""The three functions wired to Google Cloud's ports, all of it emulated; and the commands that look at them there."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import main
from deploy.compiler import compile_config
from deploy.config_file import read_config_file
from deploy.local.sendgrid.mailbox import Mailbox
from deploy.local.topology import ensure, topology
from deploy.sending.auth import Bearer
from deploy.sending.send import send
from shared.jsontext import Json, JsonObject
from tests.emulation import Emulation
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_npm import npm_store
from tests.gcp.firestore_server import FirestoreServer, Store
from tests.gcp.serving import served
from tests.gcp.storage_server import StorageServer
from tests.processes import Request, free_port, functions_framework, post, started

SECRET: Final = "a-secret-of-this-test"
PROJECT: Final = "a-project"
BUCKET: Final = "a-project-hookchain-blobs"
CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: inbox}
  - {name: large orders, from: shop, types: [order.large], to: inbox}
destinations:
  inbox:
    email:
      to: ["{{ data.to }}"]
      allow_recipients: [example.com]
      from: shop@example.com
      subject: "Order {{ data.id }}"
"""
SETTINGS: Final = {
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "HOOKCHAIN_PREFIX": "hookchain-",
    "HOOKCHAIN_FIRESTORE": "hookchain",
    "HOOKCHAIN_BUCKET": BUCKET,
    "SENDGRID_API_KEY": "SG.a-key-of-this-test",
    "SHOP_KEY": SECRET,
}
NOWHERE: Final = Request("/", b"", {})


@dataclass(frozen=True, slots=True)
class Deployed:
    folder: Path
    ports: dict[str, int]
    emulation: Emulation
    firestore: FirestoreServer
    storage: StorageServer
    environ: dict[str, str]
    """For the operator's commands."""

    def post(self, **event: Json) -> str:
        """The event's id."""
        whole: JsonObject = {"event": "order.created", "to": "ann@example.com", **event}
        outcome = send(f"http://127.0.0.1:{self.ports['receive']}/shop", whole, secret=SECRET, auth=Bearer())
        assert outcome.ok, outcome.words
        assert outcome.event_id is not None
        return outcome.event_id

    def mails(self) -> list[str]:
        with contextlib.closing(Mailbox(self.folder / "state")) as mailbox:
            return [mail.subject for mail in mailbox.list_mail(100)]

    def sweep(self) -> None:
        """As Cloud Scheduler does each minute."""
        assert post(self.ports["notify"], Request("/sweep", b"", {})) == 200


@dataclass(frozen=True, slots=True)
class Operator:
    """Types `hookchain … --platform gcp`."""

    deployed: Deployed
    capsys: pytest.CaptureFixture[str]

    def told(self, *arguments: str, code: int = 0) -> str:
        self.capsys.readouterr()
        found = main([*arguments, "--platform", "gcp", "--project", PROJECT])
        told = self.capsys.readouterr()
        assert found == code, told.err
        return told.out

    def document(self, *arguments: str, code: int = 0) -> JsonObject:
        document: Json = json.loads(self.told(*arguments, "--json", code=code))
        assert isinstance(document, dict)
        return document

    def status(self, event_id: str) -> str:
        found = main(["events", "show", event_id, "--json", "--platform", "gcp", "--project", PROJECT])
        told = self.capsys.readouterr().out
        return str(json.loads(told)["status"]) if found == 0 else "not journaled yet"

    def is_soon(self, event_id: str, status: str) -> None:
        wait_for(lambda: self.status(event_id) == status)


def wait_for(claim: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up_at = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < give_up_at, "it did not come true in time"
        time.sleep(0.1)


@contextlib.contextmanager
def deploy(folder: Path, store: Store) -> Iterator[Deployed]:
    config = folder / "hookchain.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    ports = {name: free_port() for name in ("receive", "transform", "notify")}
    firestore, storage, emulation = FirestoreServer(store), StorageServer(BUCKET), Emulation(folder / "state")
    with ExitStack() as stack:
        stack.enter_context(emulation.running())
        asyncio.run(ensure(emulation.url, topology(PROJECT, "hookchain-", ports["transform"], ports["notify"])))
        cloud = {
            "PUBSUB_EMULATOR_HOST": emulation.url.removeprefix("http://"),
            "FIRESTORE_EMULATOR_HOST": stack.enter_context(served(firestore.app())),
            "STORAGE_EMULATOR_HOST": "http://" + stack.enter_context(served(storage.app())),
        }
        for name, compiled in compile_config(read_config_file(config)).items():
            compiled_file = folder / f"{name}.json"
            compiled_file.write_text(json.dumps(compiled), encoding="utf-8")
            command = functions_framework(f"functions/{name}", name, ports[name])
            environ = {**cloud, **SETTINGS, "SENDGRID_API_URL": emulation.url, "HOOKCHAIN_SLICE": str(compiled_file)}
            stack.enter_context(started(command, environ, ports[name], NOWHERE, ready="open"))
        yield Deployed(folder, ports, emulation, firestore, storage, cloud)
    assert firestore.problems == []
    assert storage.problems == []


@pytest.fixture(scope="module", params=["in memory", "npm's emulator"])
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
    text = operator.told("events", "show", event_id[:12])
    for words in ("matched", "no match", "to inbox by route 'all': delivered", "1. ", "202", '"name": "Ada"'):
        assert words in text
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
    assert listed("--source", "another") == []
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
    operator.is_soon(event_id, "failed")

    def letters(*filters: str) -> list[JsonObject]:
        found = operator.document("dead-letters", "list", *filters)["dead_letters"]
        assert isinstance(found, list)
        return [each for each in found if isinstance(each, dict) and each["event_id"] == event_id]

    wait_for(lambda: len(letters()) == 1)
    letter_id = str(letters("--destination", "inbox", "--source", "shop")[0]["id"])
    assert "elsewhere" not in operator.told("dead-letters", "list")
    assert '"to": "eve@elsewhere.example"' in operator.told("dead-letters", "show", letter_id)

    assert f"--platform gcp --project {PROJECT} --yes" in operator.told("dead-letters", "replay", letter_id)
    operator.told("dead-letters", "replay", letter_id, "--yes")
    wait_for(lambda: letters()[0]["state"] == "kept" if letters() else False)  # refused once more
    assert operator.told("dead-letters", "drop", letter_id, "--yes") == "1 dead letter dropped\n"
    assert letters() == []
    assert [each["state"] for each in letters("--status", "dropped")] == ["dropped"]


def test_a_replay_goes_through_once_more(deployed: Deployed, operator: Operator) -> None:
    event_id = deployed.post(id="again")
    operator.is_soon(event_id, "delivered")
    assert "1 event would be replayed" in operator.told("events", "replay", event_id)
    operator.told("events", "replay", event_id, "--force", "--yes")
    wait_for(lambda: deployed.mails().count("Order again") == 2)
    wait_for(lambda: operator.document("events", "show", event_id)["passes"] == 2)


def test_what_is_held_goes_out_once_it_is_released(deployed: Deployed, operator: Operator) -> None:
    deployed.emulation.ask("POST", "/emulator/faults", {"mail": {"next": [{"kind": "403", "count": 1}]}})
    event_id = deployed.post(id="held")
    operator.is_soon(event_id, "held")
    assert operator.told("release", "inbox").startswith("inbox: enabled; 1 delivery held")
    deployed.sweep()
    wait_for(lambda: "Order held" in deployed.mails(), 25.0)  # notify looks at the ledger's word for 10 s
    operator.is_soon(event_id, "delivered")


def test_what_is_not_there_is_said(operator: Operator) -> None:
    assert operator.told("events", "show", "0000000000", code=1) == ""
    assert operator.told("dead-letters", "show", "0000000000", code=1) == ""


def test_half_a_cloud_is_refused(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    assert main(["events", "list", "--platform", "gcp", "--project", PROJECT]) == 1
    assert "FIRESTORE_EMULATOR_HOST is not: set all of them, or unset it" in capsys.readouterr().err
