"""The emulated cloud APIs, as one process on one port: Pub/Sub's at /v1, SendGrid's at /v3, Google Sheets' at /v4.

`python -m deploy.dev.cloud_apis --port 8085 --state .hookchain`
"""

import argparse
import asyncio
import errno
import json
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.dev.direct_http import FindHandler
from deploy.dev.guard import local_only
from deploy.dev.pubsub.emulator import PubSub
from deploy.dev.pubsub.faults import Faults
from deploy.dev.pubsub.routes import PubSubApi
from deploy.dev.sendgrid.app import LOCK_POLL_SECONDS, SendGrid
from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.dev.sheets.app import EmulatedSheets
from deploy.dev.sheets.store import SheetStore
from deploy.dev.site import HOST, LocalSite
from shared.cloud.gcp.push_identity import EMULATED_KEYS_PATH
from shared.jsontext import Json, JsonObject, to_json
from shared.logs import log
from shared.settings import DEFAULT_STATE

DEFAULT_PORT: Final = 8085
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
EXIT_USAGE: Final = 2
EXIT_PORT_IN_USE: Final = 3
EXIT_STATE: Final = 4


@dataclass(frozen=True, slots=True)
class Options:
    port: int
    state_folder: Path
    faults: Json


class Failed(Exception):
    """The process cannot start; the text says why and what to do."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


async def serve(options: Options, stopped: asyncio.Event) -> None:
    """Serve until `stopped` is set. Raises Failed."""
    try:
        pubsub, mailbox = PubSub(options.state_folder), Mailbox(options.state_folder, LOCK_POLL_SECONDS)
        sheets = SheetStore(options.state_folder, LOCK_POLL_SECONDS)
    except (sqlite3.Error, OSError) as error:
        raise Failed(EXIT_STATE, f"the state in {options.state_folder} cannot be used: {error}") from error
    api, sendgrid = PubSubApi(pubsub), SendGrid(mailbox)
    fault_routes = FaultRoutes(pubsub, sendgrid)
    app = _application(pubsub, api, sendgrid, fault_routes)
    app.add_subapp("/v4", EmulatedSheets(sheets, options.state_folder).app())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    try:
        _set_faults(fault_routes, options.faults)
        await _listen(runner, options.port, lambda path: sendgrid.find_direct(path) or api.find_direct(path))
        pending = pubsub.start()
        log(
            "INFO",
            f"the emulated Pub/Sub, SendGrid and Google Sheets answer on http://{HOST}:{options.port}",
            count=pending or None,
        )
        await stopped.wait()
    finally:
        await runner.cleanup()
        await pubsub.stop()
        mailbox.close()
        sheets.close()


def _application(pubsub: PubSub, api: PubSubApi, sendgrid: SendGrid, faults: "FaultRoutes") -> web.Application:
    # The outermost application's limit is the one that applies; each API rejects larger bodies with its own message.
    app = web.Application(middlewares=[local_only], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/", _ready)
    app.add_routes(faults.routes())
    app.router.add_get(EMULATED_KEYS_PATH, lambda _: _push_keys(pubsub))
    app.add_subapp("/v1", api.app())
    app.add_subapp("/v3", sendgrid.app())
    return app


async def _ready(_: web.Request) -> web.Response:
    """Answer a readiness check as Google's own emulator does."""
    return web.Response(text="Ok\n")


async def _push_keys(pubsub: PubSub) -> web.Response:
    """Answer the public keys of the pushes' tokens, as https://www.googleapis.com/oauth2/v3/certs does.

    Raises HTTPServiceUnavailable if the state folder is gone or full: the function that asked is pushed to again.
    """
    try:
        return web.json_response(pubsub.tokens.keys())
    except OSError as error:
        raise web.HTTPServiceUnavailable(text=f"push key: cannot be read or written: {error.strerror}\n") from error


def _set_faults(routes: "FaultRoutes", faults: Json) -> None:
    try:
        routes.apply(faults)
    except ValueError as error:
        raise Failed(EXIT_USAGE, f"--faults: {error}") from error


async def _listen(runner: web.AppRunner, port: int, find_direct: FindHandler) -> None:
    await runner.setup()
    try:
        await LocalSite(runner, port, find_direct).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise Failed(EXIT_PORT_IN_USE, f"port {port} on {HOST} cannot be used: {error}") from error
        reason = f"port {port} on {HOST} is taken by another program. Stop it, or choose another port with --port."
        raise Failed(EXIT_PORT_IN_USE, reason) from error


class FaultRoutes:
    """Faults on demand, changed while the APIs run: GET, POST and DELETE /emulator/faults.

    The document is the same as of `--faults`:
    `{"seed": 7, "bus": {"duplicate": 0.05, "nack": 0.05}, "mail": {"unplugged": true}}`
    What it does not name stays as it is. pubsub/faults.py and sendgrid/faults.py describe the members.
    """

    def __init__(self, pubsub: PubSub, sendgrid: SendGrid) -> None:
        self._pubsub = pubsub
        self._sendgrid = sendgrid

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/emulator/faults", self.show),
            web.post("/emulator/faults", self.change),
            web.delete("/emulator/faults", self.clear),
        ]

    async def show(self, _: web.Request) -> web.Response:
        return self._document()

    async def change(self, request: web.Request) -> web.Response:
        try:
            self.apply(json.loads(await request.read()))
        except (ValueError, RecursionError) as error:
            return web.Response(status=400, text=f"{error}\n")
        return self._document()

    async def clear(self, _: web.Request) -> web.Response:
        self._pubsub.plan.faults = Faults()
        self._sendgrid.faults.clear()
        return self._document()

    def apply(self, changes: Json) -> None:
        """Change the faults. Raises ValueError, and changes nothing then."""
        if not isinstance(changes, dict) or changes.keys() - {"seed", "bus", "mail"}:
            raise ValueError("faults: must be a JSON object of 'seed', 'bus' and 'mail'.")
        bus, mail, seed = changes.get("bus", {}), changes.get("mail", {}), changes.get("seed")
        if not isinstance(bus, dict) or not isinstance(mail, dict):
            raise ValueError("faults: 'bus' and 'mail' must be objects.")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ValueError(f"seed: must be a whole number; got {seed!r}.")
        changed = self._pubsub.plan.faults.changed(bus)
        self._sendgrid.faults.change(mail)
        self._pubsub.plan.faults = changed
        if seed is not None:
            self._pubsub.plan.generator.seed(seed)
            self._sendgrid.generator.seed(seed)

    def _document(self) -> web.Response:
        document: JsonObject = {
            "bus": self._pubsub.plan.faults.document(),
            "mail": self._sendgrid.faults.document(),
        }
        return web.Response(body=to_json(document).encode(), content_type="application/json")


def parse_options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.cloud_apis", description="Emulated cloud APIs.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument(
        "--state", type=Path, default=Path(DEFAULT_STATE), help="the folder of bus.db, mail.db and sheets.db"
    )
    parser.add_argument(
        "--faults",
        type=json.loads,
        default={},
        metavar="JSON",
        help='faults on demand, such as \'{"seed": 7, "bus": {"duplicate": 0.05}, "mail": {"unplugged": true}}\'; '
        "change it while running with POST /emulator/faults",
    )
    parsed = parser.parse_args(arguments)
    return Options(parsed.port, parsed.state, parsed.faults)


async def _run(options: Options) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await serve(options, stopped)


def _runner() -> Callable[[Coroutine[None, None, None]], None]:
    """Return uvloop's runner if it is installed: it halves the CPU time of a request."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def main(arguments: list[str]) -> int:
    options = parse_options(arguments)
    try:
        _runner()(_run(options))
    except Failed as failure:
        sys.stderr.write(f"cloud_apis: {failure}\n")
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
