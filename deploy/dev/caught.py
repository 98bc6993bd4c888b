"""All that `hookchain dev` caught of a delivery, whichever emulated service has it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.dev.sheets.store import SheetStore


@dataclass(frozen=True, slots=True)
class Caught:
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
