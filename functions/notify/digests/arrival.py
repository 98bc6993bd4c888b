"""Deliveries that come to a destination which gathers: they wait in a group instead of being attempted."""

from typing import TYPE_CHECKING, Final, NamedTuple

from functions.notify.digests.settings import MAX_MESSAGE_BYTES, gathered_until, group_of, key_of, quiet_end, spread_of
from functions.notify.notifier import Notifier, Result, Work
from functions.notify.registry import Configured
from functions.notify.settle import let_wait
from functions.notify.waiting.due import DUE
from functions.notify.waiting.schedule import expires_at
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import event_json
from shared.ledger import Claimed, Finished, Unclaimed
from shared.push import Push

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

COALESCED: Final = "it waits for further events of its key"
DIGEST: Final = "it waits for the next digest"
QUIET: Final = "it waits for the end of the quiet hours"


async def gather(notifier: Notifier, push: Push, delivery: Delivery, configured: Configured) -> Unclaimed | None:
    """Let the delivery wait in its group. Return None if it is to be claimed instead. Raises Temporary.

    A message of the sweep is for `claim`: it brings what waited by itself.
    """
    if DUE in push.attributes or not can_be_gathered(delivery, push.data):
        return None
    person: Person | None = None
    if configured.recipient is not None:
        assert notifier.recipients is not None  # wiring makes them if any destination has a recipient
        try:
            person = await notifier.recipients.person(configured, delivery)
        except (Permanent, Temporary):
            return None  # it is claimed, and what follows is decided there
    now = notifier.clock.now()
    wait = wait_in_group(configured, delivery, now, person)
    if wait is None:
        return None
    claim = await notifier.ledger.gather(delivery, push.data, wait.group, wait.reason, now, wait.until)
    if isinstance(claim, Finished) and push.attributes.get("force") == "true":
        replay = push.attributes.get("replay")
        if replay and await notifier.ledger.reopen(delivery.id, now, replay) is not None:
            claim = await notifier.ledger.gather(delivery, push.data, wait.group, wait.reason, now, wait.until)
    return None if isinstance(claim, Claimed) else claim


async def keep_back(notifier: Notifier, work: Work, configured: Configured) -> Result | None:
    """Let a claimed delivery wait; None if it may be attempted. Its recipient is known. Raises Temporary.

    A delivery that is not gathered waits alone for the end of the quiet hours, or expires.
    """
    settings, now = configured.gather, notifier.clock.now()
    assert settings is not None
    if can_be_gathered(work.delivery, work.claim.message):
        wait = wait_in_group(configured, work.delivery, now, work.person)
        if wait is not None:
            return await let_wait(notifier, work, configured, wait.until, wait.reason, group=wait.group)
    timezone = work.person.timezone if work.person else None
    end = quiet_end(settings.quiet_hours, now, timezone) if settings.quiet_hours else None
    return None if end is None else await let_wait(notifier, work, configured, end, QUIET)


async def wait_for_rate(
    notifier: Notifier, work: Work, configured: Configured, until: float, reason: str
) -> Result | None:
    """Let a claimed delivery that is over the rate wait for a digest; None if it has to queue."""
    settings = configured.gather
    if settings is None or not settings.is_rated or not can_be_gathered(work.delivery, work.claim.message):
        return None
    group = group_of(settings, work.delivery, work.person.name if work.person else None)
    at = until + spread_of(settings, work.delivery.id)
    return await let_wait(notifier, work, configured, at, f"{reason}; {DIGEST}", group=group)


def can_be_gathered(delivery: Delivery, message: bytes) -> bool:
    """Return whether the record of a group can hold the delivery, as it came and as we would write its event.

    A number such as 1e15 is written in four times its length, and 1e999 not at all. What is gathered already cannot.
    """
    if delivery.merged or len(message) > MAX_MESSAGE_BYTES:
        return False
    try:
        return len(event_json(delivery.event)) <= MAX_MESSAGE_BYTES
    except (ValueError, RecursionError):
        return False


class GroupWait(NamedTuple):
    """The group in which a delivery waits, until when, in Unix seconds, and why."""

    group: str
    until: float
    reason: str


def wait_in_group(configured: Configured, delivery: Delivery, now: float, person: "Person | None") -> GroupWait | None:
    """Return how the delivery waits for others; None if it need not wait, or would expire. `person`: the recipient."""
    settings = configured.gather
    assert settings is not None
    if settings.coalesce is not None and key_of(settings.coalesce.by, delivery.event) is None:
        return None
    until = gathered_until(settings, now, person.timezone if person else None)
    if until is None:
        return None
    until += spread_of(settings, delivery.id)
    expires_after = configured.expires_after_seconds
    if expires_after is not None and until >= expires_at(delivery.event, expires_after):
        return None
    if settings.coalesce:
        reason = COALESCED
    elif settings.digest:
        reason = DIGEST
    else:
        reason = QUIET
    return GroupWait(group_of(settings, delivery, person.name if person else None), until, reason)
