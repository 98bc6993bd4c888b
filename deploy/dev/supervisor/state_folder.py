"""The state folder before anything starts: one `hookchain dev` and one user to a folder, and no damaged files.

Two supervisors of one folder would each push messages that the other has taken. A disk that was full, a power cut or a
copy made while it ran can leave a SQLite file that cannot be read.
"""

import fcntl
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from deploy.history.local_journal import FILE_NAME as SEARCH
from shared.cloud.local.database import (
    OTHERS,
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    VERSIONS,
    NewerFile,
    is_damage,
    require_known_version,
)
from shared.cloud.local.journal import FILE_NAME as JOURNAL
from shared.limits import MIB

FILE_NAME: Final = "dev.lock"
OURS: Final = (FILE_NAME, "bus.db", "journal.db", "ledger.db", "mail.db")
"""Every folder that has been a state folder has one of them."""
LEAST_FREE_BYTES: Final = 4 * MIB
"""A start writes less than one MiB, and a running pipe answers 503 while its disk is full."""
ANOTHER: Final = "To use another folder: HOOKCHAIN_STATE=FOLDER make dev"


class StateFault(Exception):
    """The folder or a file in it cannot be used; the text says which, why, and what to do."""


def require_state_folder(state: Path) -> None:
    """Raises StateFault if the folder was removed: processes keep their open files, and all they write is lost."""
    if not (state / FILE_NAME).exists():
        advice = "Start it again, and stop it before you remove the folder"
        raise StateFault(f"{state}: must exist while hookchain dev runs; it was removed. {advice}.")


def make_private(state: Path) -> None:
    """Create the folder if it is missing, and make it and all that it holds private. Raises StateFault.

    A folder that is not Hookchain's own, such as /tmp or a home folder, stays as it is.
    """
    state.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    mode = stat.S_IMODE(state.stat().st_mode)
    if not mode & OTHERS:
        return
    found = f"{state}: other users must not be able to read the state folder; got mode {mode:o}"
    is_used = any((state / name).exists() for name in OURS)
    if mode & stat.S_ISVTX or not (is_used or next(state.iterdir(), None) is None):
        advice = "Name another folder with --state, or set its mode to 700"
        raise StateFault(f"{found}, and files that are not Hookchain's. {advice}.")
    try:
        state.chmod(PRIVATE_FOLDER)
        for path in state.rglob("*"):
            if not path.is_symlink():
                path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)
    except OSError as error:
        advice = "Name a folder of your own with --state"
        raise StateFault(f"{found}, and it cannot be changed ({error.strerror}). {advice}.") from error
    if state.stat().st_mode & OTHERS:
        advice = "Name a folder on another file system with --state"
        raise StateFault(f"{found}, and this file system does not keep modes. {advice}.")


def _require_room(state: Path) -> None:
    """Raises StateFault if the disk has no room for the files that a start creates."""
    free = shutil.disk_usage(state).free
    if free < LEAST_FREE_BYTES:
        rule = f"its disk must have {LEAST_FREE_BYTES // MIB} MiB free; got {free / MIB:.1f} MiB"
        raise StateFault(f"{state}: {rule}. Free some space. {ANOTHER}.")


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the folder's lock; the system releases it when the process ends.

    Raises StateFault.
    """
    try:
        make_private(state)
        file = (state / FILE_NAME).open("a+")
    except OSError as error:
        found = f"{error.strerror}: {error.filename}"
        raise StateFault(f"{state}: must be a folder that you can write to; got {found!r}. {ANOTHER}.") from error
    with file:
        _require_room(state)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            advice = "Stop that one, or use another folder: HOOKCHAIN_STATE=FOLDER make dev"
            raise StateFault(f"{state}: is in use by another `make dev` (process {owner}). {advice}") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


MOST_BYTES_READ: Final = 250_000_000
"""A larger file is only opened: reading it whole would hold up the start for more than half a second."""

REBUILT: Final[Mapping[str, str]] = {
    SEARCH: "The search index is built again from the journal",
    JOURNAL: "The page and the commands show no earlier events; no delivery is affected",
    "grants.db": "Caps on rates and attempts in flight begin again; no delivery is affected",
    "mail.db": "The page shows no mails that were caught before; no delivery is affected",
    "sheets.db": "The page shows no rows that were caught before; no delivery is affected",
}
"""Files that no delivery depends on, and the effect of setting one aside."""
NEEDED: Final[Mapping[str, str]] = {
    "bus.db": "events and deliveries that are on their way are lost",
    "ledger.db": "retries are lost, and what was delivered can be delivered again",
    "owners.db": "the step `deduplicate` lets through what it has seen before",
    "documents.db": "all subscribers are lost: tenants, endpoints with their secrets, and API keys",
    "records.db": "a digest that is on its way can be sent twice, with other contents",
}
"""Files that a person must decide about, and what is lost with each."""
_USED: Final[Mapping[str, str]] = {
    "bus.db": "SELECT 1 FROM events WHERE routed_at IS NOT NULL LIMIT 1",
    "ledger.db": "SELECT 1 FROM attempts LIMIT 1",
}
"""Queries of the journal that return a row once the file has been in use."""
DAMAGED_MARK: Final = ".damaged-"
_BESIDE: Final = ("", "-wal", "-shm")


def require_known_files(state: Path) -> None:
    """Raises StateFault, and sqlite3.Error."""
    for path in (state / name for name in VERSIONS):
        if path.is_file():
            with closing(sqlite3.connect(path)) as database:
                try:
                    require_known_version(database, path.name)
                except NewerFile as error:
                    advice = "Start that version again"
                    raise StateFault(f"{path}: {error}. {advice}. {ANOTHER}.") from error


def set_aside_damaged(state: Path, now: float) -> list[str]:
    """Set damaged files aside; return a warning for each. Raises StateFault, sqlite3.Error and OSError."""
    for name, loss in NEEDED.items():
        if damage := damage_of(state / name) or _emptied(state, name):
            advice = f"Restore it from a copy, or move it away; then {loss}"
            raise StateFault(f"{state / name}: must be a readable SQLite file; got: {damage}. {advice}.")
    return [
        _set_aside(state / name, damage, effect, now)
        for name, effect in REBUILT.items()
        if (damage := damage_of(state / name))
    ]


def damage_of(path: Path) -> str:
    """Return SQLite's description of the damage, or an empty text. Raises sqlite3.Error."""
    if not path.is_file():
        return ""
    check = "quick_check(1)" if path.stat().st_size <= MOST_BYTES_READ else "schema_version"
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            result = str(database.execute(f"PRAGMA {check}").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error)
    return "" if check == "schema_version" or result == "ok" else " ".join(result.split())


def _emptied(state: Path, name: str) -> str:
    """Return a description if the file is empty although the journal shows that it was in use.

    An empty file is otherwise the beginning of a new one: SQLite creates it before it writes anything.
    """
    path, journal = state / name, state / JOURNAL
    if name not in _USED or not path.is_file() or path.stat().st_size or not journal.is_file():
        return ""
    with closing(sqlite3.connect(journal)) as database, suppress(sqlite3.DatabaseError):
        if database.execute(_USED[name]).fetchone():
            return "an empty file, and the journal shows that it was in use"
    return ""


def _set_aside(path: Path, damage: str, effect: str, now: float) -> str:
    aside = path.with_name(f"{path.name}{DAMAGED_MARK}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    if path.name == JOURNAL:
        for suffix in _BESIDE:  # the index names events by their rows in the old file
            path.with_name(f"{SEARCH}{suffix}").unlink(missing_ok=True)
    return f"{path.name} is damaged ({damage}) and was set aside as {aside.name}. {effect}."
