"""An index of what was caught, by the ids of deliveries."""

import re
import sqlite3
from collections import defaultdict
from typing import Final

_ID: Final = re.compile(r"(?=([0-9a-f]{64}))")
"""Each place where 64 hex digits begin: an escape such as `\\b` may stand before an id."""


class DeliveryIndex:
    """The rows whose text has a delivery's id.

    Each row is read once, so that to look for many deliveries takes no longer than to look for one. `select` yields the
    id and the text of the rows after an id, in their order; ids are never used again.
    """

    def __init__(self, connection: sqlite3.Connection, select: str) -> None:
        self._db = connection
        self._select = select
        self._last_id = 0
        self._rows: defaultdict[str, dict[int, None]] = defaultdict(dict)

    def row_ids(self, delivery_id: str) -> list[int]:
        """Return the ids of the delivery's rows, some of which may have been deleted since."""
        for row_id, text in self._db.execute(self._select, (self._last_id,)):
            self._last_id = row_id
            for found in _ID.findall(text):
                self._rows[found][row_id] = None
        return list(self._rows.get(delivery_id, ()))
