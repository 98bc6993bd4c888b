"""What an operator decides about dead letters."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from shared.cloud.local.database import transaction
from shared.cloud.local.journal_schema import open_journal
from shared.cloud.local.journal_status import update_status

_MARK: Final = "UPDATE dead_letters SET state = :state WHERE id = :id AND state <> :state RETURNING event_id"


def mark_dead_letters(path: Path, ids: Sequence[str], state: str) -> int:
    """How many were in another state before. One that fails again after its replay is kept again."""
    with closing(open_journal(path)) as connection, transaction(connection):
        found = [row for each in ids for row in connection.execute(_MARK, {"state": state, "id": each}).fetchall()]
        update_status(connection, {event_id for (event_id,) in found})
    return len(found)
