"""The emulated cloud APIs, as one process on one port: Pub/Sub's at /v1, SendGrid's at /v3, Google Sheets' at /v4.

`python -m deploy.dev.cloud_apis --port 8085 --state .hookchain`
"""

import argparse
import asyncio
import errno
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path
from typing import Final

import uvloop
from aiohttp import web

from deploy.config.local_ports import HOST, ports_from
from deploy.dev import caught, faults, local_server
from deploy.dev.pubsub import broker, routes, topology
from deploy.dev.sendgrid import LOCK_POLL_SECONDS, SendGrid
from deploy.dev.sheets import EmulatedSheets
from deploy.history.local import read_slice
from deploy.terminal.command_line import CommandError
from shared import logs, settings
from shared.cloud.gcp.push_identity import EMULATED_KEYS_PATH

DEFAULT_PORT: Final = 8085
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
SHUTDOWN_SECONDS: Final = 0.5


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal arrives. Raises CommandError."""
    stopped = local_server.stopped_by_signal()
    state: Path = options.state
    resources: Sequence[topology.Resource] = ()
    if options.port_base is not None:
        receive = read_slice(state, "receive") or {}
        resources = topology.local_topology(ports_from(options.port_base), receive)
    with ExitStack() as stack:
        try:
            pubsub = broker.PubSub(state, resources)
            app = _app(pubsub)
            if not options.bus_only:
                _add_catching_services(app, pubsub, state, stack)
        except (sqlite3.Error, OSError) as error:
            raise CommandError(f"the state in {state} cannot be used: {error}") from error
        what = "the bus answers" if options.bus_only else "the emulated Pub/Sub, SendGrid and Google Sheets answer"
        await _serve_app(app, pubsub, options.port, stopped, options.paused, what)


def _add_catching_services(app: web.Application, pubsub: broker.PubSub, state: Path, stack: ExitStack) -> None:
    """Add SendGrid and Google Sheets, whose files `stack` closes, and faults on demand. Raises as the files do."""
    mailbox = stack.enter_context(closing(caught.Mailbox(state, LOCK_POLL_SECONDS)))
    sheets = stack.enter_context(closing(caught.SheetStore(state, LOCK_POLL_SECONDS)))
    sendgrid = SendGrid(mailbox)
    app.add_routes(faults.FaultRoutes(pubsub.plan, sendgrid.faults).routes())
    app.add_subapp("/v3", sendgrid.app())
    app.add_subapp("/v4", EmulatedSheets(sheets, state).app())


def _app(pubsub: broker.PubSub) -> web.Application:
    # The outermost application's limit is the one that applies; each API rejects larger bodies with its own message.
    app = web.Application(middlewares=[local_server.local_only], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/", _ready)
    app.router.add_get(EMULATED_KEYS_PATH, lambda _: _push_keys(pubsub))
    app.add_subapp("/v1", routes.PubSubApi(pubsub).app())
    return app


async def _serve_app(
    app: web.Application, pubsub: broker.PubSub, port: int, stopped: asyncio.Event, is_paused: bool, message: str
) -> None:
    """Serve until `stopped` is set, then stop the bus. `message` is logged once it is up. Raises CommandError."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pubsub.stop)
        try:
            await stack.enter_async_context(local_server.served(app, port, SHUTDOWN_SECONDS))
        except OSError as error:
            rule = f"port {port} on {HOST} cannot be used: {error}"
            if error.errno == errno.EADDRINUSE:
                advice = "is taken by another program. Stop it, or choose another port with --port."
                rule = f"port {port} on {HOST} {advice}"
            raise CommandError(rule) from error
        pubsub.plan.is_paused = is_paused
        pending_count = pubsub.start()
        logs.log("INFO", f"{message} on http://{HOST}:{port}", count=pending_count or None)
        await stopped.wait()


async def _ready(_: web.Request) -> web.Response:
    """Answer a readiness check as Google's own emulator does."""
    return web.Response(text="Ok\n")


async def _push_keys(pubsub: broker.PubSub) -> web.Response:
    """Answer the public keys of the pushes' tokens, as https://www.googleapis.com/oauth2/v3/certs does.

    Raises HTTPServiceUnavailable if the state folder is gone or full: the function that asked is pushed to again.
    """
    try:
        return web.json_response(pubsub.tokens.keys())
    except OSError as error:
        raise web.HTTPServiceUnavailable(text=f"push key: cannot be read or written: {error.strerror}\n") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.cloud_apis", description="Emulated cloud APIs.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument(
        "--state", type=Path, default=Path(settings.DEFAULT_STATE), help="the folder of bus.db, mail.db and sheets.db"
    )
    parser.add_argument("--port-base", type=int, help="create the topics and subscriptions of functions from this port")
    parser.add_argument("--bus-only", action="store_true", help="serve Pub/Sub only, without faults on demand")
    parser.add_argument("--paused", action="store_true", help="accept messages and push none")
    return parser


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        uvloop.run(serve(options))  # measured, a request takes half the CPU time of one on asyncio's own loop
    except CommandError as fault:
        sys.stderr.write(f"cloud_apis: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
