"""Count the files and functions that one event enters, from the request to the mail: `python -m tests.trace`.

One signed GitHub event goes through receive, transform and notify in this process, over faked ports. The mail goes to
a stand-in of SendGrid in a thread of its own, which is not counted. The second event is traced, so that what runs only
at the first, such as imports and the compilation of templates, is left out.
"""

import argparse
import asyncio
import hashlib
import hmac
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.notify import entry as notify_entry
from functions.notify.notifier import Notifier
from functions.notify.registry import Destinations, read_destinations
from functions.notify.waiting.pauses import Breakers, DestinationStates
from functions.notify.waiting.sweep import Sweeper
from functions.receive import entry as receive_entry
from functions.receive.receive import Receiver
from functions.receive.source import read_sources
from functions.transform import entry as transform_entry
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.event import read_kept_parts
from shared.http import Reply, Request
from shared.outgoing.gate import ProcessGate
from shared.ports import DELIVERIES, EVENTS
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import a_context
from tests.fakes.journal import FakeJournal
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import push_of
from tests.fakes.pushes import from_anybody
from tests.fakes.secrets import FakeSecrets

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = ("functions", "shared")
SECRET: Final = "the-secret-of-the-trace"
CONFIG: Final = """\
sources:
  github: {provider: github, secret: github-secret}
routes:
  - {name: pushes, from: github, types: [push], steps: [{drop: [data.secret]}], to: team}
destinations:
  team: {email: {to: [team@example.com], from: hooks@example.com, subject: "{{ data.repository.name }} was pushed to"}}
"""


@dataclass
class Entered:
    """The product's own functions that were entered, each once."""

    codes: set[CodeType] = field(default_factory=set)

    def note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self.codes.add(frame.f_code)

    @property
    def functions(self) -> dict[str, list[str]]:
        """Return the names of the functions by file, without what has no name of its own."""
        found: dict[str, list[str]] = {}
        for code in self.codes:
            path = Path(code.co_filename)
            if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ROOMS and code.co_name[0] != "<":
                found.setdefault(str(path.relative_to(ROOT)), []).append(code.co_qualname)
        return {name: sorted(found[name]) for name in sorted(found)}


def trace_one_event() -> dict[str, list[str]]:
    """Return the functions, by file, that one GitHub push enters on its way to its mail."""
    with _sendgrid() as url:
        return asyncio.run(_trace(url))


async def _trace(sendgrid_url: str) -> dict[str, list[str]]:
    pipe = Pipe(sendgrid_url)
    entered = Entered()
    with redirect_stdout(StringIO()):
        await pipe.take(1)
        sys.setprofile(entered.note)
        try:
            await pipe.take(2)
        finally:
            sys.setprofile(None)
    return entered.functions


class Pipe:
    """The three functions over faked ports; what one publishes, `take` pushes to the next."""

    def __init__(self, sendgrid_url: str) -> None:
        slices = compile_config(parse_config(CONFIG, "trace.yaml", ROOT))
        self._bus, clock, secrets = (
            FakeBus(),
            FakeClock(),
            FakeSecrets({"github-secret": SECRET, "sendgrid-api-key": "SG.trace"}),
        )
        self._receiver = Receiver(
            read_sources(slices["receive"]), secrets, self._bus, FakeBlobs(), clock, random_id=lambda: "0" * 32
        )
        program = read_program(slices["transform"])
        kept_parts = read_kept_parts(slices["transform"])
        transformer = Transformer(
            program.routes, self._bus, FakeBlobs(), FakeJournal(), clock, None, kept_parts=kept_parts
        )
        self._transform = transform_entry.Service(transformer, program.chains, None, from_anybody)
        ledger, journal = FakeLedger(), FakeJournal()
        context = replace(a_context(secrets), settings=read_settings({"SENDGRID_API_URL": sendgrid_url}), clock=clock)
        states, gate = DestinationStates(ledger, clock), ProcessGate(clock.now, 40, 40)
        parts = Notifier(
            destinations=Destinations(read_destinations(slices["notify"]), context),
            states=states,
            ledger=ledger,
            bus=self._bus,
            journal=journal,
            clock=clock,
            breakers=Breakers(states, clock, gate),
            gate=gate,
        )
        self._notify = notify_entry.Service(parts, Sweeper(ledger, self._bus, clock), journal, from_anybody)

    async def take(self, number: int) -> None:
        """Post one push and carry it through. Raises RuntimeError where a function does not take it."""
        body = json.dumps(
            {"after": hashlib.sha1(b"%d" % number).hexdigest(), "repository": {"name": "orchard"}, "secret": "x"}
        ).encode()
        signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
        head = Request(
            "POST",
            "/github",
            "",
            (
                ("content-type", "application/json"),
                ("x-github-event", "push"),
                ("x-github-delivery", f"delivery-{number}"),
                ("x-hub-signature-256", f"sha256={signature}"),
            ),
            peer="192.0.2.1",
        )
        _require(await receive_entry.answer(self._receiver, head, reading(body)), 200)
        pushed = push_of(self._bus.on(EVENTS)[-1].data)
        _require(await transform_entry.answer(self._transform, Request("POST", "/"), reading(pushed)), 204)
        pushed = push_of(self._bus.on(DELIVERIES)[-1].data)
        _require(await notify_entry.answer(lambda: self._notify, Request("POST", "/"), reading(pushed)), 204)


def _require(reply: Reply, status: int) -> None:
    if reply.status != status:
        raise RuntimeError(f"expected status {status}; got {reply.status}: {reply.body!r}")


@contextmanager
def _sendgrid() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202)
            self.send_header("X-Message-Id", "m1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.trace", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print every file and function")
    options = parser.parse_args()
    found = trace_one_event()
    count = sum(map(len, found.values()))
    if options.list:
        for name, functions in found.items():
            print(f"{name}\n    {', '.join(functions)}")
    print(f"One event, from its request to its mail: {len(found)} files, {count} functions.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
