"""Damaged files of the state folder: found before anything starts, set aside or named.

A disk that was full, a power cut or a copy made while it ran can leave a SQLite file that cannot be read.
"""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from deploy.history.local_search import FILE_NAME as SEARCH
from shared.cloud.local.database import is_damage
from shared.cloud.local.journal import FILE_NAME as JOURNAL
from shared.cloud.local.journal import open_journal

MOST_BYTES_READ: Final = 250_000_000
"""A larger file is only opened: reading it whole would hold up the start for more than half a second."""

REBUILT: Final[Mapping[str, str]] = {
    SEARCH: "The search index is built again from the journal",
    JOURNAL: "The page and the commands show what could be recovered; no delivery is affected",
    "mail.db": "The page shows no mails that were caught before; no delivery is affected",
}
"""What follows where the file is set aside: no delivery depends on it."""
NEEDED: Final[Mapping[str, str]] = {
    "bus.db": "events and deliveries that are on their way are lost",
    "ledger.db": "retries are lost, and what was delivered can be delivered again",
    "owners.db": "the step `deduplicate` lets through what it has seen before",
}
"""What is lost with the file: a person decides."""
DAMAGED_MARK: Final = ".damaged-"
_BESIDE: Final = ("", "-wal", "-shm")
_TABLES: Final = ("events", "bodies", "attempts", "dead_letters", "requests")


class StateDamaged(Exception):
    """Its text says which file, what is lost with it, and what to do."""


def set_aside_damaged(state: Path, now: float) -> list[str]:
    """Return what to tell, a line for each file that was set aside. Raises StateDamaged, sqlite3.Error and OSError."""
    for name, loss in NEEDED.items():
        if damage := damage_of(state / name):
            advice = f"Restore it from a copy, or move it away; then {loss}"
            raise StateDamaged(f"{state / name}: must be a readable SQLite file; got: {damage}. {advice}.")
    return [
        _set_aside(state / name, damage, effect, now)
        for name, effect in REBUILT.items()
        if (damage := damage_of(state / name))
    ]


def damage_of(path: Path) -> str:
    """Return SQLite's words for what is wrong with the file, or an empty text. Raises sqlite3.Error."""
    if not path.is_file():
        return ""
    check = "quick_check(1)" if path.stat().st_size <= MOST_BYTES_READ else "schema_version"
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            said = str(database.execute(f"PRAGMA {check}").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error)
    return "" if check == "schema_version" or said == "ok" else " ".join(said.split())


def _set_aside(path: Path, damage: str, effect: str, now: float) -> str:
    aside = path.with_name(f"{path.name}{DAMAGED_MARK}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    if path.name == JOURNAL:
        effect += f" ({_recover(aside, path)} rows)"
        for suffix in _BESIDE:  # the index names events by their rows in the old file
            path.with_name(f"{SEARCH}{suffix}").unlink(missing_ok=True)
    return f"{path.name} is damaged ({damage}) and was set aside as {aside.name}. {effect}."


def _recover(damaged: Path, journal: Path) -> int:
    """Copy each table into a new journal, as far as it can be read; return how many rows that were."""
    count = 0
    with closing(sqlite3.connect(damaged)) as old, closing(open_journal(journal)) as new:
        for table in _TABLES:
            new.execute("BEGIN")
            with suppress(sqlite3.DatabaseError):  # the rest of this table cannot be read
                for row in old.execute(f"SELECT * FROM {table}"):  # noqa: S608 our own names
                    values = ",".join("?" * len(row))
                    count += new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({values})", row).rowcount  # noqa: S608
            new.execute("COMMIT")
    return count
