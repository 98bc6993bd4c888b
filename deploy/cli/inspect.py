"""`hookchain inspect`: the inspector's page on this machine, over what is kept here or on Google Cloud."""

import argparse
import asyncio
import errno
import os
from typing import Final

from deploy.cli.ending import DONE, ended
from deploy.cli.main import parser
from deploy.dev.inspector import app as local_app
from deploy.dev.inspector.base_app import DEFAULT_PORT, serve_app, stopped_by_signal
from deploy.dev.inspector.cloud_app import make_cloud_app, open_cloud_parts
from deploy.dev.site import HOST
from deploy.history.gcp import cloud_place, configured_destinations
from deploy.history.platform_options import add_platform, add_state, is_gcp
from deploy.history.state import resolve_target
from deploy.terminal.command_error import CannotTell

EPILOG: Final = """\
The page is for this machine alone. On Google Cloud it reads with your own credentials, and while it is open each look
costs reads of the database; refused requests are in receive's log: hookchain logs --platform gcp.

exit code: 0 once stopped with Ctrl-C, 1 where it cannot be served"""


def main(arguments: list[str]) -> int:
    words = parser("inspect", EPILOG)
    words.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    add_state(words)
    add_platform(words)
    options = words.parse_args(arguments)
    return ended("inspect", lambda: _run(options), OSError)


def _run(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise CannotTell(f"port {options.port} is taken, perhaps by `hookchain dev`: --port names another") from error
    return DONE


async def _serve(options: argparse.Namespace) -> None:
    stopped = stopped_by_signal()

    def tell(what: str) -> None:
        print(f"http://{HOST}:{options.port} shows {what}; Ctrl-C ends it", flush=True)

    if not is_gcp(options):
        what = f"what is kept in {options.state}"
        await local_app.serve(options.port, options.state, os.environ, stopped, lambda: tell(what))
        return
    place = cloud_place(resolve_target(options, os.environ), os.environ)
    name = f"{place.target.bundle} in {place.target.project}"
    async with open_cloud_parts(place) as parts:
        await parts.read(parts.reader.version)  # nobody signed in, no such database: said here, and not on the page
        app = make_cloud_app(parts, name, lambda: configured_destinations(os.environ))
        await serve_app(app, options.port, stopped, lambda: tell(name))
