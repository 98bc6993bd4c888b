"""The tables of `ledger.db`, and the statements that read and write their rows in a transaction of the caller."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeAlias

from shared import jsontext, ledger_rules as rules
from shared.cloud.earlier_words import current_reason
from shared.cloud.local.database import open_database, read_statements, sync_commits
from shared.ledger import LedgerRow, Place
from shared.ledger_writes import attempts_text, with_attempts

_SCHEMA: Final = Path(__file__).with_name("ledger.sql")
_UPGRADES: Final = Path(__file__).with_name("ledger_upgrades")
"""A file for each version of the tables, with what changes the version before to it."""
_INDEXED_STATES: Final = ("held", "dead_lettered", "retry_scheduled")
"""The states that have partial indexes, which hold only the rows in that state, and cost the others nothing."""
MAX_ID: Final = 2**63 - 1
"""The greatest id that SQLite gives a row."""
Value: TypeAlias = str | float | bytes | None
"""A value of a statement."""

# Each list of fields gives a statement its columns, and the values in the same order.

_COLUMN_NAMES: Final = {"group": "group_id"}
"""The columns that are not named as their fields in LedgerRow: `group` is a reserved word in SQL."""
_EMPTY_LIST: Final = "[]"
"""The JSON text in the columns `replays` and `attempts` of most rows. It is not parsed."""

_DEFAULTED_FIELDS: Final = frozenset(
    {"unknown_count", "replays", "slot_at", "undelivered_since", "needs_release", "attempts"}
)
_NEW_FIELDS: Final = tuple(name for name in LedgerRow._fields if name not in _DEFAULTED_FIELDS)
"""The fields that a new row is written with, and an empty `replays`. The others have the defaults of their columns."""
_SETTLED_FIELDS: Final = (
    "state",
    "attempt_number",
    "retry_at",
    "reason",
    "answer",
    "updated_at",
    "message",
    "crashes",
    "unknown_count",
    "group",
    "slot_at",
    "needs_release",
)
"""The fields that settling a claim changes, besides `attempts`."""
_CHANGEABLE_FIELDS: Final = (*_SETTLED_FIELDS, "fence", "generation", "lease_until", "undelivered_since")
"""The fields that all other writes change, besides `attempts` and `replays`."""


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


def _columns(fields: Sequence[str]) -> str:
    return ", ".join(_COLUMN_NAMES.get(field, field) for field in fields)


def _assignments(fields: Sequence[str]) -> str:
    return ", ".join(f"{_COLUMN_NAMES.get(field, field)} = ?" for field in fields)


# Each getter returns the values of its fields in a row as a tuple. A dictionary of the values by column would be
# plainer, but was measured to take 1 µs more for each claim and each settlement.
_new_values = attrgetter(*_NEW_FIELDS)
_settled_values = attrgetter(*_SETTLED_FIELDS)
_changeable_values = attrgetter(*_CHANGEABLE_FIELDS)

_INSERT: Final = (
    f"INSERT INTO deliveries ({_columns(_NEW_FIELDS)}, replays)"  # noqa: S608 our own columns
    f" VALUES ({', '.join('?' for _ in _NEW_FIELDS)}, '{_EMPTY_LIST}')"
    " ON CONFLICT (event_id, key) DO NOTHING"
)
_SETTLE: Final = (
    f"UPDATE deliveries SET {_assignments(_SETTLED_FIELDS)}, attempts = ?"  # noqa: S608 our own columns
    " WHERE id = ? AND fence = ? AND state = ?"
)
_UPDATE: Final = (
    f"UPDATE deliveries SET {_assignments(_CHANGEABLE_FIELDS)}, attempts = ?, replays = ?"  # noqa: S608 our own columns
    " WHERE id = ? AND fence = ? AND state = ?"
)
_SELECT: Final = f"SELECT id, {_columns(LedgerRow._fields)} FROM deliveries"  # noqa: S608 our own columns
# The positions of the fields that are stored as JSON.
_REPLAYS: Final = LedgerRow._fields.index("replays")
_ATTEMPTS: Final = LedgerRow._fields.index("attempts")


def find_delivery(connection: sqlite3.Connection, event_id: str, key: str) -> tuple[int, LedgerRow] | None:
    """Return the row's id and the row; None if the event has no such delivery."""
    found = connection.execute(f"{_SELECT} WHERE event_id = ? AND key = ?", (event_id, key)).fetchone()
    if found is None:
        return None
    row_id, *fields = found
    return row_id, _row(fields)


def find_row(connection: sqlite3.Connection, row_id: int) -> LedgerRow | None:
    """Return the row with its message and attempts; None if it was deleted."""
    found = connection.execute(f"{_SELECT} WHERE id = ?", (row_id,)).fetchone()
    if found is None:
        return None
    _, *fields = found
    return _row(fields)


def find_id(connection: sqlite3.Connection, key: str, expected: int | None = None) -> int | None:
    """Return the id of the delivery's row. Unless it is the expected one, all rows are read: no index begins with keys.

    SQLite gives the id of a deleted row to another delivery.
    """
    select = "SELECT id FROM deliveries WHERE key = ?"
    found = None
    if expected is not None:
        found = connection.execute(f"{select} AND id = ?", (key, expected)).fetchone()
    if found is None:
        found = connection.execute(select, (key,)).fetchone()
    return None if found is None else int(found[0])


def read_rows_by_id(connection: sqlite3.Connection, rest: str, values: Sequence[Value]) -> dict[int, LedgerRow]:
    """Return the rows by their ids, in the order of the selection.

    `rest` is the end of the SELECT. No caller may put a sender's text into it.
    """
    return {row_id: _row(fields) for row_id, *fields in connection.execute(f"{_SELECT} {rest}", values)}


def _row(fields: list[object]) -> LedgerRow:
    """Return the row with these fields, in the order of LedgerRow. Replaces the JSON texts in the list."""
    replays, attempts = str(fields[_REPLAYS]), str(fields[_ATTEMPTS])
    fields[_REPLAYS] = () if replays == _EMPTY_LIST else tuple(json.loads(replays))
    fields[_ATTEMPTS] = ()
    row = LedgerRow._make(fields)
    return row if attempts == _EMPTY_LIST else with_attempts(row, attempts)


def conditions(filters: Mapping[str, str], before: Place | None = None) -> tuple[str, list[Value]]:
    """Return the end of a SELECT for the wanted rows, newest first, and its values. The caller adds the limit to the
    values.

    The rows of a destination are in the order of their index: by creation time, then by key. Other rows are in the
    order of their ids, which rise with the time too.
    """
    has_partial_index = filters.get("state") in _INDEXED_STATES
    clauses: list[str] = []
    values: list[Value] = []
    for column, value in filters.items():
        if column == "state" and has_partial_index:
            clauses.append(f"state = '{value}'")  # SQLite uses a partial index only for a literal
        else:
            clauses.append(f"{column} = ?")
            values.append(value)
    if before is not None:
        created_at, key = before
        clauses.append("created_at <= ?")
        values.append(created_at)
        clauses.append("(created_at < ? OR key < ?)")
        values.extend([created_at, key])
    # The plus keeps SQLite from reading all rows in the order of their ids to find the few that wait.
    order = "+id DESC" if has_partial_index else "id DESC"
    if "destination" in filters:
        order = "created_at DESC, key DESC"
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"{where} ORDER BY {order} LIMIT ?", values


def insert_row(connection: sqlite3.Connection, row: LedgerRow) -> int | None:
    """Add the row of a new delivery, and return its id. Return None if the delivery has a row."""
    cursor = connection.execute(_INSERT, _new_values(row))
    return cursor.lastrowid if cursor.rowcount == 1 else None


def settle_row(connection: sqlite3.Connection, row_id: int, before: LedgerRow, row: LedgerRow) -> bool:
    """Write what settling changes. Return False if the stored row has another fence or state than `before`."""
    condition = (row_id, before.fence, before.state)
    cursor = connection.execute(_SETTLE, (*_settled_values(row), attempts_text(row), *condition))
    return cursor.rowcount == 1


def update_row(connection: sqlite3.Connection, row_id: int, before: LedgerRow, row: LedgerRow) -> None:
    """Write all that can change, if the stored row still has the fence and the state of `before`."""
    replays = jsontext.to_json(list(row.replays)) if row.replays else _EMPTY_LIST
    condition = (row_id, before.fence, before.state)
    connection.execute(_UPDATE, (*_changeable_values(row), attempts_text(row), replays, *condition))


def change_row(connection: sqlite3.Connection, row_id: int, rule: rules.Rule) -> LedgerRow | None:
    """Write what the rule makes of the row, and return it; None if there is no row or the rule rejects it."""
    row = find_row(connection, row_id)
    if row is None:
        return None
    changed_row = rule(row)
    if changed_row is not None and changed_row is not row:
        update_row(connection, row_id, row, changed_row)
    return changed_row


def first_id_since(connection: sqlite3.Connection, at: float) -> int:
    """Return the id of the first row that was created at that time or later. If there is none, it is greater than every
    id.

    Ids rise with the time at which rows are made. An index of that time would take a page more of each claim.
    """
    found = connection.execute("SELECT id FROM deliveries WHERE created_at >= ? ORDER BY id LIMIT 1", (at,)).fetchone()
    return int(found[0]) if found else MAX_ID


def delete_rows(connection: sqlite3.Connection, below_id: int, before: float, limit: int) -> int:
    """Delete at most `limit` finished rows below that id, last written before that time. Return how many."""
    found = connection.execute(
        "SELECT id FROM deliveries WHERE id < ? AND updated_at < ?"
        " AND state IN ('delivered', 'dead_lettered', 'merged') LIMIT ?",
        (below_id, before, limit),
    ).fetchall()
    connection.executemany("DELETE FROM deliveries WHERE id = ?", found)
    return len(found)
