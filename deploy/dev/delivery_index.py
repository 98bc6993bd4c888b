"""An index of what was caught, by the ids of deliveries and endpoints."""

import re
import sqlite3
from collections import defaultdict
from typing import Final

_ID: Final = re.compile(r"(?=([0-9a-f]{64}|ep_[0-9a-z]{20}))")
"""An id of a delivery or of an endpoint, wherever it begins: an escape such as `\\b` may stand before it."""


class DeliveryIndex:
    """The rows whose text has the id of a delivery or an endpoint.

    Each row is read once, so that to look for many ids takes no longer than to look for one. `select` yields the
    id and the text of the rows after an id, in their order; ids are never used again.
    """

    def __init__(self, connection: sqlite3.Connection, select: str) -> None:
        self._db = connection
        self._select = select
        self._last_id = 0
        self._rows: defaultdict[str, dict[int, None]] = defaultdict(dict)

    def row_ids(self, id: str) -> list[int]:
        """Return the ids of the rows that have this id, some of which may have been deleted since."""
        for row_id, text in self._db.execute(self._select, (self._last_id,)):
            self._last_id = row_id
            for found in _ID.findall(text):
                self._rows[found][row_id] = None
        return list(self._rows.get(id, ()))
