"""The rows of caught sheets, on SQLite: the emulated Google Sheets writes them, the inspector reads them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from deploy.dev.delivery_index import DeliveryIndex
from shared.cloud.local.database import BUSY_SECONDS, open_database, transaction
from shared.jsontext import Json, to_json

FILE_NAME: Final = "sheets.db"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sheet_row (
    id INTEGER PRIMARY KEY AUTOINCREMENT, spreadsheet TEXT NOT NULL, sheet TEXT NOT NULL, is_header INTEGER NOT NULL,
    written_at REAL NOT NULL, cells TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS row_of_sheet ON sheet_row (spreadsheet, sheet, id);
"""
_OF_SHEET: Final = "FROM sheet_row WHERE spreadsheet = ? AND sheet = ?"


class Sheet(NamedTuple):
    """A sheet of a spreadsheet, whose id is `spreadsheet`."""

    spreadsheet: str
    title: str


class SheetStore:
    """One connection to the file, for one thread at a time. Rows are numbered from 1. Methods raise sqlite3.Error."""

    def __init__(self, state_folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self._db = open_database(state_folder / FILE_NAME, _SCHEMA, busy_seconds)
        self._deliveries = DeliveryIndex(self._db, "SELECT id, cells FROM sheet_row WHERE id > ? ORDER BY id")

    def close(self) -> None:
        self._db.close()

    def sheets(self) -> list[Sheet]:
        """Return the sheets that have rows."""
        found = self._db.execute("SELECT DISTINCT spreadsheet, sheet FROM sheet_row ORDER BY spreadsheet, sheet")
        return [Sheet(*row) for row in found]

    def count(self) -> int:
        """Return the number of rows of all sheets, without their headers."""
        return self._number("SELECT count(*) FROM sheet_row WHERE NOT is_header")

    def row_count(self, sheet: Sheet) -> int:
        return self._number(f"SELECT count(*) {_OF_SHEET}", *sheet)

    def rows(self, sheet: Sheet, first: int, last: int) -> list[list[Json]]:
        """Return the cells of the rows from `first` to `last`, as far as there are any."""
        bounds = (max(0, last - first + 1), first - 1)
        found = self._db.execute(f"SELECT cells {_OF_SHEET} ORDER BY id LIMIT ? OFFSET ?", (*sheet, *bounds))
        return [json.loads(cells) for (cells,) in found]

    def append(self, sheet: Sheet, rows: Sequence[Json], now: float) -> int:
        """Add rows below the last one, all of them or none. Return the number of the first. `now` is Unix seconds."""
        with transaction(self._db):
            first = self.row_count(sheet) + 1
            for cells in rows:
                self._insert(sheet, cells, now, is_header=False)
        return first

    def write_first(self, sheet: Sheet, cells: Json, now: float) -> None:
        """Replace the first row, or add it."""
        with transaction(self._db):
            first = self._db.execute(f"SELECT min(id) {_OF_SHEET}", sheet).fetchone()[0]
            if first is None:
                self._insert(sheet, cells, now, is_header=True)
            else:
                self._db.execute("UPDATE sheet_row SET cells = ? WHERE id = ?", (to_json(cells), first))

    def empty(self, sheet: Sheet) -> None:
        """Delete all rows of the sheet, its header too."""
        self._db.execute(f"DELETE {_OF_SHEET}", sheet)

    def purge(self, written_before: float) -> None:
        """Delete older rows. `written_before` is Unix seconds."""
        self._db.execute("DELETE FROM sheet_row WHERE NOT is_header AND written_at < ?", (written_before,))

    def count_of_delivery(self, delivery_id: str) -> int:
        ids = self._deliveries.row_ids(delivery_id)
        return sum(self._number("SELECT count(*) FROM sheet_row WHERE id = ?", id) for id in ids)

    def erase_delivery(self, delivery_id: str) -> None:
        """Delete the delivery's row."""
        ids = [(id,) for id in self._deliveries.row_ids(delivery_id)]
        self._db.executemany("DELETE FROM sheet_row WHERE id = ?", ids)

    def _insert(self, sheet: Sheet, cells: Json, now: float, *, is_header: bool) -> None:
        self._db.execute(
            "INSERT INTO sheet_row (spreadsheet, sheet, is_header, written_at, cells) VALUES (?, ?, ?, ?, ?)",
            (*sheet, is_header, now, to_json(cells)),
        )

    def _number(self, statement: str, *values: str | int) -> int:
        number: int = self._db.execute(statement, values).fetchone()[0]
        return number
