"""Each bundle as Google Cloud runs it: its size, its start to the first answer that did its work, and its memory.

The Pub/Sub, Firestore and SendGrid that it works with are stand-ins on this machine, which ask for no token; on Cloud
Run one request to the metadata server comes first, and nothing more is imported for it.
"""

import base64
import compileall
import contextlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.bundle.requirements import read_pins
from deploy.cli import bundle
from shared.delivery import Delivery
from shared.event import Event, to_cloudevent
from shared.jsontext import JsonObject
from tests.bench.receive import PASSWORD, REQUEST
from tests.fakes.deliveries import to_cloudevent_of
from tests.fakes.pushes import cloud_run_environment, cloud_run_headers
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served
from tests.processes import BIN, Request, Running, free_port, functions_framework, started, worker_pid
from tests.standins import command

FUNCTIONS: Final = ("receive", "transform", "notify")
RECEIVED_AT: Final = "2026-03-01T12:00:00.000Z"
JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """`own_kib` is what is uploaded; `installed_mib` that and the packages it asks for, as pip installs them.

    `memory_mib` is of gunicorn's master and worker together.
    """

    name: str
    own_kib: float
    installed_mib: float
    start_seconds: float
    memory_mib: float


def measure(starts: int) -> tuple[float, list[Bundle]]:
    """The start of a bare function, and each bundle's figures: started in turn, so that all meet the same noise."""
    bare: list[float] = []
    ran: dict[str, list[tuple[float, float]]] = {name: [] for name in FUNCTIONS}
    with tempfile.TemporaryDirectory() as folder, _cloud() as environ:
        build = Path(folder, "build")
        _write_bundles(build)
        for number in range(starts):
            bare.append(_bare_start())
            for name in FUNCTIONS:
                ran[name].append(_started(build / name, environ, number))
        return statistics.median(bare), [_bundle(build / name, figures) for name, figures in ran.items()]


def _bare_start() -> float:
    port = free_port()
    with started(functions_framework("tests/bench/functions/bare", "bare", port), {}, port, REQUEST) as running:
        return running.start_seconds


def _write_bundles(build: Path) -> None:
    """Of the mode without a file, quietly."""
    before = dict(os.environ)
    os.environ |= {"HOOKCHAIN_CONFIG": "none", "EMAIL_ADDRESS": "inbox@example.com"}
    try:
        with contextlib.redirect_stdout(StringIO()):
            code = bundle.main(["--out", str(build)])
    finally:
        os.environ.clear()
        os.environ |= before
    if code:
        raise RuntimeError("the bundles could not be written")
    compileall.compile_dir(build, quiet=1)  # as Google's buildpack does


def _bundle(folder: Path, ran: Sequence[tuple[float, float]]) -> Bundle:
    own = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    packages = read_pins((folder / "requirements.txt").read_text(encoding="utf-8"))
    installed = own + sum(_size_of(pin.name) for pin in packages)
    seconds, memory = (statistics.median(values) for values in zip(*ran, strict=True))
    return Bundle(folder.name, own / 1024, installed / 2**20, seconds, memory)


def _started(folder: Path, environ: Mapping[str, str], number: int) -> tuple[float, float]:
    """Seconds and MiB."""
    port, status = free_port(), "200" if folder.name == "receive" else "204"
    program = [str(BIN / "functions-framework"), "--source", str(folder / "main.py"), "--target", folder.name]
    request = _first_request(folder.name, number)
    with started([*program, "--port", str(port)], environ, port, request, status) as running:
        return running.start_seconds, _memory_of(running)


def _memory_of(running: Running) -> float:
    """MiB of all its processes, what they share counted once where ps can tell."""
    pids = ",".join(map(str, {running.pid, worker_pid(running.pid)}))
    for measure in ("pss", "rss"):
        said = subprocess.run(["ps", "-o", f"{measure}=", "-p", pids], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.split():
            return sum(map(int, said.stdout.split())) / 1024
    raise RuntimeError("ps does not tell the memory of processes")


def _size_of(name: str) -> int:
    """What the package's files take on disk; 0 for one that this platform does not need."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return 0
    paths = (Path(str(file.locate())) for file in files if file.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file())


def _first_request(name: str, number: int) -> Request:
    """Another event each time: what is delivered is not delivered again."""
    if name == "receive":
        return REQUEST
    event = Event(f"{number:032d}", "/sources/webhook", "received", RECEIVED_AT, "0" * 64, {"name": "Ada"})
    document = to_cloudevent(event)
    if name == "notify":
        document = to_cloudevent_of(Delivery(event, "mail", "mail"), 1_790_000_000.0)
    return Request("/", json.dumps(_push(document)).encode(), {**JSON, **cloud_run_headers()})


def _push(document: JsonObject) -> JsonObject:
    data = base64.b64encode(json.dumps(document).encode()).decode()
    message: JsonObject = {"data": data, "attributes": {}, "messageId": "1", "publishTime": RECEIVED_AT}
    return {"message": message, "subscription": "projects/bench/subscriptions/bench"}


@contextlib.contextmanager
def _cloud() -> Iterator[Mapping[str, str]]:
    """The environment that leads to stand-ins of what a deployed function works with."""
    port = free_port()
    with (
        started(command("rest", port), {}, port, REQUEST, ready="open"),
        served(FirestoreServer(MemoryStore()).app()) as firestore,
        served(_mail_api()) as mail,
    ):
        yield {
            "PATH": os.environ.get("PATH", ""),
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}",
            **cloud_run_environment(),
            "FIRESTORE_EMULATOR_HOST": firestore,
            "HOOKCHAIN_FIRESTORE": "hookchain",
            "GOOGLE_CLOUD_PROJECT": "bench",
            "SENDGRID_API_URL": f"http://{mail}",
            "SENDGRID_API_KEY": "SG.a-key-of-the-benchmark",
            "WEBHOOK_PASSWORD": PASSWORD,
            "EMAIL_FROM": "from@example.com",
        }


def _mail_api() -> web.Application:
    async def take(_: web.Request) -> web.Response:
        return web.Response(status=202, headers={"X-Message-Id": "1"})

    app = web.Application()
    app.router.add_post("/v3/mail/send", take)
    return app


if __name__ == "__main__":
    print(*measure(int(sys.argv[1])), sep="\n")
