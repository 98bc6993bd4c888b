"""Routes that wait because the system that one of their steps asks did not answer. Each has a row in the ledger.

    transform sends a wait   the row waits, by the step's schedule; after the last wait it becomes a dead letter
    the row is due           the event is published again for this route alone, and the row is final
    the route waits again    the message has the number of the next run, and reopens the row once

A message is about one turn of the route: a run, and the replay by which the event came to the route, if any. The row
keeps the turns that reopened it. So a repeated message changes nothing, and neither does one of an earlier turn.

If this process dies after the event was published and before the row is final, the event is published once more. Then
the route runs twice, and its deliveries have the same ids.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from functions.notify import dead_letters, settle
from functions.notify.claims import unclaimed_result
from functions.notify.notifier import Acknowledged, Notifier, Result, Work
from functions.notify.waiting.due import DUE
from functions.notify.waiting.schedule import next_retry_at, spread
from shared import errors, journal, ledger, ledger_rules, outcomes, ports, times
from shared.delivery import Delivery
from shared.event import event_json
from shared.push import Push
from shared.waiting_route import PROBE_SECONDS, RETRY_SECONDS, ROUTE, RUN, SINCE, TRIES, WaitingRoute, waiting_from

LEASE_SECONDS: Final = 60.0
"""How long the row is claimed, to publish one message and write the row."""
RUN_DELAY_SECONDS: Final = 1.0
"""The delay of a run, if the bus has delays. After it, the row is final, so the route's next wait can reopen it."""
MAX_GATE_SECONDS: Final = 60.0
"""The longest wait between two runs in which the system was not asked, because it was paused. If the pause is longer,
the route waits until its end."""
MAX_WAIT_FACTOR: Final = 1.5
LEAST_WAIT_SECONDS: Final = 3_600.0
"""A run in which the system was not asked does not count as a try, so a route may wait for longer than its schedule
takes. It is given up after MAX_WAIT_FACTOR times as long, but not before LEAST_WAIT_SECONDS."""
MAX_DOUBLINGS: Final = 10
"""After so many doublings, the wait is longer than MAX_GATE_SECONDS."""
NOT_ATTEMPTED: Final = 0
"""The attempt number of a journal entry without an attempt. It counts for the event's status, and is not shown."""


class _Turn(NamedTuple):
    """A run of a route, for an event that came to the route by itself or by a replay.

    origin  the id of the replay; empty without one
    run     the number of the run, from 1
    """

    origin: str
    run: int

    @property
    def text(self) -> str:
        """Return the turn as the row keeps it, beside the ids of replays of its dead letter, which are no turns."""
        return f"{self.origin}.{self.run}"


_FIRST_TURN: Final = _Turn("", 1)
"""The turn that makes the row. It never reopens it, so the row does not keep it."""


def _turn_of(waiting: WaitingRoute) -> _Turn:
    return _Turn(waiting.attributes.get("replay", ""), waiting.run)


async def take_waiting_route(notifier: Notifier, push: Push, delivery: Delivery) -> Result:
    """Let the route wait, or run it if it is due. Raises Temporary, after it gave the claim back.

    A message comes for one of three reasons: transform sent a wait, the row is due, or an operator replays the route's
    dead letter. A wait or a replay may find the row final, and then reopens it if it may. A message of an earlier turn
    changes nothing.
    """
    replay = push.attributes.get("replay")  # of the route's dead letter
    due_fence = push.number(DUE)
    try:
        waiting = waiting_from(push.document())
    except errors.Permanent as error:
        letter = dead_letters.unreadable_letter(push.data, error, ports.DELIVERIES, notifier.clock.now())
        await dead_letters.publish_dead_letter(notifier.bus, letter)
        return Acknowledged("dead_lettered", delivery, code=error.code, reason=error.detail)
    claim = await notifier.ledger.claim(delivery, push.data, notifier.clock.now(), LEASE_SECONDS, due_fence)
    if isinstance(claim, ledger.Finished) and due_fence is None:
        is_reopened = await _reopen(notifier, delivery, waiting, replay)
        if is_reopened:  # this ended the row's lease at a moment that is past now
            claim = await notifier.ledger.claim(delivery, push.data, notifier.clock.now(), LEASE_SECONDS)
    if not isinstance(claim, ledger.Claimed):
        return await unclaimed_result(notifier, push, delivery, claim)
    try:
        if replay is not None:  # the schedule begins again
            waiting = replace(waiting, tries=0, since=0, attributes={**waiting.attributes, "replay": replay})
        elif _is_earlier(_turn_of(waiting), claim.row.replays):
            await notifier.ledger.give_back(claim, notifier.clock.now())
            return await unclaimed_result(notifier, push, delivery, ledger.Finished())
        work = Work(delivery, claim, waiting.tries)
        if replay is not None or due_fence is not None:
            return await _run(notifier, work, waiting)
        return await _wait(notifier, work, waiting)
    except errors.Temporary:
        await settle.give_back(notifier, claim)
        raise


def _is_earlier(turn: _Turn, kept: Sequence[str]) -> bool:
    """Return whether the row was reopened for a later turn since. `kept` are the turns and replays that reopened it.

    The message of the later turn will come again, because the process that had it died or failed. If the message of
    this turn used the row, the later run would begin once more, and its wait could not reopen the row a second time.
    """
    last_origin, dot, last_run = kept[-1].rpartition(".") if kept else ("", "", "")
    if dot and last_origin == turn.origin:
        return turn.run < int(last_run)
    # Another replay, or a run that came by one, reopened the row last. So all turns before it are earlier.
    return turn.text in kept or (bool(kept) and turn == _FIRST_TURN)


async def _reopen(notifier: Notifier, delivery: Delivery, waiting: WaitingRoute, replay: str | None) -> bool:
    """Reopen the row for this wait or replay, and return whether that was done: each of them can reopen it only once.

    `replay` is the id of a replay of the route's dead letter; None for a wait.
    """
    turn = _turn_of(waiting)
    if replay is not None:
        states = None  # any final state
    elif turn == _FIRST_TURN:
        return False  # a repeated message
    else:
        row = await notifier.ledger.row(delivery.event.id, delivery.id)
        if row is not None and _is_earlier(turn, row.replays):
            return False
        # A dead letter is reopened only by a replay, so a later run's wait reopens only a row that ended well.
        states = None if turn.run == 1 else frozenset({ledger_rules.DELIVERED})
    return await notifier.ledger.reopen(delivery.id, notifier.clock.now(), replay or turn.text, states) is not None


async def _wait(notifier: Notifier, work: Work, waiting: WaitingRoute) -> Result:
    """Let the route wait for its next run, or give it up at the end of its schedule. Raises Temporary."""
    now = notifier.clock.now()
    row = work.claim.row
    schedule = RETRY_SECONDS if waiting.retry_seconds is None else waiting.retry_seconds
    attempt: journal.AttemptEntry | None = None
    next_at: float | None
    if waiting.until is None:  # the system was asked
        attempt = _entry(row, waiting.tries, waiting.began_at, waiting.ended_at, "retry_scheduled", waiting.reason)
        next_at = next_retry_at(schedule, waiting.tries, row.key, now)
    else:  # it was not asked, because it is paused until then
        # The first such runs wait for at least 10, 20, 40 and 60 seconds.
        runs_without_try = min(waiting.run - waiting.tries, MAX_DOUBLINGS)
        least_seconds = min(RETRY_SECONDS[0] * 2.0**runs_without_try, MAX_GATE_SECONDS)
        next_at = now + spread(max(waiting.until - now, least_seconds), row.key, waiting.run)
    if next_at is None:
        return await _give_up(notifier, work, f"try {waiting.tries}, the last: {waiting.reason}", attempt)
    longest_seconds = max(sum(schedule) * MAX_WAIT_FACTOR, LEAST_WAIT_SECONDS)
    if next_at - waiting.since > longest_seconds and not _is_asked_soon(waiting):
        reason = f"it has waited since {times.rfc3339(waiting.since)}; the last time: {waiting.reason}"
        return await _give_up(notifier, work, reason, attempt)
    settlement = ledger.Settlement(ledger_rules.RETRY_SCHEDULED, now, waiting.reason, attempt, next_at)
    return await _settle(notifier, work, settlement, "deferred" if attempt is None else "retry_scheduled")


def _is_asked_soon(waiting: WaitingRoute) -> bool:
    """Return whether the route only waits for another route to be the first that asks the system after an outage."""
    return waiting.until is not None and waiting.until - waiting.ended_at <= PROBE_SECONDS


async def _give_up(notifier: Notifier, work: Work, reason: str, attempt: journal.AttemptEntry | None) -> Result:
    """Publish a dead letter, which a replay can reopen, and end the row. Raises Temporary."""
    now = notifier.clock.now()
    code: errors.PermanentCode = "retries_exhausted"
    letter = dead_letters.delivery_letter(work.delivery, work.claim.message, code, reason, now)
    # The dead letter is the route's: ROUTE_ITSELF is not the name of a destination.
    await dead_letters.publish_dead_letter(notifier.bus, replace(letter, destination=""))
    settlement = ledger.Settlement(ledger_rules.DEAD_LETTERED, now, f"{code}: {reason}", attempt)
    return await _settle(notifier, work, settlement, "dead_lettered", code, reason)


async def _run(notifier: Notifier, work: Work, waiting: WaitingRoute) -> Result:
    """Publish the event for this route, and end its row. The run itself may send deliveries or another wait.

    Raises Temporary.
    """
    event = work.delivery.event
    attributes = {
        "ce-id": event.id,
        "ce-type": event.type,
        "ce-source": event.source,
        ROUTE: work.delivery.route,
        RUN: str(waiting.run + 1),
        TRIES: str(waiting.tries),
        SINCE: str(waiting.since),
        **waiting.attributes,
    }
    await notifier.bus.publish(ports.EVENTS, [ports.BusMessage(event_json(event), attributes, RUN_DELAY_SECONDS)])
    return await _settle(notifier, work, ledger.Settlement(ledger_rules.DELIVERED, notifier.clock.now()), "rerun")


async def _settle(
    notifier: Notifier,
    work: Work,
    settlement: ledger.Settlement,
    outcome: outcomes.DeliveryOutcome,
    code: errors.PermanentCode | None = None,
    reason: str | None = None,
) -> Result:
    """Record the settlement as settle.record does, and note in the journal what becomes of the route.

    Raises Temporary.
    """
    result = await settle.record(notifier, work, settlement, outcome, code, reason or settlement.reason or None)
    if notifier.journal is not None and isinstance(result, Acknowledged):
        if settlement.attempt is not None:
            notifier.journal.note(settlement.attempt)
        if settlement.retry_at is None:  # the wait is over
            ended: outcomes.AttemptOutcome = "failed" if settlement.state == ledger_rules.DEAD_LETTERED else "delivered"
            now = settlement.now
            notifier.journal.note(_entry(work.claim.row, NOT_ATTEMPTED, now, now, ended, ""))
    return result


def _entry(
    row: ledger.LedgerRow,
    attempt_number: int,
    started_at: float,
    ended_at: float,
    outcome: outcomes.AttemptOutcome,
    reason: str,
) -> journal.AttemptEntry:
    """Return the record of a run in which the step asked its system, or with NOT_ATTEMPTED that of the wait's end."""
    return journal.AttemptEntry(
        row.key, row.event_id, row.route, row.destination, attempt_number, started_at, ended_at, outcome, reason
    )
