"""One attempt at a destination, bounded in time whatever the destination does, and its entry in the journal."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from functions.notify.destination import REPAIR, Attempt, Destination
from functions.notify.waiting.schedule import MAX_ASKED_SECONDS
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent, Temporary, Unanswered
from shared.event import oneline
from shared.journal import AttemptEntry
from shared.ledger import LedgerRow
from shared.outcomes import AttemptOutcome
from shared.own_modules import place_in_own_module
from shared.time_bound import Deadlines, TooLate, is_cancelled

GRACE_SECONDS: Final = 1.0
"""A destination ends by itself at its timeout, and knows then whether it sent anything. Cancelled, it cannot tell."""
MAX_CHARACTERS: Final = 500
"""Of a reason and of an answer in an attempt's record: a row keeps a hundred of them."""
MAX_TEXT_CHARACTERS: Final = 1_000
"""Of a reason, as the row shows the last one."""

OUTCOME_NAMES: Final[Mapping[type[Outcome], AttemptOutcome]] = MappingProxyType(
    {
        Delivered: "delivered",
        RetryLater: "retry_scheduled",
        Unknown: "unknown",
        Failed: "failed",
        Disabled: "held",
    }
)


async def attempt_once(destination: Destination, delivery: Delivery, attempt: Attempt, deadlines: Deadlines) -> Outcome:
    """Raises Temporary, and then nothing was sent."""
    try:
        deadline = asyncio.get_running_loop().time() + attempt.timeout_seconds + GRACE_SECONDS
        outcome = await deadlines.wait(destination.attempt(delivery, attempt), deadline)
    except TooLate:
        return Unknown(f"no answer within {attempt.timeout_seconds:g} s")
    except TimeoutError:
        return Unknown("no answer came")
    except Permanent as error:
        return Failed(error.code, error.detail)
    except Unanswered as error:
        return Unknown(error.detail)
    except Temporary:
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        # A destination may be the operator's own code, and any library's fault comes through it. It costs this
        # delivery, which is dead-lettered and can be replayed; the worker and its other deliveries live on.
        return Failed("destination_fault", f"the destination's code failed: {place_in_own_module(error)}")
    if type(outcome) not in OUTCOME_NAMES:
        return Failed("destination_fault", f"the destination answered {type(outcome).__name__}, not an outcome")
    return recordable(outcome)


def is_repair(row: LedgerRow, attempt_number: int) -> bool:
    """Return whether a row was reopened after a failure: its own, or that of the page of a fan-out before it.

    `attempt_number` is that of the attempt to come.
    """
    if row.replays and row.replays[-1].endswith(REPAIR):
        return True
    before = row.attempts[-attempt_number] if attempt_number <= len(row.attempts) else None
    return before is None or before.outcome != "delivered"


def undelivered_since(row: LedgerRow) -> int:
    """Return the generation after the last one that was delivered, or 0. The row was reopened.

    Where an earlier version reopened it, the row does not say it: then its newest generation is returned.
    """
    if row.undelivered_since:
        return row.undelivered_since
    return row.generation if any(each.outcome == "delivered" for each in row.attempts) else 0


def recordable(outcome: Outcome) -> Outcome:
    """Return the outcome as the ledger can hold it: short lines of text without half a surrogate pair, finite waits.

    Texts hold what a receiver answered, and an operator's own kind may return values of any type. An outcome that
    cannot be recorded would have its request sent again.
    """
    changed: dict[str, object] = {}
    for name in ("reason", "answer"):
        text: object = getattr(outcome, name, "")
        if not isinstance(text, str):
            changed[name] = type(text).__name__
        elif not text.isprintable() or len(text) > MAX_TEXT_CHARACTERS:
            changed[name] = oneline(text[:MAX_TEXT_CHARACTERS])
    if isinstance(outcome, RetryLater):
        changed["after_seconds"] = _wait(outcome.after_seconds)
        changed["pause_destination_seconds"] = _wait(outcome.pause_destination_seconds)
    return replace(outcome, **changed) if changed else outcome  # type: ignore[arg-type] # a dictionary has one type


def _wait(seconds: object) -> float | None:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0:  # NaN is not
        return float(min(seconds, MAX_ASKED_SECONDS))
    return None


def attempt_entry(row: LedgerRow, attempt_number: int, outcome: Outcome, started: float, ended: float) -> AttemptEntry:
    reason = "" if isinstance(outcome, Delivered) else outcome.reason
    return AttemptEntry(
        row.key,
        row.event_id,
        row.route,
        row.destination,
        attempt_number,
        started,
        ended,
        OUTCOME_NAMES[type(outcome)],
        reason[:MAX_CHARACTERS],
        outcome.answer[:MAX_CHARACTERS],
    )
