"""An event's status: one word for where it is, kept in its row so that a search by status is a search in an index."""

import sqlite3
from collections.abc import Iterable
from typing import Final

# The last attempt of each delivery speaks for it. A dead letter that was replayed no longer does.
_UPDATE: Final = """
UPDATE events SET status = (
    SELECT CASE
        WHEN events.broken > 0 OR total(outcome = 'refused') > 0 OR EXISTS (
            SELECT 1 FROM dead_letters WHERE event_id = events.id AND state <> 'replayed') THEN 'failed'
        WHEN total(outcome = 'disabled') > 0 THEN 'held'
        WHEN total(outcome IN ('retry_later', 'unknown')) > 0 THEN 'retrying'
        WHEN events.routed_at IS NULL THEN iif(count(*), 'delivering', 'received')
        WHEN events.expected = 0 AND count(*) = 0 THEN (
            SELECT CASE WHEN total(json_extract(value, '$.matched')) > 0 THEN 'stopped'
                WHEN total(json_extract(value, '$.route') = '') > 0 THEN 'duplicate' ELSE 'unmatched' END
            FROM bodies, json_each(routes) WHERE event_id = events.id)
        WHEN count(*) < events.expected THEN 'delivering'
        ELSE 'delivered' END
    FROM (SELECT outcome, max(seq) FROM attempts WHERE event_id = events.id GROUP BY delivery_id))
WHERE id = ?
"""


def update_status(connection: sqlite3.Connection, event_ids: Iterable[str]) -> None:
    """Within the caller's transaction."""
    connection.executemany(_UPDATE, [(event_id,) for event_id in event_ids])
