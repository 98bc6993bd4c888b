"""Entries into the journal, which blocks nothing: one that is not written in time is missing there and nowhere else."""

import asyncio
from dataclasses import dataclass
from typing import Final

from functions.notify.attempt import Unknown
from shared.delivery import Delivered, Delivery, Disabled, Outcome, Refused
from shared.errors import Temporary
from shared.logs import log
from shared.ports import AttemptEntry, Journal

JOURNAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Journaling:
    """`journal` is None where the platform keeps none."""

    journal: Journal | None

    async def record(self, entry: AttemptEntry) -> None:
        if self.journal is None:
            return
        try:
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.journal.record([entry])
        except (Temporary, TimeoutError) as error:
            detail = error.detail if isinstance(error, Temporary) else f"not written within {JOURNAL_SECONDS:g} s"
            log("WARNING", "not journaled", function="notify", delivery_id=entry.delivery_id, detail=detail)


def attempt_entry(
    delivery: Delivery, key: str, attempt_number: int, outcome: Outcome | Unknown, started: float, ended: float
) -> AttemptEntry:
    return AttemptEntry(
        delivery_id=key,
        event_id=delivery.event.id,
        route=delivery.route,
        destination=delivery.destination,
        attempt_number=attempt_number,
        started_at=started,
        ended_at=ended,
        outcome=_name(outcome),
        reason="" if isinstance(outcome, Delivered) else outcome.reason,
        answer=outcome.answer,
    )


def _name(outcome: Outcome | Unknown) -> str:
    if isinstance(outcome, Delivered):
        return "delivered"
    if isinstance(outcome, Refused):
        return "refused"
    if isinstance(outcome, Disabled):
        return "disabled"
    return "unknown" if isinstance(outcome, Unknown) else "retry_later"
