"""Deliveries that come to a destination which gathers: they wait in a group instead of being attempted."""

from typing import Final

from functions.notify.digests.settings import (
    MAX_MESSAGE_BYTES,
    GatherSettings,
    gathered_until,
    group_of,
    key_of,
    quiet_end,
    spread_of,
)
from functions.notify.notifier import Notifier, Result, Work
from functions.notify.registry import Configured
from functions.notify.settle import let_wait
from functions.notify.waiting.schedule import DUE, expires_at
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import event_json
from shared.ledger import Claimed, Finished, Unclaimed
from shared.push import Push

COALESCED: Final = "it waits for further events of its key"
DIGEST: Final = "it waits for the next digest"
QUIET: Final = "it waits for the end of the quiet hours"


async def gather(notifier: Notifier, push: Push, delivery: Delivery, configured: Configured) -> Unclaimed | None:
    """Let the delivery wait in its group. Return None if it is to be claimed instead. Raises Temporary.

    A message of the sweep is for `claim`: it brings what waited by itself.
    """
    if delivery.merged or DUE in push.attributes or not has_room(delivery, push.data):
        return None
    try:
        person, timezone = await _recipient(notifier, configured, delivery)
    except (Permanent, Temporary):
        return None  # it is claimed, and what follows is decided there
    now = notifier.clock.now()
    found = place_of(configured, delivery, now, person, timezone)
    if found is None:
        return None
    group, until, reason = found
    claim = await notifier.ledger.gather(delivery, push.data, group, reason, now, until)
    if isinstance(claim, Finished) and push.attributes.get("force") == "true":
        replay = push.attributes.get("replay")
        if replay and await notifier.ledger.reopen(delivery.id, now, replay) is not None:
            claim = await notifier.ledger.gather(delivery, push.data, group, reason, now, until)
    return None if isinstance(claim, Claimed) else claim


async def keep_back(notifier: Notifier, work: Work, configured: Configured) -> Result | None:
    """Let a claimed delivery wait; None if it may be attempted. Its recipient is known. Raises Temporary.

    What is not to be gathered waits for the end of the quiet hours by itself, or expires.
    """
    settings, now = configured.gather, notifier.clock.now()
    assert settings is not None
    timezone = work.person.timezone if work.person else None
    found = None
    if not work.delivery.merged and has_room(work.delivery, work.claim.message):
        found = place_of(configured, work.delivery, now, work.person.name if work.person else None, timezone)
    if found is None:
        hours = settings.quiet_hours
        if hours is None or (end := quiet_end(hours, now, timezone)) is None:
            return None
        return await let_wait(notifier, work, configured, end, QUIET)
    group, until, reason = found
    return await let_wait(notifier, work, configured, until, reason, group=group)


async def wait_for_rate(
    notifier: Notifier, work: Work, configured: Configured, until: float, reason: str
) -> Result | None:
    """Let a claimed delivery that is over the rate wait for a digest; None if it has to queue."""
    settings = configured.gather
    if (
        settings is None
        or not settings.is_rated
        or work.delivery.merged
        or not has_room(work.delivery, work.claim.message)
    ):
        return None
    group = group_of(settings, work.delivery, work.person.name if work.person else None)
    at = until + spread_of(settings, work.delivery.id)
    return await let_wait(notifier, work, configured, at, f"{reason}; {DIGEST}", group=group)


def has_room(delivery: Delivery, message: bytes) -> bool:
    """Return whether the record of a group can hold the delivery, as it came and as we would write its event.

    A number such as 1e15 is written in four times its length, and 1e999 not at all.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        return False
    try:
        return len(event_json(delivery.event)) <= MAX_MESSAGE_BYTES
    except (ValueError, RecursionError):
        return False


def place_of(
    configured: Configured, delivery: Delivery, now: float, person: str | None, timezone: str | None
) -> tuple[str, float, str] | None:
    """Return the group, until when the delivery waits in it, and why; None if it need not wait, or expires."""
    settings = configured.gather
    assert settings is not None
    if settings.coalesce is not None and key_of(settings.coalesce.by, delivery.event) is None:
        return None
    until = gathered_until(settings, now, timezone)
    if until is None:
        return None
    until += spread_of(settings, delivery.id)
    expires_after = configured.expires_after_seconds
    if expires_after is not None and until >= expires_at(delivery.event, expires_after):
        return None
    return group_of(settings, delivery, person), until, _reason(settings)


def _reason(settings: GatherSettings) -> str:
    if settings.coalesce is not None:
        return COALESCED
    return DIGEST if settings.digest is not None else QUIET


async def _recipient(notifier: Notifier, configured: Configured, delivery: Delivery) -> tuple[str | None, str | None]:
    """Return the name and the time zone of the recipient, where `to` names a person.

    Raises Temporary, and Permanent where there is none.
    """
    if configured.recipient is None:
        return None, None
    if notifier.recipients is None:
        raise Temporary("destination_not_loaded", "notify's slice has no `people`; bundle it again")
    from functions.notify.recipients.people import Person  # few destinations need it

    found = await notifier.recipients.recipient_of(configured, delivery)
    if not isinstance(found, Person):
        raise Permanent("unknown_person", found.reason)
    return found.name, found.timezone
