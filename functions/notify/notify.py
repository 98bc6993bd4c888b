"""Notify: one pushed delivery, given a place, claimed, attempted once, and its outcome recorded."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from functions.notify.attempt import GRACE_SECONDS, attempt_entry, attempt_once, is_repair, undelivered_since
from functions.notify.dead_letters import conflict_letter, unreadable_letter
from functions.notify.destination import Attempt, Destination
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.registry import Configured
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
from functions.notify.waiting.caps import bucket_name
from functions.notify.waiting.pauses import has_failed, pause_text, pause_wait
from functions.notify.waiting.schedule import Closed, Gate, expires_at, leave_gates, spread
from shared.dead_letter_message import dead_letter_message
from shared.delivery import ROUTE_ITSELF, Delivery, Outcome, RetryLater, delivery_from
from shared.errors import Permanent, PermanentCode, Temporary
from shared.journal import AttemptEntry, DeadLetter
from shared.jsontext import Json
from shared.ledger import Busy, Claim, Claimed, Conflict, Finished, Gathered, Unclaimed, Waiting
from shared.ledger_rules import CLAIMED, DEAD_LETTERED
from shared.outcomes import DeliveryState
from shared.outgoing.gate import Turn
from shared.ports import DEAD_LETTERS, DELIVERIES, BusMessage
from shared.push import Push, parse_push
from shared.subscribers.names import SEPARATOR
from shared.times import unix_seconds

if TYPE_CHECKING:
    from functions.notify.subscribers.fan_out import FanOut

LEASE_MARGIN_SECONDS: Final = 30.0
PEOPLE_SECONDS: Final = 60.0
"""How long deliveries to a person wait while the list of people cannot be read."""
REOPENED_STATES: Final[Mapping[str, frozenset[DeliveryState] | None]] = MappingProxyType(
    {"true": None, "failed": frozenset({DEAD_LETTERED})}
)
"""The states in which a replay reopens a delivery, by its attribute `force`; None: all that are final."""
Rejection: TypeAlias = tuple[PermanentCode, str]
"""Why a delivery can never be attempted, as the code and the reason of its dead letter."""
DUE: Final = "due"
"""The attribute with the fence of the row whose time has come."""
PUT_BACK: Final = "put-back"
"""The attribute that counts how often the message was put back, because it had no place."""
BUSY_CODES: Final = frozenset({"attempt_timeout", "mail_queue_full", "queue_full"})
"""The codes of a destination that is so slow that nothing was sent. A nack would slow down the whole subscription."""
BUSY_SECONDS: Final = 5.0
BUSY_PART: Final = 0.1
"""A delivery that found its destination too slow waits a tenth of its age, and no less than BUSY_SECONDS."""
MAX_BUSY_AGE_SECONDS: Final = 3_600.0
"""From this age on, that counts as a failed attempt."""
MAX_PUT_BACKS: Final = 3
"""A message that was put back so often waits in the ledger, where an operator sees it."""
SUSPECT_SECONDS: Final = 1.0
SUSPECT_WAIT_SECONDS: Final = 5.0
MAX_CRASHES: Final = 3
"""A delivery whose attempts ended so often without a record probably ends the worker each time."""


async def notify(brought: bytes | Push, notifier: Notifier) -> Result:
    """Deliver what the bus brought: a message, or the body in which it pushed one over HTTP.

    Raises Temporary: a part of ours failed, and the bus brings it again.
    """
    is_acknowledged = False
    try:
        result = await _take(brought, notifier)
        is_acknowledged = isinstance(result, Acknowledged)
        return result
    finally:
        notifier.gate.note_answer(is_acknowledged=is_acknowledged)


async def _take(brought: bytes | Push, notifier: Notifier) -> Result:
    content = brought if isinstance(brought, bytes) else brought.data
    try:
        push = parse_push(brought) if isinstance(brought, bytes) else brought
        content = push.data
        document = push.document()
        delivery = delivery_from(document)
    except Permanent as error:
        await _publish(notifier, unreadable_letter(content, error, DELIVERIES, notifier.clock.now()))
        return Acknowledged("dead_lettered", code=error.code, reason=error.detail)
    # The lease alone is not enough: it ends early where the clock is set ahead or the process was paused.
    if delivery.id in notifier.under_way:
        return Nacked("busy", delivery, reason="this worker has it")
    if DUE not in push.attributes and PUT_BACK not in push.attributes:
        notifier.gate.note_arrival(_waited_seconds(document, notifier.clock.now()))
    notifier.under_way.add(delivery.id)
    try:
        return await _deliver(notifier, push, delivery)
    finally:
        notifier.under_way.remove(delivery.id)


def _waited_seconds(document: Json, now: float) -> float:
    """Return how long the message was on its way. It has the time at which it was made."""
    time = document.get("time") if isinstance(document, dict) else None
    try:
        return now - unix_seconds(time) if isinstance(time, str) else 0.0
    except ValueError:
        return 0.0


async def _deliver(notifier: Notifier, push: Push, delivery: Delivery) -> Result:
    if delivery.destination == ROUTE_ITSELF:
        from functions.notify.waiting.routes import take_waiting_route  # few configurations have steps that ask

        answer = await take_waiting_route(notifier, push, delivery, _number(push.attributes.get(DUE, "")))
        return answer if isinstance(answer, Result) else await _handle_unclaimed(notifier, delivery, push, answer)
    configured = notifier.destinations.configured.get(delivery.destination)
    if configured is not None and configured.alerts is not None:
        configured = configured.for_delivery(delivery)
    destination = notifier.destinations.connected(configured) if configured else None
    rejection: Rejection = ("unknown_destination", f"the configuration has no destination {delivery.destination!r}")
    if configured is None and notifier.endpoints:
        configured, destination, rejection = await notifier.endpoints.resolve(delivery)
        if configured is not None and push.attributes.get("attempt") == "now":
            await notifier.states.end_pause(configured.name)
    if configured is not None and configured.gather is not None:
        result = await _gather(notifier, push, delivery, configured)
        if result is not None:
            return result
    if configured is None or destination is None:
        work = await _claim(notifier, push, delivery, LEASE_MARGIN_SECONDS)
        return work if isinstance(work, Result) else await give_up(notifier, work, *rejection)
    turns = _number(push.attributes.get(PUT_BACK, "")) or 0
    group = group_of(configured, destination, delivery)
    lane = configured.name if configured.endpoints is None else group  # a large tenant's fan-out slows down no other's
    turn = await notifier.gate.enter(delivery.id, lane, group, turns)
    if turn is None:
        result = None
        try:
            turn = await _lease(notifier, configured, lane, group, turns)
            if turn is None:
                result = await _claim_and_try(notifier, push, delivery, configured, destination)
                return result
        finally:
            notifier.gate.leave(delivery.id, has_failed=result.has_failed if result else None)
            if notifier.instances:
                await notifier.instances.leave(lane)
    reason = _place_reason(notifier, configured, lane, turn)
    if turn.health != "troubled" and turns < MAX_PUT_BACKS and notifier.bus.max_delay_seconds:
        return await _put_back(notifier, push, delivery, turn, turns, reason)
    return await _claim_and_try(notifier, push, delivery, configured, destination, Closed(turn.at, reason))


def _place_reason(notifier: Notifier, configured: Configured, lane: str, turn: Turn) -> str:
    """Return why the delivery has no place in this process."""
    receiver = "destination" if configured.health is None else "endpoint"
    if turn.health == "healthy":
        return f"earlier deliveries to this {receiver} use its whole share of the capacity"
    if turn.health == "troubled" and notifier.gate.is_answering(lane):  # it answers, with failures
        return f"attempts at this {receiver} are failing, so only a few run at a time"
    return f"attempts at this {receiver} are still running without an answer"


async def _lease(notifier: Notifier, configured: Configured, lane: str, group: str, turns: int) -> Turn | None:
    """Return None if this instance may try the destination, or when the delivery comes back. Raises Temporary.

    A fan-out calls nobody, and a paused destination is not tried. An endpoint needs a lease only where it is known to
    fail: an event for thousands of new endpoints would write as many leases.
    """
    if notifier.instances is None or configured.endpoints is not None:
        return None
    health = configured.health
    if health is not None and not health.is_failing and notifier.gate.health(lane) == "new":
        return None
    state = await notifier.states.state(configured.name)
    if state.disabled_reason is not None or (state.paused_until or 0.0) > notifier.clock.now():
        return None
    if turn := await notifier.instances.enter_flood(lane, group, configured.timeout_seconds, turns):
        return turn
    is_troubled = state.paused_until is not None  # the pause is over, and one delivery is tried first
    return await notifier.instances.enter(lane, configured.timeout_seconds, turns, is_troubled=is_troubled)


async def _put_back(notifier: Notifier, push: Push, delivery: Delivery, turn: Turn, turns: int, reason: str) -> Result:
    """Publish the message again, to come at its turn, and acknowledge this one: the ledger has no row of it yet.

    It is no nack, because a nack slows down the whole subscription and counts towards the bus's tries.
    """
    attributes = {**push.attributes, PUT_BACK: str(turns + 1)}
    delay = max(0.0, turn.at - notifier.clock.now())  # the clock may have been set ahead
    again = BusMessage(push.data, attributes, delay)
    await notifier.bus.publish(DELIVERIES, [again])
    return Acknowledged("deferred", delivery, reason=reason)


async def _claim(notifier: Notifier, push: Push, delivery: Delivery, lease_seconds: float) -> Work | Result:
    """Claim the delivery. Return the result where another claim or an earlier outcome stands against it."""
    due_fence = _number(push.attributes.get(DUE, ""))
    claim = await notifier.ledger.claim(delivery, push.data, notifier.clock.now(), lease_seconds, due_fence)
    if isinstance(claim, Finished):
        claim = await _reopen(notifier, push, delivery, lease_seconds)
    if not isinstance(claim, Claimed):
        return await _handle_unclaimed(notifier, delivery, push, claim)
    is_suspect = claim.row.state == CLAIMED
    return Work(delivery, push.data, claim, claim.row.attempt_number + is_suspect)


async def _claim_and_try(
    notifier: Notifier,
    push: Push,
    delivery: Delivery,
    configured: Configured,
    destination: Destination,
    closed: Closed | None = None,
) -> Result:
    """Attempt the delivery once, unless something is against it. `closed`: it has no place in this process."""
    work = await _claim(notifier, push, delivery, LEASE_MARGIN_SECONDS + configured.timeout_seconds)
    if isinstance(work, Result):
        return work
    work.closed = closed
    if work.claim.row.state != CLAIMED:
        return await _try_once(notifier, work, configured, destination)
    # The last attempt at this delivery left no record, so it may have crashed the worker. Such deliveries run one at a
    # time: otherwise a crash would also count against the harmless ones that ran beside it.
    try:
        await asyncio.wait_for(notifier.suspects.acquire(), SUSPECT_SECONDS)
    except TimeoutError:  # the one before it hangs: this one gives its place to others meanwhile
        at = notifier.clock.now() + spread(SUSPECT_WAIT_SECONDS, delivery.id, 0)
        return await wait(notifier, work, configured, at, "a delivery that may have ended the worker is tried first")
    try:
        return await _try_once(notifier, work, configured, destination)
    finally:
        notifier.suspects.release()


def group_of(configured: Configured, destination: Destination, delivery: Delivery) -> str:
    """Return for whom the delivery is: a tenant, a key of `per`, or a source, each at one destination."""
    if configured.health is not None:  # an endpoint, whose name is destination:tenant:endpoint
        return configured.name.rpartition(SEPARATOR)[0]
    if configured.endpoints is not None:
        return f"{configured.name}{SEPARATOR}{cast('FanOut', destination).tenant_of(delivery)}"
    if configured.per is not None:
        return bucket_name(configured, delivery)
    return f"{configured.name} {delivery.event.source}"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _gather(notifier: Notifier, push: Push, delivery: Delivery, configured: Configured) -> Result | None:
    """Let the delivery wait for others. Return None if it is to be claimed."""
    from functions.notify.digests.arrival import gather  # few destinations gather

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
        result.has_failed = has_failed(outcome)
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
        notifier.gate.begin(work.delivery.id)
        try:
            outcome = await attempt_once(destination, work.delivery, attempt, notifier.deadlines)
        except Temporary as error:
            if error.code not in BUSY_CODES:
                raise
            age = started - row.created_at
            if age < MAX_BUSY_AGE_SECONDS:
                return await _wait_while_busy(notifier, work, configured, error.detail, age)
            outcome = RetryLater(error.detail)  # so that its schedule ends at last
    except Temporary:
        # Nothing was sent, so this attempt does not count.
        await notifier.persist(work.claim, lambda: notifier.ledger.give_back(work.claim, notifier.clock.now()))
        raise
    return outcome, attempt_entry(row, work.attempt_number, outcome, started, notifier.clock.now())


async def _wait_while_busy(
    notifier: Notifier, work: Work, configured: Configured, reason: str, age_seconds: float
) -> Result:
    """Let the delivery wait, without an attempt that counts: its destination was too slow for anything to be sent."""
    seconds = max(BUSY_SECONDS, BUSY_PART * age_seconds)
    at = notifier.clock.now() + spread(seconds, work.claim.row.key, work.attempt_number)
    result = await wait(notifier, work, configured, at, reason)
    result.has_failed = True
    return result


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
        from functions.notify.digests.arrival import keep_back  # few destinations gather

        if result := await keep_back(notifier, work, configured):
            return result
    breaker = notifier.breakers
    if closed := await breaker.enter(configured, work.delivery, row.slot_at):
        return await _wait_at_gate(notifier, work, configured, closed)
    entered.append(breaker)
    if work.closed is not None:
        return await _wait_at_gate(notifier, work, configured, work.closed)
    for gate in notifier.gates:
        if closed := await gate.enter(configured, work.delivery, row.slot_at):
            return await _wait_at_gate(notifier, work, configured, closed)
        entered.append(gate)
    return None


async def _wait_at_gate(notifier: Notifier, work: Work, configured: Configured, closed: Closed) -> Result:
    if closed.gathers:
        from functions.notify.digests.arrival import wait_for_rate

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
    from functions.notify.recipients.recipient import NoRecipient  # few destinations need it

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
