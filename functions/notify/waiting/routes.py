"""Routes that wait because a step's system did not answer: each is a row of the ledger until its next run.

    a wait from transform   the row waits, by the step's schedule; at its end, or without one, it is a dead letter
    the row is due          the event is published for this route alone, then the row is final
    the route waits again   its message has the number of the next run, which reopens the row once

If this process dies between the publish and the end of the row, the event is published again. Then the route runs
twice, and its deliveries have the same ids.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from functions.notify.dead_letters import delivery_letter, unreadable_letter
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result
from functions.notify.waiting.schedule import next_retry_at, spread, start_timer
from shared.dead_letter_message import dead_letter_message
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import event_json
from shared.journal import AttemptEntry
from shared.ledger import Claimed, Finished, Settlement, Unclaimed
from shared.ledger_rules import DEAD_LETTERED, DELIVERED, RETRY_SCHEDULED
from shared.outcomes import AttemptOutcome
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, BusMessage
from shared.push import Push
from shared.times import rfc3339
from shared.waiting_route import RETRY_SECONDS, ROUTE, RUN, SINCE, TRIES, WaitingRoute, waiting_from

LEASE_SECONDS: Final = 60.0
RUN_DELAY_SECONDS: Final = 1.0
"""Where the bus has delays, a run comes so much later: the row is final by then, and the next wait can reopen it."""
MAX_GATE_SECONDS: Final = 60.0
"""The longest wait between two runs that found the way to the system closed, unless it is closed for longer."""
MAX_SHARE: Final = 1.5
LEAST_SECONDS: Final = 3_600.0
"""A route may often find the way to its system closed, which is no try. It waits so many times as long as its schedule
takes, or so long if that is longer."""
NOT_ATTEMPTED: Final = 0
"""The number of a journal entry without an attempt: it counts for the event's status, and is not shown."""


async def take_waiting_route(
    notifier: Notifier, push: Push, delivery: Delivery, due_fence: int | None
) -> Unclaimed | Result:
    """Let the route wait, or run it if it is due. Return why it cannot be claimed, if it cannot. Raises Temporary."""
    now, replay = notifier.clock.now(), push.attributes.get("replay")
    try:
        waiting = waiting_from(push.document())
    except Permanent as error:
        letter = unreadable_letter(push.data, error, DELIVERIES, now)
        await notifier.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
        return Acknowledged("dead_lettered", delivery, code=error.code, reason=error.detail)
    claim = await notifier.ledger.claim(delivery, push.data, now, LEASE_SECONDS, due_fence)
    if isinstance(claim, Finished) and due_fence is None and await _reopen(notifier, delivery, waiting, replay):
        # The time is read again: the lease of a row that was reopened ends at the moment of that.
        claim = await notifier.ledger.claim(delivery, push.data, notifier.clock.now(), LEASE_SECONDS)
    if not isinstance(claim, Claimed):
        return claim
    try:
        if replay is not None:  # of the dead letter: its schedule begins again
            return await _run(notifier, delivery, claim, replace(waiting, tries=0, since=0), {"replay": replay})
        if _is_earlier(waiting, claim.row.replays):
            await notifier.ledger.give_back(claim, notifier.clock.now())
            return Finished()
        if due_fence is not None:
            return await _run(notifier, delivery, claim, waiting, {})
        return await _wait(notifier, delivery, claim, waiting)
    except Temporary:
        await notifier.persist(claim, lambda: notifier.ledger.give_back(claim, notifier.clock.now()))
        raise


def _is_earlier(waiting: WaitingRoute, turns: Sequence[str]) -> bool:
    """Return whether this repeats the wait of an earlier run: the row was reopened for a later one since.

    The message of the later run is under way again, because whoever had it died or failed. If the repeat took the row,
    the later run would begin once more, and its wait would find that it had its turn.
    """
    origin = waiting.attributes.get("replay", "")
    last_origin, dot, last_run = turns[-1].rpartition(".") if turns else ("", "", "")
    if dot and last_origin == origin:
        return waiting.run < int(last_run)
    return f"{origin}.{waiting.run}" in turns or (bool(turns) and waiting.run == 1 and not origin)


async def _reopen(notifier: Notifier, delivery: Delivery, waiting: WaitingRoute, replay: str | None) -> bool:
    """Reopen the row once for each wait and each replay. A first run without a replay never does: it is a repeat."""
    origin = waiting.attributes.get("replay")
    if replay is None and waiting.run == 1 and origin is None:
        return False
    row = await notifier.ledger.row(delivery.event.id, delivery.id)
    if replay is None and row is not None and _is_earlier(waiting, row.replays):
        return False
    turn = replay or f"{origin or ''}.{waiting.run}"
    # Only the operator runs again what ended as a dead letter, or was forgotten.
    only = None if waiting.run == 1 or replay else frozenset({DELIVERED})
    return await notifier.ledger.reopen(delivery.id, notifier.clock.now(), turn, only) is not None


async def _wait(notifier: Notifier, delivery: Delivery, claim: Claimed, waiting: WaitingRoute) -> Result:
    now, key, attempt = notifier.clock.now(), claim.row.key, None
    schedule = RETRY_SECONDS if waiting.retry_seconds is None else waiting.retry_seconds
    result = Acknowledged("deferred", delivery)
    next_at: float | None
    if waiting.until is None:
        attempt = _entry(claim, waiting.tries, waiting.began_at, waiting.ended_at, "retry_scheduled", waiting.reason)
        next_at = next_retry_at(schedule, waiting.tries, key, now)
        result = Acknowledged("retry_scheduled", delivery, waiting.tries)
    else:
        least = min(RETRY_SECONDS[0] * 2.0 ** min(waiting.run - waiting.tries, 10), MAX_GATE_SECONDS)
        next_at = now + spread(max(waiting.until - now, least), key, waiting.run)
    if next_at is None:
        return await _give_up(notifier, delivery, claim, f"try {waiting.tries}, the last: {waiting.reason}", attempt)
    if next_at - waiting.since > max(sum(schedule) * MAX_SHARE, LEAST_SECONDS):
        reason = f"it has waited since {rfc3339(waiting.since)}; the last time: {waiting.reason}"
        return await _give_up(notifier, delivery, claim, reason, attempt)
    settlement = Settlement(RETRY_SCHEDULED, now, waiting.reason, attempt, next_at)
    return await _settle(notifier, delivery, claim, settlement, result)


async def _give_up(
    notifier: Notifier, delivery: Delivery, claim: Claimed, reason: str, attempt: AttemptEntry | None
) -> Result:
    now = notifier.clock.now()
    letter = replace(delivery_letter(delivery, claim.message, "retries_exhausted", reason, now), destination="")
    await notifier.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
    settlement = Settlement(DEAD_LETTERED, now, f"{letter.code}: {reason}", attempt)
    number = attempt.attempt_number if attempt else None
    result = Acknowledged("dead_lettered", delivery, number, letter.code, reason)
    return await _settle(notifier, delivery, claim, settlement, result)


async def _run(
    notifier: Notifier, delivery: Delivery, claim: Claimed, waiting: WaitingRoute, replay: dict[str, str]
) -> Result:
    """Publish the event for this route. Whatever comes of the run is a message of its own."""
    event = delivery.event
    attributes = {
        "ce-id": event.id,
        "ce-type": event.type,
        "ce-source": event.source,
        ROUTE: delivery.route,
        RUN: str(waiting.run + 1),
        TRIES: str(waiting.tries),
        SINCE: str(waiting.since),
        **waiting.attributes,
        **replay,
    }
    await notifier.bus.publish(EVENTS, [BusMessage(event_json(event), attributes, RUN_DELAY_SECONDS)])
    result = Acknowledged("rerun", delivery, waiting.tries)
    return await _settle(notifier, delivery, claim, Settlement(DELIVERED, notifier.clock.now()), result)


async def _settle(
    notifier: Notifier, delivery: Delivery, claim: Claimed, settlement: Settlement, result: Acknowledged
) -> Result:
    if not await notifier.persist(claim, lambda: notifier.ledger.settle(claim, settlement)):
        return Nacked("lease_expired", delivery, reason="its lease had expired, and another worker has it")
    if settlement.retry_at is not None:
        await start_timer(notifier.bus, notifier.clock, claim, settlement.retry_at, False)
    if notifier.journal is not None:
        if settlement.attempt is not None:
            notifier.journal.note(settlement.attempt)
        if settlement.retry_at is None:  # the wait is over
            ended: AttemptOutcome = "failed" if settlement.state == DEAD_LETTERED else "delivered"
            notifier.journal.note(_entry(claim, NOT_ATTEMPTED, settlement.now, settlement.now, ended, ""))
    result.reason = result.reason or settlement.reason or None
    return result


def _entry(
    claim: Claimed, attempt_number: int, started_at: float, ended_at: float, outcome: AttemptOutcome, reason: str
) -> AttemptEntry:
    row = claim.row
    names = row.key, row.event_id, row.route, row.destination
    return AttemptEntry(*names, attempt_number, started_at, ended_at, outcome, reason)
