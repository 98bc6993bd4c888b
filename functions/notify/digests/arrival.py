"""Let deliveries to a destination that gathers wait in a group, instead of attempting them one by one."""

from typing import TYPE_CHECKING, Final, NamedTuple

from functions.notify.digests.settings import MAX_MESSAGE_BYTES, gathered_until, group_of, key_of, quiet_end, spread_of
from functions.notify.notifier import Notifier, Result, Work
from functions.notify.registry import Configured
from functions.notify.settle import schedule_attempt
from functions.notify.waiting.due import DUE
from functions.notify.waiting.schedule import expires_at
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import event_json
from shared.ledger import Claimed, Finished, Unclaimed
from shared.push import Push

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

# The reasons that an operator sees for the wait:
COALESCED: Final = "it waits for further events of its key"
DIGEST: Final = "it waits for the next digest"
QUIET: Final = "it waits for the end of the quiet hours"


async def gather(notifier: Notifier, push: Push, delivery: Delivery, configured: Configured) -> Unclaimed | None:
    """Let a new delivery wait in its group. Return None if it must be claimed instead. Raises Temporary."""
    # DUE marks a message of the sweep: its delivery has a row already, and is claimed.
    if DUE in push.attributes or not can_be_gathered(delivery, push.data):
        return None
    person: Person | None = None
    if configured.recipient is not None:
        assert notifier.recipients is not None  # wiring makes them if any destination has a recipient
        try:
            person = await notifier.recipients.person(configured, delivery)
        except (Permanent, Temporary):
            return None  # the claimed delivery looks for its recipient again, and ends or waits with the reason
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
    """Let a claimed delivery wait, and return the result. Return None if it may be attempted. Raises Temporary.

    Its recipient has been found already. A delivery that cannot be gathered waits alone for the end of the quiet hours.
    """
    settings = configured.gather
    now = notifier.clock.now()
    assert settings is not None
    if can_be_gathered(work.delivery, work.claim.message):
        wait = wait_in_group(configured, work.delivery, now, work.person)
        if wait is not None:
            return await schedule_attempt(notifier, work, configured, wait.until, wait.reason, group=wait.group)
    timezone = work.person.timezone if work.person else None
    end = quiet_end(settings.quiet_hours, now, timezone) if settings.quiet_hours else None
    return None if end is None else await schedule_attempt(notifier, work, configured, end, QUIET)


async def wait_for_rate(
    notifier: Notifier, work: Work, configured: Configured, until: float, reason: str
) -> Result | None:
    """Let a claimed delivery that is over the rate wait for a digest, and return the result. Raises Temporary.

    Return None if it cannot be gathered: then it waits by itself.
    """
    settings = configured.gather
    if settings is None or not settings.is_rated or not can_be_gathered(work.delivery, work.claim.message):
        return None
    group = group_of(settings, work.delivery, work.person.name if work.person else None)
    at = until + spread_of(settings, work.delivery.id)
    return await schedule_attempt(notifier, work, configured, at, f"{reason}; {DIGEST}", group=group)


def can_be_gathered(delivery: Delivery, message: bytes) -> bool:
    """Return whether the record of a group has room for the delivery, as it came and with its event written again.

    An event that is written again may be longer: 1e15 gets 18 characters, and 1e999 cannot be written at all.
    """
    if delivery.merged or len(message) > MAX_MESSAGE_BYTES:  # a digest is not gathered again
        return False
    try:
        return len(event_json(delivery.event)) <= MAX_MESSAGE_BYTES
    except (ValueError, RecursionError):
        return False


class GroupWait(NamedTuple):
    """The wait of a delivery in a group. `until` is in Unix seconds, and `reason` is for people."""

    group: str
    until: float
    reason: str


def wait_in_group(configured: Configured, delivery: Delivery, now: float, person: "Person | None") -> GroupWait | None:
    """Return how the delivery waits for others; None if it need not wait, or would expire while it waits.

    `person` is the recipient.
    """
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
