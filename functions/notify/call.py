"""Call a destination, and make the record of the attempt. Whatever a call does, only its own delivery is affected.

A destination may be the operator's own code, and a receiver may answer with anything. So each exception becomes an
outcome, a call that does not end is cancelled, and each text and wait of an outcome is made fit for the ledger.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from functions.notify.destination import Attempt, Destination
from functions.notify.waiting.schedule import MAX_ASKED_SECONDS
from shared import errors, event, journal, ledger, outcomes, own_modules, time_bound
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown

GRACE_SECONDS: Final = 1.0
"""How long after its timeout a destination is cancelled. It should end by itself at its timeout, because it knows then
whether it sent anything. After it is cancelled, nobody knows."""
MAX_CHARACTERS: Final = 500
"""The length of a reason and of an answer in the record of an attempt. A row keeps a hundred records."""
MAX_TEXT_CHARACTERS: Final = 1_000
"""The length of a row's last reason."""
OUTCOME_NAMES: Final[Mapping[type[Outcome], outcomes.AttemptOutcome]] = {
    Delivered: "delivered",
    RetryLater: "retry_scheduled",
    Unknown: "unknown",
    Failed: "failed",
    Disabled: "held",
}


async def call_destination(
    destination: Destination, delivery: Delivery, attempt: Attempt, deadlines: time_bound.Deadlines
) -> Outcome:
    """Call the destination and return its outcome. Raises Temporary only if nothing was sent.

    A call that does not end by itself is cancelled GRACE_SECONDS after its timeout, and its outcome is Unknown.
    """
    try:
        deadline = asyncio.get_running_loop().time() + attempt.timeout_seconds + GRACE_SECONDS
        outcome = await deadlines.wait(destination.attempt(delivery, attempt), deadline)
    except time_bound.TooLate:
        return Unknown(f"no answer within {attempt.timeout_seconds:g} s")
    except TimeoutError:
        return Unknown("no answer came")
    except errors.Permanent as error:
        return Failed(error.code, error.detail)
    except errors.Unanswered as error:
        return Unknown(error.detail)
    except errors.Temporary:
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and time_bound.is_cancelled():
            raise
        # A destination may be the operator's own code, or call a library with a fault. Only this delivery fails: it
        # becomes a dead letter and can be replayed. The worker and its other deliveries are not affected.
        return Failed("destination_fault", f"the destination's code failed: {own_modules.place_in_own_module(error)}")
    if type(outcome) not in OUTCOME_NAMES:
        return Failed("destination_fault", f"the destination answered {type(outcome).__name__}, not an outcome")
    return recordable(outcome)


def recordable(outcome: Outcome) -> Outcome:
    """Return the outcome as the ledger can store it: with short lines of valid Unicode, and with finite waits.

    The texts may come from a receiver's answer, and an operator's own kind may return values of any type. If an outcome
    could not be recorded, its request would be sent again.
    """
    answer = _recordable_text(outcome.answer)
    if isinstance(outcome, Delivered):
        return Delivered(answer, outcome.disable_reason)
    reason = _recordable_text(outcome.reason)
    if isinstance(outcome, RetryLater):
        after_seconds = _recordable_wait(outcome.after_seconds)
        return RetryLater(reason, after_seconds, answer, _recordable_wait(outcome.pause_destination_seconds))
    return replace(outcome, reason=reason, answer=answer)


def _recordable_text(text: object) -> str:
    """Return the text on one line and cut; for anything but a text, the name of its type."""
    if not isinstance(text, str):
        return type(text).__name__
    if text.isprintable() and len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return event.oneline(text[:MAX_TEXT_CHARACTERS])


def _recordable_wait(seconds: object) -> float | None:
    """Return the wait, at most MAX_ASKED_SECONDS; None for anything but a number of seconds from 0 on."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0:  # NaN is not
        return float(min(seconds, MAX_ASKED_SECONDS))
    return None


def attempt_entry(
    row: ledger.LedgerRow, attempt_number: int, outcome: Outcome, started_at: float, ended_at: float
) -> journal.AttemptEntry:
    """Return the record of an attempt, with its texts cut. Times are Unix seconds."""
    reason = "" if isinstance(outcome, Delivered) else outcome.reason
    return journal.AttemptEntry(
        delivery_id=row.key,
        event_id=row.event_id,
        route=row.route,
        destination=row.destination,
        attempt_number=attempt_number,
        started_at=started_at,
        ended_at=ended_at,
        outcome=OUTCOME_NAMES[type(outcome)],
        reason=reason[:MAX_CHARACTERS],
        answer=outcome.answer[:MAX_CHARACTERS],
    )
