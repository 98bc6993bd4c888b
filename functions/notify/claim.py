"""Claiming a delivery in the ledger, and the result where another claim or an earlier outcome stands against it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from functions.notify.dead_letters import conflict_letter, publish_dead_letter
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.waiting.due import DUE
from shared import ledger, ledger_rules, outcomes
from shared.delivery import Delivery
from shared.push import Push

LEASE_MARGIN_SECONDS: Final = 30.0
"""How much longer the lease of a claim is than the attempt may take."""
REOPENED_STATES: Final[Mapping[str, frozenset[outcomes.DeliveryState] | None]] = MappingProxyType(
    {"true": None, "failed": frozenset({ledger_rules.DEAD_LETTERED})}
)
"""The states in which a replay reopens a delivery, by its attribute `force`; None: all that are final."""


async def claim_delivery(
    notifier: Notifier, push: Push, delivery: Delivery, timeout_seconds: float = 0.0
) -> Work | Result:
    """Claim the delivery for one attempt. Return the result where it cannot be claimed. Raises Temporary."""
    now = notifier.clock.now()
    due_fence = number_in(push.attributes, DUE)
    lease_seconds = timeout_seconds + LEASE_MARGIN_SECONDS
    claim = await notifier.ledger.claim(delivery, push.data, now, lease_seconds, due_fence)
    if isinstance(claim, ledger.Finished):
        claim = await _reopen(notifier, push, delivery, lease_seconds)
    if not isinstance(claim, ledger.Claimed):
        return await unclaimed_result(notifier, push, delivery, claim)
    is_suspect = claim.row.state == ledger_rules.CLAIMED
    return Work(delivery, claim, claim.row.attempt_number + is_suspect)


async def _reopen(notifier: Notifier, push: Push, delivery: Delivery, lease_seconds: float) -> ledger.Claim:
    """Reopen a final delivery once for a forced replay, and claim it. `force: failed` reopens only dead letters."""
    replay, force = push.attributes.get("replay"), push.attributes.get("force", "")
    now = notifier.clock.now()
    if not replay or force not in REOPENED_STATES:
        return ledger.Finished()
    if await notifier.ledger.reopen(delivery.id, now, replay, REOPENED_STATES[force]) is None:
        return ledger.Finished()
    return await notifier.ledger.claim(delivery, push.data, now, lease_seconds)


async def unclaimed_result(notifier: Notifier, push: Push, delivery: Delivery, claim: ledger.Unclaimed) -> Result:
    """Return the result for a delivery that cannot be claimed. A conflict is a dead letter. Raises Temporary."""
    if isinstance(claim, ledger.Busy):
        return Nacked("busy", delivery, reason="another worker has it")
    if isinstance(claim, ledger.Conflict):
        letter = conflict_letter(delivery, push.data, notifier.clock.now())
        await publish_dead_letter(notifier.bus, letter)
        return Acknowledged("dead_lettered", delivery, code=letter.code, reason=letter.reason)
    if isinstance(claim, ledger.Gathered):
        return Acknowledged("gathered", delivery)
    if isinstance(claim, ledger.Waiting):
        return Acknowledged("waiting", delivery)
    return Acknowledged("finished", delivery, reason="the delivery has ended before: nothing is sent again")


def number_in(attributes: Mapping[str, str], name: str) -> int | None:
    """Return the whole number in an attribute of a message; None where there is none."""
    text = attributes.get(name)
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
