"""What each subscription of the emulated Pub/Sub has not acknowledged, read from its file, running or not."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.dev.pubsub.store import FILE_NAME

_WAITING: Final = """
SELECT subscription.name, count(message.id), min(message.published_at) FROM subscription
LEFT JOIN owed ON owed.subscription = subscription.id AND NOT owed.acked
LEFT JOIN message ON message.id = owed.message
GROUP BY subscription.id ORDER BY subscription.name"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """`oldest_at`: when the oldest was published; None where nothing waits."""

    subscription: str
    count: int
    oldest_at: float | None


def waiting(state: Path) -> list[Waiting]:
    """Nothing where there is no file. Raises sqlite3.Error."""
    path = state / FILE_NAME
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute(_WAITING).fetchall()
    return [Waiting(name.rpartition("/")[2], count, oldest) for name, count, oldest in rows]
