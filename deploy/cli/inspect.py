"""`hookchain inspect`: serve the inspector page for the events of this machine or of a cloud."""

import argparse
import asyncio
import errno

from deploy.cli.command import DONE, parser, run_command, whole_number_option
from deploy.config.checkout import environ_with, own_env_file
from deploy.dev.inspector.server import DEFAULT_PORT
from deploy.dev.local_server import stopped_by_signal
from deploy.platforms.choice import add_platform, add_state, open_platform
from deploy.terminal.command_line import CommandError


def main(arguments: list[str]) -> int:
    command = parser("inspect")
    command.add_argument(
        "--port",
        type=whole_number_option(1, 65_535),
        default=DEFAULT_PORT,
        help="serve on this port of 127.0.0.1 [%(default)s]",
    )
    add_state(command)
    add_platform(command)
    options = command.parse_args(arguments)
    return run_command("inspect", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise CommandError(
            f"port {options.port} is in use, perhaps by `hookchain dev`. Choose another with --port."
        ) from error
    return DONE


async def _serve(options: argparse.Namespace) -> None:
    stopped = stopped_by_signal()

    def announce(url: str, content: str) -> None:
        print(f"{url} shows {content}; press Ctrl-C to stop", flush=True)

    await open_platform(options, environ_with(own_env_file())).serve_inspector(options.port, stopped, announce)
