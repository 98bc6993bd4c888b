"""The mails that the emulated SendGrid took, on SQLite: it writes them, the inspector reads them.

One row a mail: a request with three personalizations makes three. The request itself is kept once, and attachments are
decoded from it when somebody asks.
"""

import base64
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local.sendgrid.mail import Mail, MailRow, envelope_of, mail_from
from shared.jsontext import Json

FILE_NAME: Final = "mail.db"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS request (message_id TEXT PRIMARY KEY, raw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, received_at REAL NOT NULL,
    subject TEXT NOT NULL, text TEXT NOT NULL, html TEXT NOT NULL, envelope TEXT NOT NULL);
"""
_INSERT_MAIL: Final = (
    "INSERT INTO mail (message_id, received_at, subject, text, html, envelope) VALUES (?, ?, ?, ?, ?, ?)"
)
_SELECT_MAIL: Final = "SELECT id, message_id, received_at, subject, text, html, envelope FROM mail WHERE id "


class Mailbox:
    """One connection, for one thread at a time. Any number of processes may have the file open."""

    def __init__(self, state_folder: Path) -> None:
        state_folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state_folder / FILE_NAME, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA busy_timeout = 5000")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def keep(self, mails: Sequence[Mail], requests: Mapping[str, str]) -> None:
        """All or none of them, kept when this returns. `requests` maps a message id to its request's JSON text."""
        rows = [(m.message_id, m.received_at, m.subject, m.text, m.html, envelope_of(m)) for m in mails]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO request VALUES (?, ?)", requests.items())
            self._db.executemany(_INSERT_MAIL, rows)

    def list_mail(self, limit: int, before_id: int | None = None) -> list[Mail]:
        """Newest first; with `before_id`, those older than that mail."""
        bound = 2**62 if before_id is None else before_id
        rows = self._db.execute(_SELECT_MAIL + "< ? ORDER BY id DESC LIMIT ?", (bound, limit))
        return [mail_from(row) for row in rows]

    def get_mail(self, mail_id: int) -> Mail | None:
        row: MailRow | None = self._db.execute(_SELECT_MAIL + "= ?", (mail_id,)).fetchone()
        return mail_from(row) if row else None

    def count(self) -> int:
        row: tuple[int] = self._db.execute("SELECT count(*) FROM mail").fetchone()
        return row[0]

    def get_request(self, mail_id: int) -> str | None:
        """The JSON text as it was posted to SendGrid."""
        row: tuple[str] | None = self._db.execute(
            "SELECT raw FROM request JOIN mail USING (message_id) WHERE mail.id = ?", (mail_id,)
        ).fetchone()
        return row[0] if row else None

    def attachment_content(self, mail_id: int, index: int) -> bytes | None:
        """The bytes of `attachments[index]` of that mail."""
        raw = self.get_request(mail_id)
        document: Json = json.loads(raw) if raw else None
        attachments = document.get("attachments") if isinstance(document, dict) else None
        if not isinstance(attachments, list) or not 0 <= index < len(attachments):
            return None
        attachment = attachments[index]
        content = attachment.get("content") if isinstance(attachment, dict) else None
        return base64.b64decode(content) if isinstance(content, str) else None
