"""Receive, transform and notify of one tree, each fed with what the one before it published, and each counted alone.

Only the processes of a function count: neither the load nor the stand-in of Pub/Sub, mail service and database.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from shared.jsontext import Json
from tests.bench.configurations import ENVIRON, order, push_of, signed
from tests.bench.cpu import cpu_seconds, resident_mib
from tests.bench.folders import new_folder
from tests.bench.load import CONNECTIONS, Load, drive, http_post
from tests.bench.stand_in import recorded_messages
from tests.bench.tree import Tree
from tests.fakes.pushes import cloud_run_environment, cloud_run_headers, push_environment, push_headers
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served
from tests.running.ports import free_port
from tests.running.processes import BIN, ROOT, Request, Running, started

Platform = Literal["local", "google"]
Fed = Literal["transform", "notify"]
FUNCTIONS: Final = ("receive", "transform", "notify")
FED_BY: Final[Mapping[Fed, str]] = {"transform": "events", "notify": "deliveries"}
"""The topics whose messages are pushed to these functions."""
SAMPLES: Final = ROOT / "tests" / "bench" / "functions"
WARM_UP: Final = 200
MAX_FAILED: Final = 0.02
NOTHING: Final = Request("/", b"", {})


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one request, and how the load went."""

    seconds: float
    load: Load


def cost(server: Running, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Cost:
    """Send the requests and count the CPU of all the server's processes.

    Raises RuntimeError where more than a few fail. On a busy machine a time limit passes now and then.
    """
    before = cpu_seconds(server.pid)
    load = drive(server.port, requests, connections)
    spent = cpu_seconds(server.pid) - before
    return checked(server, Cost(spent / len(requests), load))


def checked(server: Running, cost: Cost) -> Cost:
    """Return the cost. Raises RuntimeError where more than a few requests failed."""
    failed, sent = cost.load.failed, len(cost.load.latencies_ms)
    if failed > sent * MAX_FAILED:
        faults = [line for line in server.output().splitlines() if '"INFO"' not in line]
        raise RuntimeError(f"{failed} of {sent} requests failed:\n" + "\n".join(faults[-3:]))
    return cost


@contextlib.contextmanager
def function(
    folder: Path, environ: Mapping[str, str], first: Request = NOTHING, ready: str = "open", port: int = 0
) -> Iterator[Running]:
    """The function that is named like its folder, served by functions-framework until the block ends."""
    port = port or free_port()
    command = [str(BIN / "functions-framework"), "--source", str(folder / "main.py"), "--target", folder.name]
    whole = {"PATH": os.environ.get("PATH", ""), **environ}
    with started([*command, "--port", str(port)], whole, port, first, ready, cwd=folder) as running:
        yield running


@contextlib.contextmanager
def bare() -> Iterator[Running]:
    """A function that does nothing, warm."""
    with function(SAMPLES / "bare", {}) as running:
        drive(running.port, [http_post(signed(order("warm")))] * WARM_UP)
        yield running


@contextlib.contextmanager
def stand_in(folder: Path) -> Iterator[str]:
    """The stand-in of what the functions talk to: its host and port. What is published lies in the folder."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.stand_in", str(port), str(folder)]
    with started(command, {}, port, NOTHING, ready="open"):
        yield f"127.0.0.1:{port}"


@dataclass
class Pipe:
    """The functions of a tree, running. `firestore` counts the documents on the platform `google`.

    `connections` are fewer where a request takes long, or a machine with little time left answers 503.
    """

    folder: Path
    platform: Platform = "local"
    connections: int = CONNECTIONS
    environ: dict[str, str] = field(default_factory=dict)
    servers: dict[str, Running] = field(default_factory=dict)
    firestore: FirestoreServer = field(default_factory=lambda: FirestoreServer(MemoryStore()))
    prepared: int = 0

    def orders(self, count: int, body: Callable[[str], bytes], source: str = "shop-0") -> list[bytes]:
        """Return requests that no one has sent before. `body` makes one with this id."""
        self.prepared += count
        ids = range(self.prepared - count, self.prepared)
        return [http_post(signed(body(f"{number:012d}"), source)) for number in ids]

    def receive(self, requests: Sequence[bytes]) -> Cost:
        return cost(self.servers["receive"], requests, self.connections)

    def published(self, name: Fed) -> list[Json]:
        """Return the messages that were published for the function since the last call."""
        return recorded_messages(self.folder, FED_BY[name])

    def push(self, name: Fed, messages: Sequence[Json]) -> Cost:
        return cost(self.servers[name], self.pushes(name, messages), self.connections)

    def pushes(self, name: Fed, messages: Sequence[Json]) -> list[bytes]:
        """Return the requests that push the messages."""
        headers = self.push_headers(name)
        return [http_post(push_of(each, headers)) for each in messages]

    def all_through(self, requests: Sequence[bytes], forwarded: int | None = None) -> dict[str, Cost]:
        """Take events from request to mail, one function after the other; past receive only so many of them."""
        costs = {"receive": self.receive(requests)}
        for name in FED_BY:
            costs[name] = self.push(name, self.published(name)[:forwarded])
        return costs

    def warm_up(self, bodies: Sequence[Callable[[str], bytes]], source: str = "shop-0") -> None:
        """Take a few events through, one connection at a time first: all that happens at a first request is done."""
        connections = self.connections
        for self.connections, count in ((1, 2), (connections, WARM_UP)):
            for body in bodies:
                self.all_through(self.orders(count, body, source), 50)

    def memory_mib(self) -> dict[str, float]:
        return {name: resident_mib(server.pid) for name, server in self.servers.items()}

    def push_headers(self, name: str) -> dict[str, str]:
        if self.platform == "google":
            return cloud_run_headers()
        return push_headers(self.folder, self.servers[name].port)


@contextlib.contextmanager
def pipe(
    tree: Tree,
    config: str,
    platform: Platform = "local",
    functions: Sequence[str] = FUNCTIONS,
    connections: int = CONNECTIONS,
) -> Iterator[Pipe]:
    """The functions of a tree with this configuration, until the block ends."""
    with contextlib.ExitStack() as stack:
        folder = new_folder()
        (folder / "hookchain.yaml").write_text(config, encoding="utf-8")
        bundles = tree.bundles(folder / "hookchain.yaml", folder / "build")
        running = Pipe(folder, platform, connections)
        running.environ = stack.enter_context(_cloud(running))
        for each in functions:
            port = free_port()
            own = {**running.environ, "HOOKCHAIN_SLICE": str(bundles / each / "slice.json")}
            if platform == "local":
                own |= push_environment(port)
            running.servers[each] = stack.enter_context(function(tree.function_folder(each), own, port=port))
        yield running


@contextlib.contextmanager
def _cloud(running: Pipe) -> Iterator[dict[str, str]]:
    """The environment that leads a function to the stand-ins of its platform."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(stand_in(running.folder))
        environ = {
            **ENVIRON,
            "PUBSUB_EMULATOR_HOST": host,
            "SENDGRID_API_URL": f"http://{host}",
            "HOOKCHAIN_STATE": str(running.folder),
        }
        if running.platform == "google":
            environ |= cloud_run_environment()
            environ |= {"HOOKCHAIN_FIRESTORE": "hookchain", "GOOGLE_CLOUD_PROJECT": "bench"}
            environ["FIRESTORE_EMULATOR_HOST"] = stack.enter_context(served(running.firestore.app()))
        yield environ
