"""`hookchain status`: what runs, what came last, what waits, and what needs somebody."""

import argparse
import json
import os
import sqlite3
import sys
import time
from typing import Final

from deploy.cli.ending import DONE, ended
from deploy.cli.main import parser
from deploy.cli.status_text import status_text
from deploy.config.configured import Configured, add_configuration, configured
from deploy.dev.status import local_backlogs, local_version
from deploy.google.cloud import cloud_deployment
from deploy.history.platform_options import add_platform, add_state, is_gcp, same_platform, target_of
from deploy.history.state import StateFault
from deploy.history.state_choice import chosen_state
from deploy.history.status_cloud import backlogs_or_note, versions
from deploy.history.status_parts import Kept, Status, kept_in
from deploy.requests.source_lines import sources_of
from deploy.terminal.command_error import CannotTell
from deploy.terminal.tables import screen_of
from shared.errors import HookchainError

EPILOG: Final = """\
A message that has waited for more than five minutes is marked with `!`: `hookchain logs` may say why.

exit code: 0 told, 1 where it cannot be told, 2 for a command that makes no sense"""


def main(arguments: list[str]) -> int:
    words = parser("status", EPILOG)
    add_configuration(words)
    add_platform(words)
    add_state(words)
    words.add_argument("--json", action="store_true", help="print one JSON document")
    options = words.parse_args(arguments)
    return ended("status", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    have, now = configured(options), time.time()
    status = (_cloud_status if is_gcp(options) else _local_status)(options, have, now)
    if options.json:
        print(json.dumps(status.document(), indent=2))
    else:
        where = same_platform(options)
        print("\n".join(status_text(status, now, screen_of(sys.stdout, os.environ), where)))
    return DONE


def _local_status(options: argparse.Namespace, have: Configured, now: float) -> Status:
    try:
        kept = _kept(options, have, now)
        waiting = local_backlogs(options.state, now)
    except sqlite3.Error as fault:
        raise CannotTell(str(fault)) from fault
    return Status([local_version(options.state)], kept.sources, waiting, kept.dead_letters, kept.held, kept.retrying)


def _cloud_status(options: argparse.Namespace, have: Configured, now: float) -> Status:
    """What one part of the cloud does not tell hides nothing of the others."""
    cloud = cloud_deployment(target_of(options, have.environ))
    running = versions(cloud)
    waiting, notes = backlogs_or_note(cloud, now)
    try:
        kept = _kept(options, have, now)
    except (StateFault, HookchainError) as fault:
        reason = fault.detail if isinstance(fault, HookchainError) else str(fault)
        return Status(running, backlogs=waiting, notes=[*notes, f"events, dead letters and what is held: {reason}"])
    return Status(running, kept.sources, waiting, kept.dead_letters, kept.held, kept.retrying, notes)


def _kept(options: argparse.Namespace, have: Configured, now: float) -> Kept:
    with chosen_state(options, have.environ) as state:
        return kept_in(state, sources_of(have.slices["receive"]), now)
