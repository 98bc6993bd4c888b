"""Claim a delivery in the ledger, so that one worker at a time attempts it.

A claim is a lease: until it ends, no other worker can claim the delivery. If the worker dies, the bus brings the
message to another one. A delivery that ended before is claimed again only for a forced replay.
"""

from collections.abc import Mapping
from typing import Final

from functions.notify import dead_letters
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.waiting import due
from shared import ledger, ledger_rules, outcomes
from shared.delivery import Delivery
from shared.push import Push

LEASE_MARGIN_SECONDS: Final = 30.0
"""How much longer the lease of a claim is than the timeout: for the checks, a wait for a slot, and recording."""
REOPENED_STATES: Final[Mapping[str, frozenset[outcomes.DeliveryState] | None]] = {
    "true": None,
    "failed": frozenset({ledger_rules.DEAD_LETTERED}),
}
"""The states in which a replay reopens a delivery, by its attribute `force`; None: all that are final."""


async def claim_delivery(
    notifier: Notifier, push: Push, delivery: Delivery, timeout_seconds: float = 0.0
) -> Work | Result:
    """Claim the delivery for one attempt. Return the result if it cannot be claimed. Raises Temporary."""
    now = notifier.clock.now()
    due_fence = push.number(due.DUE)  # in the message of a sweep: it claims the delivery only if nothing changed since
    lease_seconds = timeout_seconds + LEASE_MARGIN_SECONDS
    claim = await notifier.ledger.claim(delivery, push.data, now, lease_seconds, due_fence)
    if isinstance(claim, ledger.Finished) and await reopen_for_replay(notifier, push, delivery):
        claim = await notifier.ledger.claim(delivery, push.data, notifier.clock.now(), lease_seconds)
    if not isinstance(claim, ledger.Claimed):
        return await unclaimed_result(notifier, push, delivery, claim)
    attempt_number = claim.row.attempt_number
    if claim.row.crashes:
        attempt_number += 1  # the row has the number of the attempt without a record, which counts, too
    return Work(delivery, claim, attempt_number)


async def reopen_for_replay(notifier: Notifier, push: Push, delivery: Delivery) -> bool:
    """Reopen a final delivery if the message is a forced replay of it. Return whether that was done, once for a replay.

    `force: failed` reopens only dead letters. Raises Temporary.
    """
    replay = push.attributes.get("replay")
    force = push.attributes.get("force", "")
    if not replay or force not in REOPENED_STATES:
        return False
    states = REOPENED_STATES[force]
    return await notifier.ledger.reopen(delivery.id, notifier.clock.now(), replay, states) is not None


async def unclaimed_result(notifier: Notifier, push: Push, delivery: Delivery, claim: ledger.Unclaimed) -> Result:
    """Return the result for a delivery that cannot be claimed. A conflict is a dead letter. Raises Temporary."""
    if isinstance(claim, ledger.Busy):
        return Nacked("busy", delivery, reason="another worker has it")
    if isinstance(claim, ledger.Conflict):
        letter = dead_letters.conflict_letter(delivery, push.data, notifier.clock.now())
        await dead_letters.publish_dead_letter(notifier.bus, letter)
        return Acknowledged("dead_lettered", delivery, code=letter.code, reason=letter.reason)
    if isinstance(claim, ledger.Gathered):
        return Acknowledged("gathered", delivery)
    if isinstance(claim, ledger.Waiting):
        return Acknowledged("waiting", delivery)
    return Acknowledged("finished", delivery, reason="the delivery has ended before: nothing is sent again")
