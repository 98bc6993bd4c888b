"""The tables of `ledger.db`: those of a new file, and the upgrades of a file that an earlier version wrote."""

import sqlite3
from pathlib import Path
from typing import Final

from shared.cloud.earlier_words import current_reason
from shared.cloud.local.database import open_database, read_statements, sync_commits

_SCHEMA: Final = Path(__file__).with_name("ledger.sql")
_UPGRADES: Final = Path(__file__).with_name("ledger_upgrades")
"""A file for each version of the tables, with what changes the version before to it."""
INDEXED_STATES: Final = ("held", "dead_lettered", "retry_scheduled")
"""The states that have partial indexes, which hold only the rows in that state, and cost the others nothing."""


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the ledger, and create its file where it is missing. Raises sqlite3.Error and OSError."""
    connection = open_database(path, upgrade=_upgrade)
    # The bus forgets a message once its outcome is in this file, so a power cut must not lose the outcome.
    sync_commits(connection, True)
    return connection


def _upgrade(connection: sqlite3.Connection, file_version: int) -> None:
    """Bring the tables from `file_version` to today's. Version 0 is a new file, which has no tables."""
    files = [_SCHEMA]
    if file_version:
        files = [file for file in sorted(_UPGRADES.glob("*.sql")) if int(file.stem) > file_version]
    connection.create_function("current_reason", 2, current_reason)
    for file in files:
        for statement in read_statements(file):
            connection.execute(statement)
