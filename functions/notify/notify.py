"""Notify: one pushed delivery, claimed, attempted once, and its outcome recorded."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from functions.notify.attempt import GRACE_SECONDS, attempt_entry, attempt_once, is_repair, undelivered_since
from functions.notify.dead_letters import conflict_letter, unreadable_letter
from functions.notify.destination import Attempt, Destination
from functions.notify.gates import Closed, Gate, leave_gates
from functions.notify.pauses import pause_text, pause_wait
from functions.notify.registry import Configured
from functions.notify.retry import expires_at, spread
from functions.notify.settle import (
    give_up,
    give_up_expired,
    give_up_unknown,
    hold_unknown,
    hold_while_disabled,
    is_last_unknown,
    settle,
    unknown_reason,
    wait,
)
from functions.notify.work import Acknowledged, Nacked, Notifier, Result, Work
from shared.dead_letter_message import dead_letter_message
from shared.delivery import ROUTE_ITSELF, Delivery, Outcome, delivery_from
from shared.errors import Permanent, Temporary
from shared.journal import AttemptEntry, DeadLetter
from shared.ledger import Busy, Claim, Claimed, Conflict, Finished, Gathered, Unclaimed, Waiting
from shared.ledger_rules import CLAIMED, DEAD_LETTERED
from shared.outcomes import DeliveryState
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.push import Push, parse_push

LEASE_MARGIN_SECONDS: Final = 30.0
PEOPLE_SECONDS: Final = 60.0
"""How long deliveries to a person wait while the list of people cannot be read."""
REOPENED_STATES: Final[Mapping[str, frozenset[DeliveryState] | None]] = MappingProxyType(
    {"true": None, "failed": frozenset({DEAD_LETTERED})}
)
"""The states in which a replay reopens a delivery, by its attribute `force`; None: all that are final."""
MAX_CRASHES: Final = 3
"""A delivery whose attempts ended so often without a record probably ends the worker each time."""


async def notify(brought: bytes | Push, notifier: Notifier) -> Result:
    """Deliver what the bus brought: a message, or the body in which it pushed one over HTTP.

    Raises Temporary: a part of ours failed, and the bus brings it again.
    """
    content = brought if isinstance(brought, bytes) else brought.data
    try:
        push = parse_push(brought) if isinstance(brought, bytes) else brought
        content = push.data
        delivery = delivery_from(push.document())
    except Permanent as error:
        await _publish(notifier, unreadable_letter(content, error, DELIVERIES, notifier.clock.now()))
        return Acknowledged("dead_lettered", code=error.code, reason=error.detail)
    # The lease alone is not enough: it ends early where the clock is set ahead or the process was paused.
    if delivery.id in notifier.under_way:
        return Nacked("busy", delivery, reason="this worker has it")
    notifier.under_way.add(delivery.id)
    try:
        return await _deliver(notifier, push, delivery)
    finally:
        notifier.under_way.remove(delivery.id)


async def _deliver(notifier: Notifier, push: Push, delivery: Delivery) -> Result:
    due = push.attributes.get("due", "")
    due_fence = int(due) if due.isascii() and due.isdigit() and len(due) < 19 else None
    if delivery.destination == ROUTE_ITSELF:
        from functions.notify.waiting_routes import take_waiting_route  # few configurations have steps that ask

        taken = await take_waiting_route(notifier, push, delivery, due_fence)
        return taken if isinstance(taken, Result) else await _handle_unclaimed(notifier, delivery, push, taken)
    configured = notifier.destinations.configured.get(delivery.destination)
    if configured is not None and configured.alerts is not None:
        configured = configured.for_delivery(delivery)
    destination = notifier.destinations.connected(configured) if configured else None
    endpoint = await notifier.endpoints.resolve(delivery) if configured is None and notifier.endpoints else None
    if endpoint is not None:
        configured, destination = endpoint.configured, endpoint.destination
        if configured is not None and push.attributes.get("attempt") == "now":
            await notifier.states.end_pause(configured.name)
    lease = LEASE_MARGIN_SECONDS + (configured.timeout_seconds if configured else 0.0)
    if configured is not None and configured.gather is not None:
        result = await _gather(notifier, push, delivery, configured)
        if result is not None:
            return result
    claim = await notifier.ledger.claim(delivery, push.data, notifier.clock.now(), lease, due_fence)
    if isinstance(claim, Finished):
        claim = await _reopen(notifier, push, delivery, lease)
    if not isinstance(claim, Claimed):
        return await _handle_unclaimed(notifier, delivery, push, claim)
    is_suspect = claim.row.state == CLAIMED
    work = Work(delivery, push.data, claim, claim.row.attempt_number + is_suspect)
    if configured is None or destination is None:
        unknown = f"the configuration has no destination {delivery.destination!r}"
        return await give_up(notifier, work, *(endpoint.rejection if endpoint else ("unknown_destination", unknown)))
    if not is_suspect:
        return await _try_once(notifier, work, configured, destination)
    # The last attempt at this delivery left no record, so it may have crashed the worker. Such deliveries run one at a
    # time: otherwise a crash would also count against the harmless ones that ran beside it.
    async with notifier.suspects:
        return await _try_once(notifier, work, configured, destination)


async def _gather(notifier: Notifier, push: Push, delivery: Delivery, configured: Configured) -> Result | None:
    """Let the delivery wait for others. Return None if it is to be claimed."""
    from functions.notify.gathering.arrival import gather  # few destinations gather

    claim = await gather(notifier, push, delivery, configured)
    if claim is None or isinstance(claim, Claimed):
        return None
    return await _handle_unclaimed(notifier, delivery, push, claim)


async def _reopen(notifier: Notifier, push: Push, delivery: Delivery, lease: float) -> Claim:
    """Reopen a final delivery once for a forced replay, and claim it. `force: failed` reopens only dead letters."""
    replay, force, now = push.attributes.get("replay"), push.attributes.get("force", ""), notifier.clock.now()
    if not replay or force not in REOPENED_STATES:
        return Finished()
    if await notifier.ledger.reopen(delivery.id, now, replay, REOPENED_STATES[force]) is None:
        return Finished()
    return await notifier.ledger.claim(delivery, push.data, now, lease)


async def _handle_unclaimed(notifier: Notifier, delivery: Delivery, push: Push, claim: Unclaimed) -> Result:
    if isinstance(claim, Busy):
        return Nacked("busy", delivery, reason="another worker has it")
    if isinstance(claim, Conflict):
        letter = conflict_letter(delivery, push.data, notifier.clock.now())
        await _publish(notifier, letter)
        return Acknowledged("dead_lettered", delivery, code=letter.code, reason=letter.reason)
    if isinstance(claim, Gathered):
        return Acknowledged("gathered", delivery)
    if isinstance(claim, Waiting):
        return Acknowledged("waiting", delivery)
    return Acknowledged("finished", delivery, reason="the delivery has ended before: nothing is sent again")


async def _try_once(notifier: Notifier, work: Work, configured: Configured, destination: Destination) -> Result:
    entered: list[Gate] = []
    outcome: Outcome | None = None
    try:
        attempted = await _attempt(notifier, work, configured, destination, entered)
        if isinstance(attempted, Result):
            return attempted
        outcome, entry = attempted
        result = await settle(notifier, work, configured, destination, outcome, entry)
        result.attempt_seconds = entry.ended_at - entry.started_at
        if notifier.journal is not None:
            notifier.journal.note(entry)
        if configured.health is not None:
            await configured.health.note(outcome, work.attempt_number, entry.ended_at)
        return result
    finally:
        if entered:
            await leave_gates(entered, configured, work.delivery, outcome)


async def _attempt(
    notifier: Notifier, work: Work, configured: Configured, destination: Destination, entered: list[Gate]
) -> tuple[Outcome, AttemptEntry] | Result:
    """Return the attempt's outcome and its record; the result where something is against an attempt."""
    row = work.claim.row
    try:
        if result := await _decide_without_attempt(notifier, work, configured, destination, entered):
            return result
        started = notifier.clock.now()
        if row.state == CLAIMED:
            begun = await notifier.ledger.begin(work.claim, started)
        else:
            begun = work.claim if started + configured.timeout_seconds + GRACE_SECONDS <= row.lease_until else None
        if begun is None:
            await notifier.persist(work.claim, lambda: notifier.ledger.give_back(work.claim, started))
            return Nacked("lease_expired", work.delivery, reason="its lease expired before the attempt began")
        work.claim = begun
        idempotency_key = f"{row.key}-r{row.generation}" if row.generation else row.key
        attempt = Attempt(
            idempotency_key,
            work.attempt_number,
            row.generation,
            started,
            configured.timeout_seconds,
            work.person,
            row.generation > 0 and is_repair(row, work.attempt_number),
            undelivered_since(row) if row.generation else 0,
        )
        outcome = await attempt_once(destination, work.delivery, attempt, notifier.deadlines)
    except Temporary:
        # Nothing was sent, so this attempt does not count.
        await notifier.persist(work.claim, lambda: notifier.ledger.give_back(work.claim, notifier.clock.now()))
        raise
    return outcome, attempt_entry(row, work.attempt_number, outcome, started, notifier.clock.now())


async def _decide_without_attempt(
    notifier: Notifier, work: Work, configured: Configured, destination: Destination, entered: list[Gate]
) -> Result | None:
    """Return what is decided without an attempt; None if nothing is against one. Adds each gate to `entered`."""
    row = work.claim.row
    if row.crashes and (result := await _after_a_crash(notifier, work, configured, destination)):
        return result
    now = notifier.clock.now()
    expires_after = configured.expires_after_seconds
    if expires_after is not None and now >= expires_at(work.delivery.event, expires_after):
        return await give_up_expired(notifier, work, row.reason)
    state = await notifier.states.state(configured.name)
    if state.disabled_reason is not None:
        return await hold_while_disabled(notifier, work, state.disabled_reason)
    if state.paused_until is not None and now < state.paused_until:
        pause = spread(pause_wait(configured, state.paused_until, now), row.key, work.attempt_number)
        return await wait(notifier, work, configured, now + pause, pause_text(configured, state.pause_reason))
    if configured.recipient is not None and (result := await _resolve_recipient(notifier, work, configured)):
        return result
    if configured.gather is not None:
        from functions.notify.gathering.arrival import keep_back  # few destinations gather

        if result := await keep_back(notifier, work, configured):
            return result
    for gate in notifier.gates:
        if closed := await gate.enter(configured, work.delivery, row.slot_at):
            return await _wait_at_gate(notifier, work, configured, closed)
        entered.append(gate)
    return None


async def _wait_at_gate(notifier: Notifier, work: Work, configured: Configured, closed: Closed) -> Result:
    if closed.gathers:
        from functions.notify.gathering.arrival import wait_for_rate

        if result := await wait_for_rate(notifier, work, configured, closed.until, closed.reason):
            return result
    return await wait(notifier, work, configured, closed.until, closed.reason, has_slot=closed.has_slot)


async def _resolve_recipient(notifier: Notifier, work: Work, configured: Configured) -> Result | None:
    """Set the recipient of the work. Return what is decided where there is none. Raises Temporary."""
    if notifier.recipients is None:
        raise Temporary("destination_not_loaded", "notify's slice has no `people`; bundle it again")
    try:
        found = await notifier.recipients.recipient_of(configured, work.delivery)
    except Permanent as error:  # the event's data is gone
        return await give_up(notifier, work, error.code, error.detail)
    except Temporary as error:
        if error.code != "people_unavailable":
            raise
        # Wait here: the operator's list of people is down. If this raised, the bus would count attempts and give up.
        return await wait(notifier, work, configured, notifier.clock.now() + PEOPLE_SECONDS, error.detail)
    from functions.notify.recipient import NoRecipient  # few destinations need it

    if isinstance(found, NoRecipient):
        return await give_up(notifier, work, "unknown_person", found.reason)
    work.person = found
    return None


async def _after_a_crash(
    notifier: Notifier, work: Work, configured: Configured, destination: Destination
) -> Result | None:
    """Count an attempt that left no record as one with an unknown outcome. Return None if another may follow."""
    row = work.claim.row
    if notifier.journal is not None and row.attempts:
        notifier.journal.note(row.attempts[-1])
    if row.crashes >= MAX_CRASHES:
        crashed = unknown_reason(f"{row.crashes} attempts in a row ended without a record")
        return await give_up(notifier, work, "crashed", crashed)
    reason = f"attempt {row.attempt_number} ended without a record of its outcome"
    if configured.on_unknown == "hold":
        return await hold_unknown(notifier, work, reason)
    if is_last_unknown(configured, destination, row.unknown_count):
        return await give_up_unknown(notifier, work, row.unknown_count, reason)
    return None


async def _publish(notifier: Notifier, letter: DeadLetter) -> None:
    await notifier.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
