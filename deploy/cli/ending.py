"""How a command ends: its exit code, and what it raises on purpose, told in words."""

import sqlite3
import sys
from collections.abc import Callable
from typing import Final

from deploy.config.dotenv import DotenvFault
from deploy.config.faults import ConfigFaults
from deploy.google.gcloud import GcloudFault, GcloudMissing
from deploy.google.target import TargetFault
from deploy.terminal.command_error import CannotTell
from deploy.terminal.tables import printable
from shared.cloud.local.database import reason_of
from shared.errors import HookchainError

DONE: Final = 0
NOT_DONE: Final = 1
USAGE: Final = 2
FAULTS: Final = (ConfigFaults, DotenvFault, TargetFault, GcloudFault, GcloudMissing)


def ended(command: str, run: Callable[[], int], *also: type[Exception], faulty: int = NOT_DONE) -> int:
    """The exit code of `run`; what it raises on purpose, or is one of `also`, is told in words and is `faulty`."""
    told: tuple[type[Exception], ...] = (CannotTell, HookchainError, *FAULTS, *also)
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # an OSError, but no fault: deploy/cli/main.py ends every command whose reader has seen enough
    except told as fault:
        tell(command, words_of(fault))
        return faulty
    return code


def words_of(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.filename:
        return f"{fault.filename} cannot be opened: {fault.strerror}"
    if isinstance(fault, sqlite3.Error):
        return reason_of(fault)
    return fault.detail if isinstance(fault, HookchainError) else str(fault)


def tell(command: str, text: str) -> None:
    """On standard error, each line after the command's name but for those to paste."""
    for line in map(printable, text.split("\n")):
        is_to_paste = line.startswith("  ")
        print(line if is_to_paste else f"hookchain {command}: {line}", file=sys.stderr)
