"""`hookchain dev`: the whole pipe on this machine."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from typing import Final

from deploy.config.checkout import ROOT, environ_with
from deploy.config.config_file import ConfigFaults
from deploy.config.dotenv import DotenvFault
from deploy.config.running_dev import PortsTaken, is_free, owner_of, require_free
from deploy.dev.aws.environments import ToolsMissing, find_tools
from deploy.dev.supervisor.runner import ReaperLink
from deploy.dev.supervisor.setup import (
    FindWarnings,
    MailNotConfigured,
    Options,
    env_file_in,
    make_folders,
    parse_options,
    set_up,
)
from deploy.dev.supervisor.state_folder import (
    StateDamaged,
    StateExposed,
    StateGone,
    StateInUse,
    StateNewer,
    StateUnwritable,
    locked,
    require_known_files,
    set_aside_damaged,
)
from deploy.dev.supervisor.supervisor import StartFailed, Supervisor
from deploy.secrets.values import WeakSecret

FAULTS: Final = (
    *(ConfigFaults, DotenvFault, WeakSecret, MailNotConfigured, PortsTaken),
    *(StateInUse, StateGone, StateExposed, StateUnwritable, StateDamaged, StateNewer, StartFailed, ToolsMissing),
)
UMASK: Final = 0o077
"""Files that this process and its children create are for their user alone."""


def main(arguments: list[str], find_warnings: FindWarnings) -> int:
    began = time.monotonic()
    os.umask(UMASK)
    try:
        environ = environ_with(env_file_in(arguments, os.environ, ROOT))
        options = parse_options(arguments, environ, ROOT, sys.stdout.isatty())
        with locked(options.state):
            _run(options, began, find_warnings)
    except FAULTS as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _run(options: Options, began: float, find_warnings: FindWarnings) -> None:
    if options.platform == "aws":
        find_tools()
    require_free(options.port_base, is_free, owner_of)
    warnings = set_aside_damaged(options.state, time.time())
    require_known_files(options.state)
    folders = make_folders(options, ROOT)
    with ReaperLink(folders.sockets) as link:
        setup = set_up(options, dict(os.environ), folders)
        asyncio.run(_supervise(Supervisor(setup, link, began, find_warnings), warnings))


async def _supervise(supervisor: Supervisor, warnings: Sequence[str]) -> None:
    for warning in warnings:
        supervisor.output.say("WARNING", warning)
    await supervisor.run()
