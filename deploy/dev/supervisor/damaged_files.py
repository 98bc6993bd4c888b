"""The SQLite files of the state folder before a start: which of them are damaged, or of a newer version.

A disk that was full, a power cut or a copy made while it ran can leave a SQLite file that cannot be read. `hookchain
dev` sets such a file aside if no delivery depends on it. Any other file is for a person to decide about.
"""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from deploy.dev.supervisor.state_folder import other_folder
from deploy.history.text_index import FILE_NAME as SEARCH
from deploy.terminal.command_line import CommandError
from shared.cloud.local import database
from shared.cloud.local.journal import FILE_NAME as JOURNAL

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
    """Raise CommandError if a newer Hookchain wrote one of the files. Raises sqlite3.Error."""
    for path in (state / name for name in database.VERSIONS):
        if path.is_file():
            with closing(sqlite3.connect(path)) as connection:
                try:
                    database.require_known_version(connection, path.name)
                except database.NewerFile as error:
                    advice = "Start that version again"
                    raise CommandError(f"{path}: {error}. {advice}. {other_folder(command)}.") from error


def set_aside_damaged(state: Path, now: float) -> list[str]:
    """Set aside the damaged files that no delivery depends on, and return a warning for each.

    Raises CommandError for a damaged file of the others, before anything is set aside; sqlite3.Error and OSError.
    """
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
