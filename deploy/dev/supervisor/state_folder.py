"""Checks of the state folder before anything starts. damaged_files.py looks at its files.

One supervisor at a time uses a folder, because two would each push messages that the other has taken. `hookchain dev`
never uses the state of `hookchain serve`, which in turn takes over a state of `dev` only if the operator asks for it.
"""

import errno
import fcntl
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from deploy.config.running_dev import PRODUCTION_FILE, is_production
from deploy.dev.pubsub.store import read_waiting
from deploy.dev.supervisor.processes import Production
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import count_of
from shared.cloud.local import database
from shared.limits import MIB

FILE_NAME: Final = "dev.lock"
OURS: Final = (FILE_NAME, "bus.db", "journal.db", "ledger.db", "mail.db")
"""Every folder that has been a state folder has one of them."""
LEAST_FREE_BYTES: Final = 4 * MIB
"""A start writes less than one MiB, and a running pipe answers 503 while its disk is full."""
_UNFINISHED: Final = """
SELECT destination, count(*) FROM deliveries WHERE state NOT IN ('delivered', 'dead_lettered', 'merged')
GROUP BY destination ORDER BY destination"""


def other_folder(command: str) -> str:
    """Return the advice how to start with another state folder."""
    return f"To use another folder: HOOKCHAIN_STATE=FOLDER {command}"


def require_state_folder(state: Path) -> None:
    """Raises CommandError if the folder was removed: processes keep their open files, and all they write is lost."""
    if not (state / FILE_NAME).exists():
        advice = "Start it again, and stop it before you remove the folder"
        raise CommandError(f"{state}: must exist while Hookchain runs; it was removed. {advice}.")


def make_private(state: Path) -> None:
    """Create the folder if it is missing, and make it and all that it holds private. Raises CommandError.

    A folder that is not Hookchain's own, such as /tmp or a home folder, stays as it is.
    """
    state.mkdir(mode=database.PRIVATE_FOLDER, parents=True, exist_ok=True)
    mode = stat.S_IMODE(state.stat().st_mode)
    if not mode & database.OTHERS:
        return
    found = f"{state}: other users must not be able to read the state folder; got mode {mode:o}"
    is_used = any((state / name).exists() for name in OURS)
    is_empty = next(state.iterdir(), None) is None
    is_shared = bool(mode & stat.S_ISVTX)  # as /tmp is
    if is_shared or not (is_used or is_empty):
        advice = "Name another folder with --state, or set its mode to 700"
        raise CommandError(f"{found}, and files that are not Hookchain's. {advice}.")
    try:
        state.chmod(database.PRIVATE_FOLDER)
        for path in state.rglob("*"):
            if not path.is_symlink():
                path.chmod(database.PRIVATE_FOLDER if path.is_dir() else database.PRIVATE_FILE)
    except OSError as error:
        advice = "Name a folder of your own with --state"
        raise CommandError(f"{found}, and it cannot be changed ({error.strerror}). {advice}.") from error
    if state.stat().st_mode & database.OTHERS:
        advice = "Name a folder on another file system with --state"
        raise CommandError(f"{found}, and this file system does not keep modes. {advice}.")


def require_room(state: Path, command: str) -> None:
    """Raises CommandError if the folder's disk has no room for the files that a start creates."""
    free = shutil.disk_usage(state).free
    if free < LEAST_FREE_BYTES:
        rule = f"its disk must have {LEAST_FREE_BYTES // MIB} MiB free; got {free / MIB:.1f} MiB"
        raise CommandError(f"{state}: {rule}. Free some space. {other_folder(command)}.")


@contextmanager
def locked(state: Path, command: str = "make dev") -> Iterator[None]:
    """Hold the folder's lock; the system releases it when the process ends.

    Raises CommandError, also if the folder's disk becomes full while the lock is held.
    """
    try:
        make_private(state)
        file = (state / FILE_NAME).open("a+")
    except OSError as error:
        found = f"{error.strerror}: {error.filename}"
        raise CommandError(
            f"{state}: must be a folder that you can write to; got {found!r}. {other_folder(command)}."
        ) from error
    with file:
        require_room(state, command)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            advice = f"Stop that one, or use another folder: HOOKCHAIN_STATE=FOLDER {command}"
            user = "`hookchain serve`" if is_production(state) else "another `make dev`"
            raise CommandError(f"{state}: is in use by {user} (process {owner}). {advice}") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                require_room(state, command)  # raises, unless another disk is full
            raise


def require_development(state: Path) -> None:
    """Raises CommandError for the state of `hookchain serve`."""
    if is_production(state):
        rule = "is the state of `hookchain serve`, whose mails `hookchain dev` would keep to itself"
        raise CommandError(f"{state}: {rule}. {other_folder('make dev')}.")


def claim_for_production(state: Path, options: Production) -> None:
    """Mark the state folder as one of `hookchain serve`.

    Raises CommandError for a folder with state of `hookchain dev`, unless the operator confirmed that it is taken over.
    """
    if is_production(state):
        return
    has_state = any((state / name).exists() for name in OURS if name != FILE_NAME)
    if has_state and not options.is_confirmed:
        found = f"{state}: was made by `hookchain dev`"
        if not options.is_adopted:
            raise CommandError(f"{found}. To list what would be sent for real: hookchain serve --adopt.")
        would = "\n".join(f"  {line}" for line in waiting_lines(state))
        advice = "To take it over: hookchain serve --adopt --yes"
        raise CommandError(f"{found}. This would be sent for real:\n{would}\n{advice}")
    (state / PRODUCTION_FILE).touch(mode=database.PRIVATE_FILE)


def waiting_lines(state: Path) -> list[str]:
    """Return a line for each destination with unfinished deliveries, and for what waits on the bus."""
    lines = []
    if (state / "ledger.db").is_file():
        with closing(sqlite3.connect(state / "ledger.db")) as ledger, suppress(sqlite3.DatabaseError):
            counts = ledger.execute(_UNFINISHED).fetchall()
            lines += [f"{count_of(count, 'delivery', 'deliveries')} to {name}" for name, count in counts]
    for each in read_waiting(state, time.time()):
        if count := each.due + each.delayed:
            lines.append(f"{count_of(count, 'message')} on the bus for {each.subscription}")
    return lines or ["nothing"]
