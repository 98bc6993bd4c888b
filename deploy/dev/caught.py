"""The mails and the rows of Google Sheets that `hookchain dev` caught, on SQLite.

The emulated services write them, and the inspector reads them. A mail request is stored once, its attachments beside
it, and parsed into mails when somebody reads it, because much is written and little is read: each personalization is
one mail.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.dev.mail import Mail, MailRequest, mail_of
from shared.cloud.local.database import BUSY_SECONDS, open_database, transaction
from shared.jsontext import Json, to_json

_ID: Final = re.compile(r"(?=([0-9a-f]{64}|ep_[0-9a-z]{20}))")
"""An id of a delivery or of an endpoint. Matches may overlap, because the `b` of JSON's escape `\\b` before an id would
otherwise count as its first digit."""
MAIL_FILE: Final = "mail.db"
_MAIL_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS request (
    id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, received_at REAL NOT NULL, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT, request INTEGER NOT NULL, personalization INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS attachment (
    request INTEGER NOT NULL, position INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (request, position));
"""
_SELECT: Final = (
    "SELECT mail.id, message_id, received_at, text, personalization FROM mail JOIN request ON request.id = request "
)
SHEETS_FILE: Final = "sheets.db"
_SHEETS_SCHEMA: Final = """
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


class CaughtFile:
    """One connection to a file of what was caught, for one thread at a time. Several processes may have the file open.

    The text of each row of `table` is read once for the ids of deliveries and endpoints in it, so that to look for many
    ids takes no longer than to look for one. The ids of rows are never used again.
    """

    def __init__(self, path: Path, schema: str, busy_seconds: float, *, table: str, text_column: str) -> None:
        self._db = open_database(path, schema, busy_seconds)
        self._new_rows = f"SELECT id, {text_column} FROM {table} WHERE id > ? ORDER BY id"  # noqa: S608 our own names
        self._row_exists = f"SELECT 1 FROM {table} WHERE id = ?"  # noqa: S608 our own name
        self._last_id = 0
        self._rows_by_id: defaultdict[str, dict[int, None]] = defaultdict(dict)

    def close(self) -> None:
        self._db.close()

    def count_of_delivery(self, delivery_id: str) -> int:
        """Return the number of rows that have the delivery's id in their text: of requests for mails, or of sheets."""
        ids = self._row_ids(delivery_id)
        return sum(self._db.execute(self._row_exists, (id,)).fetchone() is not None for id in ids)

    def _number(self, statement: str, *values: str | int) -> int:
        number: int = self._db.execute(statement, values).fetchone()[0]
        return number

    def _row_ids(self, id: str) -> list[int]:
        """Return the ids of the rows that have this id, some of which may have been deleted since."""
        for row_id, text in self._db.execute(self._new_rows, (self._last_id,)):
            self._last_id = row_id
            for found in _ID.findall(text):
                self._rows_by_id[found][row_id] = None
        return list(self._rows_by_id.get(id, ()))


class Mailbox(CaughtFile):
    """The requests for mails, each a row."""

    def __init__(self, state_folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        super().__init__(state_folder / MAIL_FILE, _MAIL_SCHEMA, busy_seconds, table="request", text_column="text")

    def keep(self, requests: Sequence[MailRequest]) -> None:
        """Store all of them or none."""
        with transaction(self._db):
            for request in requests:
                self._insert(request)

    def purge(self, received_before: float) -> None:
        """Delete older mails. `received_before` is Unix seconds."""
        found = self._db.execute("SELECT id FROM request WHERE received_at < ?", (received_before,)).fetchall()
        self._delete([request for (request,) in found])

    def erase_delivery(self, delivery_id: str) -> None:
        """Delete the requests that have the delivery's id in their text, and their mails."""
        self._delete(self._row_ids(delivery_id))

    def _delete(self, requests: Sequence[int]) -> None:
        ids = [(request,) for request in requests]
        with transaction(self._db):
            self._db.executemany("DELETE FROM attachment WHERE request = ?", ids)
            self._db.executemany("DELETE FROM mail WHERE request = ?", ids)
            self._db.executemany("DELETE FROM request WHERE id = ?", ids)

    def list_mail(self, limit: int, before_id: int | None = None) -> list[Mail]:
        """Return mails, newest first; with `before_id`, those older than that mail."""
        bound = 2**62 if before_id is None else before_id
        rows = self._db.execute(_SELECT + "WHERE mail.id < ? ORDER BY mail.id DESC LIMIT ?", (bound, limit))
        return [mail_of(*row) for row in rows]

    def get_mail(self, mail_id: int) -> Mail | None:
        row = self._db.execute(_SELECT + "WHERE mail.id = ?", (mail_id,)).fetchone()
        return mail_of(*row) if row else None

    def get_request(self, mail_id: int) -> str | None:
        """Return the JSON text that was posted, with attachments' sizes instead of their contents."""
        select = "SELECT text FROM mail JOIN request ON request.id = request WHERE mail.id = ?"
        row: tuple[str] | None = self._db.execute(select, (mail_id,)).fetchone()
        return row[0] if row else None

    def attachment_content(self, mail_id: int, index: int) -> bytes | None:
        """Return the bytes of `attachments[index]` of that mail."""
        row: tuple[bytes] | None = self._db.execute(
            "SELECT content FROM mail JOIN attachment USING (request) WHERE mail.id = ? AND position = ?",
            (mail_id, index),
        ).fetchone()
        return row[0] if row else None

    def count(self) -> int:
        return self._number("SELECT count(*) FROM mail")

    def _insert(self, request: MailRequest) -> None:
        cursor = self._db.execute(
            "INSERT INTO request (message_id, received_at, text) VALUES (?, ?, ?)",
            (request.message_id, request.received_at, request.text),
        )
        for number in range(request.mail_count):
            self._db.execute("INSERT INTO mail (request, personalization) VALUES (?, ?)", (cursor.lastrowid, number))
        for position, content in enumerate(request.attachments):
            self._db.execute("INSERT INTO attachment VALUES (?, ?, ?)", (cursor.lastrowid, position, content))


class SheetStore(CaughtFile):
    """The rows of sheets, which are numbered from 1 in their sheet. Methods raise sqlite3.Error.

    A sheet has a header if its first row was written by `write_first`. `count` and `purge` leave headers out.
    """

    def __init__(self, state_folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        super().__init__(
            state_folder / SHEETS_FILE, _SHEETS_SCHEMA, busy_seconds, table="sheet_row", text_column="cells"
        )

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

    def erase_delivery(self, delivery_id: str) -> None:
        """Delete the rows that have the delivery's id in their cells."""
        ids = [(id,) for id in self._row_ids(delivery_id)]
        self._db.executemany("DELETE FROM sheet_row WHERE id = ?", ids)

    def _insert(self, sheet: Sheet, cells: Json, now: float, *, is_header: bool) -> None:
        self._db.execute(
            "INSERT INTO sheet_row (spreadsheet, sheet, is_header, written_at, cells) VALUES (?, ?, ?, ?, ?)",
            (*sheet, is_header, now, to_json(cells)),
        )


@dataclass(frozen=True, slots=True)
class Caught:
    """All that was caught."""

    mailbox: Mailbox
    sheets: SheetStore

    def purge(self, caught_before: float) -> None:
        """Delete what is older. `caught_before` is Unix seconds. Raises sqlite3.Error."""
        self.mailbox.purge(caught_before)
        self.sheets.purge(caught_before)

    def count_of_delivery(self, delivery_id: str) -> int:
        return self.mailbox.count_of_delivery(delivery_id) + self.sheets.count_of_delivery(delivery_id)

    def erase_delivery(self, delivery_id: str) -> None:
        self.mailbox.erase_delivery(delivery_id)
        self.sheets.erase_delivery(delivery_id)


@contextmanager
def open_caught(state: Path) -> Iterator[Caught]:
    """Open what was caught. Raises sqlite3.Error and OSError."""
    with ExitStack() as stack:
        mailbox = stack.enter_context(closing(Mailbox(state)))
        yield Caught(mailbox, stack.enter_context(closing(SheetStore(state))))
