"""The row that a delivery would write, for `hookchain explain`. It needs no driver."""

from collections.abc import Iterator

from functions.notify.destinations.sql.rows import RowMaker
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivery
from shared.event import view_of


def preview(delivery: Delivery, settings: Settings) -> Iterator[str]:
    """Yield the row that the delivery would write. Raises Permanent.

    Where a secret names the database, the values are as PostgreSQL gets them.
    """
    maker = RowMaker(settings, settings.driver or "postgresql")
    row = maker.row(view_of(delivery.event), delivery.id)
    does = f"insert or replace by {', '.join(settings.key)}" if settings.key else "insert"
    yield f"sql: {does} in the table {settings.table_text}"
    yield from (
        f"{name} = {'NULL' if value is None else value}"
        for name, value in zip(settings.columns_written, row.values, strict=True)
    )
