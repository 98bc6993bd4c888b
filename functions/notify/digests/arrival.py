"""Let deliveries to a destination that gathers wait in a group, instead of attempting them one by one."""

from typing import TYPE_CHECKING, Final

from functions.notify.claims import reopen_for_replay
from functions.notify.digests.quiet_hours import quiet_end
from functions.notify.digests.settings import MAX_MESSAGE_BYTES, gathered_until, group_of, spread_delay
from functions.notify.notifier import Notifier, Work
from functions.notify.registry import DeliveryOptions
from functions.notify.waiting.due import DUE
from functions.notify.waiting.schedule import Wait
from shared import errors, event, ledger
from shared.delivery import Delivery
from shared.push import Push

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

# The reasons that an operator sees for the wait:
COALESCED: Final = "it waits for further events of its key"
DIGEST: Final = "it waits for the next digest"
QUIET: Final = "it waits for the end of the quiet hours"
AND_QUIET: Final = " and the end of the quiet hours"


async def gather(
    notifier: Notifier, push: Push, delivery: Delivery, configured: DeliveryOptions
) -> ledger.Unclaimed | None:
    """Let a new delivery wait in its group, and return what the ledger says. Raises Temporary.

    Return None if the delivery must be claimed instead. Nothing was written then.
    """
    # DUE marks a message of the sweep: its delivery has a row already, and is claimed.
    if DUE in push.attributes or not can_be_gathered(delivery, push.data):
        return None
    person: Person | None = None
    if configured.recipient is not None:
        assert notifier.recipients is not None  # wiring makes them if any destination has a recipient
        try:
            person = await notifier.recipients.require_person(configured, delivery)
        except (errors.Permanent, errors.Temporary):
            return None  # the claimed delivery looks for its recipient again, and ends or waits with the reason
    now = notifier.clock.now()
    wait = wait_in_group(configured, delivery, now, person)
    if wait is None:
        return None
    claim = await notifier.ledger.gather(delivery, push.data, wait.group, wait.reason, now, wait.until)
    if isinstance(claim, ledger.Finished) and await reopen_for_replay(notifier, push, delivery):
        claim = await notifier.ledger.gather(delivery, push.data, wait.group, wait.reason, now, wait.until)
    return None if isinstance(claim, ledger.Claimed) else claim


def wait_of_claimed(configured: DeliveryOptions, work: Work, now: float) -> Wait | None:
    """Return the wait of a claimed delivery; None if it need not wait. Its recipient has been found already.

    A delivery that cannot be gathered waits alone for the end of the quiet hours.
    """
    settings = configured.gather
    assert settings is not None
    if can_be_gathered(work.delivery, work.claim.message):
        wait = wait_in_group(configured, work.delivery, now, work.person)
        if wait is not None:
            return wait
    timezone = work.person.timezone if work.person else None
    end = quiet_end(settings.quiet_hours, now, timezone) if settings.quiet_hours else None
    return None if end is None else Wait(end, QUIET)


def wait_over_rate(configured: DeliveryOptions, work: Work, wait: Wait) -> Wait:
    """Return the wait for a digest instead of `wait`, for a claimed delivery that is over the rate of its destination.

    Return `wait` itself if the delivery cannot be gathered.
    """
    settings = configured.gather
    if settings is None or not settings.is_rated or not can_be_gathered(work.delivery, work.claim.message):
        return wait
    group = group_of(settings, work.delivery, work.person.name if work.person else None)
    until = wait.until + spread_delay(settings, work.delivery.id)
    return Wait(until, f"{wait.reason}; {DIGEST}", group=group)


def can_be_gathered(delivery: Delivery, message: bytes) -> bool:
    """Return whether the record of a group has room for the delivery, as it came and with its event written again.

    An event that is written again may be longer: 1e15 gets 18 characters, and 1e999 cannot be written at all.
    """
    if delivery.merged or len(message) > MAX_MESSAGE_BYTES:  # a digest is not gathered again
        return False
    try:
        return len(event.event_json(delivery.event)) <= MAX_MESSAGE_BYTES
    except (ValueError, RecursionError):
        return False


def wait_in_group(configured: DeliveryOptions, delivery: Delivery, now: float, person: "Person | None") -> Wait | None:
    """Return the wait of the delivery in its group; None if it need not wait, or would expire while it waits.

    `person` is the recipient.
    """
    settings = configured.gather
    assert settings is not None
    if settings.coalesce is not None and settings.key(delivery.event) is None:
        return None
    without_quiet_hours = gathered_until(settings._replace(quiet_hours=None), now)
    until = gathered_until(settings, now, person.timezone if person else None)
    if until is None:
        return None
    is_quiet_then = until != without_quiet_hours
    until += spread_delay(settings, delivery.id)
    if configured.has_expired(delivery.event, until):
        return None
    if settings.coalesce or settings.digest:
        reason = COALESCED if settings.coalesce else DIGEST
        if is_quiet_then:
            reason += AND_QUIET
    else:
        reason = QUIET
    return Wait(until, reason, group=group_of(settings, delivery, person.name if person else None))
