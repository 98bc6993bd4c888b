"""The start of `hookchain dev` and `hookchain serve`: the checks, then the supervisor with its background work."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from deploy.config import checkout, running_dev
from deploy.dev.aws import environments
from deploy.dev.supervisor import background, state_folder
from deploy.dev.supervisor.options import Options, env_file_in, parse_options
from deploy.dev.supervisor.reloader import Reloader
from deploy.dev.supervisor.runner import ReaperLink
from deploy.dev.supervisor.setup import SETUP_FAULTS, Setup, make_folders, set_up
from deploy.dev.supervisor.supervisor import FindWarnings, StartFailed, Supervisor, Work

START_FAULTS: Final = (
    *SETUP_FAULTS,
    running_dev.PortsTaken,
    state_folder.StateFault,
    StartFailed,
    environments.ToolsMissing,
)
"""The faults that end a start with their text, and without a traceback."""
UMASK: Final = 0o077
"""Only their user may read the files that this process and its children create."""


def main(arguments: list[str], find_warnings: FindWarnings) -> int:
    return start(lambda: _options(arguments), find_warnings)


def _options(arguments: list[str]) -> Options:
    environ = checkout.environ_with(env_file_in(arguments, os.environ, checkout.ROOT))
    return parse_options(arguments, environ, checkout.ROOT, sys.stdout.isatty())


def start(read_options: Callable[[], Options], find_warnings: FindWarnings) -> int:
    """Run until a signal arrives, and return the exit code. `read_options` may raise DotenvFault."""
    began_at = time.monotonic()
    os.umask(UMASK)
    try:
        options = read_options()
        with state_folder.locked(options.state, options.command):
            _run(options, began_at, find_warnings)
    except START_FAULTS as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _run(options: Options, began_at: float, find_warnings: FindWarnings) -> None:
    if options.platform == "aws":
        environments.find_tools()  # raises ToolsMissing
    running_dev.require_free(options.port_base, running_dev.is_free, running_dev.owner_of, options.command)
    state_warnings: Sequence[str] = ()
    if options.production:
        state_folder.require_undamaged(options.state)
    else:
        state_folder.require_development(options.state)
        state_warnings = state_folder.set_aside_damaged(options.state, time.time())
    state_folder.require_known_files(options.state, options.command)
    folders = make_folders(options, checkout.ROOT)
    with ReaperLink(folders.sockets) as link:
        setup = set_up(options, dict(os.environ), folders)
        if options.production:
            state_folder.require_production(options.state, options.production)
        asyncio.run(_supervise(setup, link, began_at, find_warnings, state_warnings))


async def _supervise(
    setup: Setup, link: ReaperLink, began_at: float, find_warnings: FindWarnings, state_warnings: Sequence[str]
) -> None:
    supervisor = Supervisor(setup, link, began_at, find_warnings)
    for warning in state_warnings:
        supervisor.output.say("WARNING", warning)
    reloader = Reloader(supervisor)
    works: list[Work] = [partial(background.purge_hourly, supervisor), partial(background.watch_state, supervisor)]
    if not setup.is_aws:  # on the local AWS, notify's process calls the sweep itself
        works.append(partial(background.sweep, supervisor))
    if setup.options.production:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.request)
        works.append(reloader.reload_at_requests)
    if setup.options.reload:
        works.append(reloader.watch_files)
    await supervisor.run(works)
