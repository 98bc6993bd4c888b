"""Changes of a hook that the provider lists, and the extension of its life.

Each function raises CommandError and Temporary, and LostAnswer if it is not known whether the provider made the change.
The row must be locked.
"""

from dataclasses import replace

from deploy.hooks.comparison import RememberedHook
from deploy.hooks.kind import Hook, Wanted
from deploy.hooks.placed_hook import PlacedHook
from deploy.terminal.command_line import CommandError


async def change(place: PlacedHook, hook: Hook) -> None:
    """Change the hook as wanted, and adopt it if it is not remembered. At a single place, this also creates it.

    The steps, each of which another command can continue: wait until instances accept the secret, store what the
    request will set, send it, and store the result.
    """
    session = place.session
    before = place.remembered_or_none
    is_remembered = before is not None and before.is_same(place.kind, hook)
    is_new = not hook.url  # a single place lists its hook without a URL until somebody has set one
    remembered = before if before and is_remembered else _adopted(place, hook, is_new=is_new)
    await session.row.save()  # renews the lock, and fails if another command has changed the row
    wanted = session.wanted_with_secret()
    # A provider that makes the secret keeps it. Any other gets our newest value.
    new_secret = remembered.secret if place.kind.makes_secret else session.fingerprint(wanted.secret)
    changes_secret = remembered.secret != new_secret
    if wanted.secret and changes_secret:
        # After a lost answer, the secret may be as new as the command that stored it.
        await place.wait_until_accepted(may_be_new=is_remembered and not is_new)
        if await place.url_of(hook.id) != hook.url:
            raise place.changed_meanwhile()
    unanswered = replace(
        remembered,
        url=hook.url if hook.url in remembered.urls else remembered.url,
        new_url=wanted.url,
        secret="" if changes_secret else new_secret,  # unknown, because the answer may be lost
    )
    await place.remember(unanswered)
    await _send_change(place, hook, wanted, before)
    expires_at = hook.expires_at or 0.0
    await place.remember(
        replace(remembered, id=hook.id, url=wanted.url, new_url="", secret=new_secret, expires_at=expires_at)
    )
    session.show(f"{place.name}: {'registered' if is_new else 'changed'}")


def _adopted(place: PlacedHook, hook: Hook, *, is_new: bool) -> RememberedHook:
    """Return what to remember of a hook that is adopted. Its secret is not known.

    `remove` may delete it if the change is what creates it, or if Hookchain made it for another place or source.
    """
    is_made_elsewhere = any(each.remembered.is_made for each in place.remembered_elsewhere(hook))
    return RememberedHook(hook.id, is_made=(is_new and place.kind.can_delete) or is_made_elsewhere)


async def _send_change(place: PlacedHook, listed: Hook, wanted: Wanted, before: RememberedHook | None) -> None:
    """Change `listed`, and verify that the provider shows the new URL.

    If the provider rejects the request, remember `before` again.
    """
    try:
        place.verify_secret(wanted)
        await place.session.api.change(place.at, wanted, listed)  # if its answer is lost, it can be sent again
    except CommandError:
        await place.remember(before)
        raise
    if listed.url != wanted.url and await place.url_of(listed.id) != wanted.url:
        rule = f"{place.name}: {place.kind.title} does not show the URL {wanted.url} yet"
        raise CommandError(f"{rule}, although it answered that the hook was changed. Run the command again")


async def extend(place: PlacedHook, hook: Hook) -> None:
    """Extend the life of a hook that expires, and remember the new expiry."""
    expires_at = await place.session.api.extend(place.at, hook)
    await place.remember(replace(place.remembered, expires_at=expires_at))
    place.session.show(f"{place.name}: extended")
