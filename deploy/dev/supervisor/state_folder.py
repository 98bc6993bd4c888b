"""The state folder before anything starts: one `hookchain dev` or `serve` and one user to a folder, no damaged files,
and no state of the one that the other takes over unasked.

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

from deploy.config.running_dev import PRODUCTION_FILE, is_production
from deploy.dev.pubsub.store import read_waiting
from deploy.dev.supervisor.processes import Production
from deploy.history.local_search import FILE_NAME as SEARCH
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import count_of
from shared.cloud.local import database
from shared.cloud.local.journal import FILE_NAME as JOURNAL
from shared.limits import MIB

FILE_NAME: Final = "dev.lock"
OURS: Final = (FILE_NAME, "bus.db", "journal.db", "ledger.db", "mail.db")
"""Every folder that has been a state folder has one of them."""
LEAST_FREE_BYTES: Final = 4 * MIB
"""A start writes less than one MiB, and a running pipe answers 503 while its disk is full."""


def _another(command: str) -> str:
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
    if mode & stat.S_ISVTX or not (is_used or next(state.iterdir(), None) is None):
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


def _require_room(state: Path, command: str) -> None:
    """Raises CommandError if the disk has no room for the files that a start creates."""
    free = shutil.disk_usage(state).free
    if free < LEAST_FREE_BYTES:
        rule = f"its disk must have {LEAST_FREE_BYTES // MIB} MiB free; got {free / MIB:.1f} MiB"
        raise CommandError(f"{state}: {rule}. Free some space. {_another(command)}.")


@contextmanager
def locked(state: Path, command: str = "make dev") -> Iterator[None]:
    """Hold the folder's lock; the system releases it when the process ends.

    Raises CommandError.
    """
    try:
        make_private(state)
        file = (state / FILE_NAME).open("a+")
    except OSError as error:
        found = f"{error.strerror}: {error.filename}"
        raise CommandError(
            f"{state}: must be a folder that you can write to; got {found!r}. {_another(command)}."
        ) from error
    with file:
        _require_room(state, command)
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


def require_known_files(state: Path, command: str = "make dev") -> None:
    """Raises CommandError, and sqlite3.Error."""
    for path in (state / name for name in database.VERSIONS):
        if path.is_file():
            with closing(sqlite3.connect(path)) as connection:
                try:
                    database.require_known_version(connection, path.name)
                except database.NewerFile as error:
                    advice = "Start that version again"
                    raise CommandError(f"{path}: {error}. {advice}. {_another(command)}.") from error


def set_aside_damaged(state: Path, now: float) -> list[str]:
    """Set damaged files aside; return a warning for each. Raises CommandError, sqlite3.Error and OSError."""
    for name, loss in NEEDED.items():
        if damage := damage_of(state / name) or _emptied(state, name):
            advice = f"Restore it from a copy, or move it away; then {loss}"
            raise CommandError(f"{state / name}: must be a readable SQLite file; got: {damage}. {advice}.")
    return [
        _set_aside(state / name, damage, effect, now)
        for name, effect in REBUILT.items()
        if (damage := damage_of(state / name))
    ]


def require_undamaged(state: Path) -> None:
    """Raises CommandError for a damaged file, sqlite3.Error and OSError. Nothing is set aside."""
    for name, loss in {**NEEDED, **REBUILT}.items():
        if damage := damage_of(state / name) or _emptied(state, name):
            effect = loss[0].lower() + loss[1:]
            advice = f"Restore a backup: hookchain restore FILE --state {state}. Or move the file away; then {effect}"
            raise CommandError(f"{state / name}: must be a readable SQLite file; got: {damage}. {advice}.")


def require_development(state: Path) -> None:
    """Raises CommandError for the state of `hookchain serve`."""
    if is_production(state):
        rule = "is the state of `hookchain serve`, whose mails `hookchain dev` would keep to itself"
        raise CommandError(f"{state}: {rule}. {_another('make dev')}.")


def require_production(state: Path, options: Production) -> None:
    """Mark a new state folder as one of `hookchain serve`, or one that it may take over. Raises CommandError."""
    if not is_production(state):
        if any((state / name).exists() for name in OURS if name != FILE_NAME) and not options.is_confirmed:
            found = f"{state}: was made by `hookchain dev`"
            if not options.is_adopted:
                raise CommandError(f"{found}. To list what would be sent for real: hookchain serve --adopt.")
            would = "\n".join(f"  {line}" for line in waiting_lines(state))
            advice = "To take it over: hookchain serve --adopt --yes"
            raise CommandError(f"{found}. This would be sent for real:\n{would}\n{advice}")
        (state / PRODUCTION_FILE).touch(mode=database.PRIVATE_FILE)


_UNFINISHED: Final = """
SELECT destination, count(*) FROM deliveries WHERE state NOT IN ('delivered', 'dead_lettered', 'merged')
GROUP BY destination ORDER BY destination"""


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


def damage_of(path: Path) -> str:
    """Return SQLite's description of the damage, or an empty text. Raises sqlite3.Error."""
    if not path.is_file():
        return ""
    check = "quick_check(1)" if path.stat().st_size <= MOST_BYTES_READ else "schema_version"
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            result = str(connection.execute(f"PRAGMA {check}").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if not database.is_damage(error):
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
    with closing(sqlite3.connect(journal)) as connection, suppress(sqlite3.DatabaseError):
        if connection.execute(_USED[name]).fetchone():
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
