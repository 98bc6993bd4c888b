"""The row that a delivery would write, for `hookchain explain` and configuration tests. It needs no driver."""

from collections.abc import Iterator, Mapping

from functions.notify.destinations.sql.rows import RowMaker, Value
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivery
from shared.event import view_of


def row_of(delivery: Delivery, settings: Settings) -> Mapping[str, Value]:
    """Return the values by column: numbers as numbers, booleans as 0 and 1, all else as text. Raises Permanent."""
    row = RowMaker(settings, "sqlite").row(view_of(delivery.event), delivery.id)
    return dict(zip(settings.columns_written, row.values, strict=True))


def row_lines(delivery: Delivery, settings: Settings) -> Iterator[str]:
    """Yield where the row goes, then its values. Raises Permanent."""
    does = f"insert or replace by {', '.join(settings.key)}" if settings.key else "insert"
    yield f"sql: {does} in the table {settings.table_text}"
    for name, value in row_of(delivery, settings).items():
        yield f"{name} = {'NULL' if value is None else value}"
