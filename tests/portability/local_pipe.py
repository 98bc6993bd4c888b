"""The functions as `hookchain dev` runs them: behind their HTTP servers, with the emulated Pub/Sub between them, and
SQLite's ledger and journal and the folder of blobs."""

import base64
import http.client
import json
import queue
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from deploy.dev.pubsub.messages import content_of
from deploy.dev.pubsub.store import FILE_NAME as BUS_FILE
from deploy.dev.pubsub.topology import Resource, topology
from shared.cloud import platform
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.serving import Answer as Answering
from shared.cloud.local import ledger, ledger_rows
from shared.cloud.local.blobs import MARK
from shared.cloud.local.journal import LocalJournal
from shared.cloud.local.ledger import LocalLedger
from shared.cloud.local.ledger_rows import open_ledger
from shared.http import ReadBody, Reply, Request
from shared.journal import AttemptEntry, Journal, JournalEntry
from shared.jsontext import JsonObject
from shared.ledger import Ledger, LedgerRow
from shared.ports import TOPIC_NAMES, Bus, BusMessage
from shared.settings import LOCAL_PROJECT, read_settings
from tests.fakes.pushes import push_environment, push_headers
from tests.portability.parts import FUNCTIONS, Parts, Ports
from tests.portability.platforms import Answer, FunctionsFramework, answers_of, serving
from tests.running.emulation import JSON_TYPE, Emulation
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS

TAKEN: Final = "taken-"
"""Before the names of the topics from which messages are pushed: what the functions publish is kept and not pushed."""
NEVER: Final[JsonObject] = {"minimumBackoff": "600s", "maximumBackoff": "600s"}
_SENT: Final = "SELECT topic, content FROM message WHERE topic NOT LIKE ? ORDER BY id"


@dataclass
class Recorded:
    """The journal, which notes what it is given."""

    journal: Journal
    given: list[JournalEntry]

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        self.given.extend(entries)
        await self.journal.record(entries)

    async def has_event(self, event_id: str) -> bool:
        return await self.journal.has_event(event_id)

    def note(self, attempt: AttemptEntry) -> None:
        self.given.append(attempt)
        self.journal.note(attempt)


@dataclass
class LocalState:
    """The state folder, and each function's ports on it."""

    folder: Path
    emulation: Emulation
    function_ports: Mapping[str, int]
    given: list[JournalEntry] = field(default_factory=list)
    made: dict[str, tuple[Bus, Journal, Ledger]] = field(default_factory=dict)

    def ports(self, function: str) -> Ports:
        environ = {
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{self.emulation.port}",
            "HOOKCHAIN_STATE": str(self.folder),
            **push_environment(self.function_ports[function]),
        }
        settings = read_settings(environ)
        bus, ledger = platform.bus(settings), platform.ledger(settings)
        blobs, journal = platform.blobs(settings), platform.journal(settings)
        assert blobs
        assert journal
        self.made[function] = bus, journal, ledger
        return Ports(bus, blobs, Recorded(journal, self.given), ledger, platform.verify_push(settings))

    async def close(self, function: str) -> None:
        """Close the function's ports, on its event loop."""
        bus, journal, ledger = self.made[function]
        assert isinstance(bus, PubSubBus)
        assert isinstance(journal, LocalJournal)
        assert isinstance(ledger, LocalLedger)
        bus.close()
        await journal.close()
        await ledger.close()

    def sent(self) -> list[tuple[str, BusMessage]]:
        found: list[tuple[str, BusMessage]] = []
        with closing(sqlite3.connect(f"file:{self.folder / BUS_FILE}?mode=ro", uri=True)) as database:
            for topic, text in database.execute(_SENT, (f"%/{TAKEN}%",)):
                content = content_of(text)
                message = BusMessage(base64.b64decode(content.get("data", "")), content.get("attributes", {}))
                found.append((topic.rpartition("/")[2], message))
        return found

    def bodies(self) -> Mapping[str, bytes]:
        files = (self.folder / "blobs").glob("*/*")
        return {sha256(unquote(path.name.removeprefix(MARK)).encode()).hexdigest(): path.read_bytes() for path in files}

    def entries(self) -> list[JournalEntry]:
        return self.given

    def rows(self) -> list[LedgerRow]:
        with closing(open_ledger(self.folder / ledger.FILE_NAME)) as database:
            return list(ledger_rows.read_rows_by_id(database, "ORDER BY key", ()).values())


class LocalPipe(FunctionsFramework):
    """`statuses` has the answer to each push, `taken_ids` the ids of the messages that were taken last."""

    def __init__(self, parts: Parts, state: LocalState, statuses: "queue.Queue[int]") -> None:
        super().__init__(parts, state.function_ports)
        self._state = state
        self._statuses = statuses
        self._bus = http.client.HTTPConnection("127.0.0.1", state.emulation.port)
        self.taken_ids: list[str] = []

    def close(self) -> None:
        super().close()
        self._bus.close()

    def _take(self, topic: str, messages: Sequence[BusMessage]) -> list[bool]:
        self.taken_ids = []
        return [self._take_one(topic, message) == 204 for message in messages]

    def _take_one(self, topic: str, message: BusMessage) -> int:
        """Publish the message and return how the push of it was answered. An empty one, which Pub/Sub rejects, is
        pushed without."""
        if message == BusMessage(b""):
            self.taken_ids.append(f"empty {len(self.taken_ids)}")
            self.message_ids = iter(self.taken_ids[-1:])
            super()._take(topic, [message])
        else:
            self.taken_ids.append(self._publish(topic, message))
        return self._statuses.get(timeout=PATIENCE_SECONDS)

    def _publish(self, topic: str, message: BusMessage) -> str:
        """Return the message's id."""
        document: JsonObject = {
            "data": base64.b64encode(message.data).decode(),
            "attributes": {**message.attributes},
        }
        path = f"/v1/projects/{LOCAL_PROJECT}/topics/{TAKEN}{topic}:publish"
        self._bus.request("POST", path, json.dumps({"messages": [document]}), JSON_TYPE)
        with self._bus.getresponse() as response:
            answer = json.load(response)
        assert response.status == 200, answer
        return str(answer["messageIds"][0])

    def _push(self, function: str, request: Request) -> Answer:
        headers = push_headers(self._state.folder, self._state.function_ports[function])
        return self._send(function, replace(request, headers=(*request.headers, *headers.items())))


@contextmanager
def local_pipe(folder: Path, make_parts: Callable[[LocalState], Parts]) -> Iterator[LocalPipe]:
    statuses: queue.Queue[int] = queue.Queue()
    state = LocalState(folder, Emulation(folder), {name: free_port() for name in FUNCTIONS})
    with state.emulation.running():
        for resource in _resources(state.function_ports):
            status, answer = state.emulation.ask("PUT", f"/v1/{resource.name}", resource.settings)
            assert status == 200, answer
        parts = make_parts(state)
        answers = answers_of(parts)
        watched = {name: _watched(answers[name], statuses) for name in ("transform", "notify")}
        with serving({**answers, **watched}, state.function_ports, state.close):
            pipe = LocalPipe(parts, state, statuses)
            try:
                yield pipe
            finally:
                pipe.close()


def _resources(ports: Mapping[str, int]) -> Iterator[Resource]:
    """Yield topics from which messages are pushed as `hookchain dev` does, once; and those that the functions publish
    on, each with a subscription that keeps what nobody pulls."""
    for resource in topology(LOCAL_PROJECT, TAKEN, ports["transform"], ports["notify"]):
        is_pushed = "pushConfig" in resource.settings
        yield resource._replace(settings={**resource.settings, "retryPolicy": NEVER}) if is_pushed else resource
    for topic in TOPIC_NAMES:
        name = f"projects/{LOCAL_PROJECT}/topics/{topic}"
        yield Resource(name, {})
        yield Resource(f"projects/{LOCAL_PROJECT}/subscriptions/kept-{topic}", {"topic": name})


def _watched(answer: Answering, statuses: "queue.Queue[int]") -> Answering:
    async def watched(head: Request, read_body: ReadBody) -> Reply:
        reply = await answer(head, read_body)
        if head.path in ("/", "/dead-letters"):
            statuses.put(reply.status)
        return reply

    return watched
