"""The mails that the emulated SendGrid took, on SQLite: it writes them, the inspector reads them.

A request is kept once, its attachments beside it, and read into mails when somebody asks: written much, read little.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from deploy.dev.sendgrid.mail import Mail
from deploy.dev.sendgrid.requests import MailRequest, mail_of
from shared.cloud.local.database import BUSY_SECONDS, open_database, transaction

FILE_NAME: Final = "mail.db"
KEEP_SECONDS: Final = 45 * 86_400

_SCHEMA: Final = """
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
_Row: TypeAlias = tuple[int, str, float, str, int]


class Mailbox:
    """One connection, for one thread at a time. Any number of processes may have the file open."""

    def __init__(self, state_folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self._db = open_database(state_folder / FILE_NAME, _SCHEMA, busy_seconds)

    def close(self) -> None:
        self._db.close()

    def keep(self, requests: Sequence[MailRequest]) -> None:
        """All or none of them, kept when this returns."""
        with transaction(self._db):
            for request in requests:
                self._insert(request)

    def forget(self, received_before: float) -> None:
        """`received_before` is Unix seconds."""
        old = "(SELECT id FROM request WHERE received_at < ?)"
        with transaction(self._db):
            self._db.execute(f"DELETE FROM attachment WHERE request IN {old}", (received_before,))  # noqa: S608
            self._db.execute(f"DELETE FROM mail WHERE request IN {old}", (received_before,))  # noqa: S608
            self._db.execute("DELETE FROM request WHERE received_at < ?", (received_before,))

    def list_mail(self, limit: int, before_id: int | None = None) -> list[Mail]:
        """Newest first; with `before_id`, those older than that mail."""
        bound = 2**62 if before_id is None else before_id
        rows = self._db.execute(_SELECT + "WHERE mail.id < ? ORDER BY mail.id DESC LIMIT ?", (bound, limit))
        return [mail_of(*row) for row in rows]

    def get_mail(self, mail_id: int) -> Mail | None:
        row = self._row(mail_id)
        return mail_of(*row) if row else None

    def get_request(self, mail_id: int) -> str | None:
        """The JSON text as it was posted to SendGrid, with attachments' sizes for their contents."""
        row = self._row(mail_id)
        return row[3] if row else None

    def attachment_content(self, mail_id: int, index: int) -> bytes | None:
        """The bytes of `attachments[index]` of that mail."""
        row: tuple[bytes] | None = self._db.execute(
            "SELECT content FROM mail JOIN attachment USING (request) WHERE mail.id = ? AND position = ?",
            (mail_id, index),
        ).fetchone()
        return row[0] if row else None

    def count(self) -> int:
        row: tuple[int] = self._db.execute("SELECT count(*) FROM mail").fetchone()
        return row[0]

    def _row(self, mail_id: int) -> _Row | None:
        row: _Row | None = self._db.execute(_SELECT + "WHERE mail.id = ?", (mail_id,)).fetchone()
        return row

    def _insert(self, request: MailRequest) -> None:
        cursor = self._db.execute(
            "INSERT INTO request (message_id, received_at, text) VALUES (?, ?, ?)",
            (request.message_id, request.received_at, request.text),
        )
        for number in range(request.mails):
            self._db.execute("INSERT INTO mail (request, personalization) VALUES (?, ?)", (cursor.lastrowid, number))
        for position, content in enumerate(request.attachments):
            self._db.execute("INSERT INTO attachment VALUES (?, ?, ?)", (cursor.lastrowid, position, content))
