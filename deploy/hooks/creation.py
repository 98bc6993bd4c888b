"""The creation of a hook, which replaces a former one or is the first at its place.

Each stage is stored before its request is sent. If a command is interrupted, the next one reads from the stage which
requests may have reached the provider, and `finish` continues there. The stages, as in `RememberedHook.stage`:

creating  the request to create the hook may have been sent
created   the hook exists. Its provider made a secret, which is not stored yet
stored    the secret is stored, and instances may not have read it yet
enabled   the hook sends events, and the replaced one still exists
"""

from collections.abc import Collection
from dataclasses import replace

from deploy.hooks import change, comparison, removal
from deploy.hooks.comparison import NONE_REPLACED, RememberedHook, ReplacedHook
from deploy.hooks.kind import Hook
from deploy.hooks.placed_hook import PlacedHook
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import printable


async def create(place: PlacedHook, replaced: Hook | None = None) -> None:
    """Create a hook, then delete the one that it replaces, which sends events until the new one does.

    If we choose the secret, the new hook signs with an accepted value at once, so `creating` is the only stage.

    Raises LostAnswer, CommandError and Temporary.
    """
    session = place.session
    if place.kind.makes_secret:
        session.secret.verify_writable()
    if replaced and not session.is_recovered:
        rule = f"{place.kind.title} may not send again what it could not deliver to the former hook"
        session.show(f"{place.name}: note: {rule}")
    wanted = session.wanted_with_secret()
    if wanted.secret:
        await place.wait_until_accepted()
    listed = await place.hooks()  # after the wait, in which somebody may have made one
    if replaced is None and any(each.url == wanted.url for each in listed):
        raise place.changed_meanwhile()
    before = place.remembered_or_none
    creating = replace(
        _remembered_of(place, replaced),
        stage="creating",
        known=tuple(each.id for each in listed),
        new_url=wanted.url,
        stored_at=session.now(),
    )
    await place.remember(creating)
    try:
        place.verify_secret(wanted)
        hook, made_secret = await session.api.create(place.at, wanted._replace(existing=replaced))
    except CommandError:
        await place.remember(before)
        raise
    if place.kind.makes_secret:
        shown_url = place.our_form(hook.url)
        new = replace(creating, stage="created", new_id=hook.id, new_url=shown_url, expires_at=hook.expires_at or 0.0)
    else:
        secret = session.fingerprint(wanted.secret)
        new = RememberedHook(hook.id, wanted.url, secret, is_made=True, stored_at=creating.stored_at)
    await place.remember(new)
    if fault := await _new_hook_fault(place, hook, creating.known):
        await removal.delete(place, hook)
        await place.remember(before)
        raise CommandError(f"{place.name}: {fault}")
    if place.kind.makes_secret:
        await _store_made_secret(place, new, hook, made_secret)
        await _enable(place)
    else:
        session.show(f"{place.name}: registered")


def _remembered_of(place: PlacedHook, replaced: Hook | None) -> RememberedHook:
    """Return what is remembered of the hook that is replaced. Without one, the id is empty."""
    if replaced is None:
        return RememberedHook(url=place.session.wanted.url)
    remembered = place.remembered_or_none
    if remembered is None or remembered.id != replaced.id:
        return RememberedHook(replaced.id, replaced.url)
    return replace(remembered, url=replaced.url)


async def _new_hook_fault(place: PlacedHook, hook: Hook, known_ids: Collection[str]) -> str:
    """Return why the new hook must be deleted again; empty if it can stay. Raises CommandError and Temporary.

    Two commands that do not share a row may both delete their hooks. The next one then creates a hook.
    """
    wanted_url = place.session.wanted.url
    deleted = "the new one was deleted again"
    if place.our_form(hook.url) != wanted_url:
        rule = f"{place.kind.title} shows the URL of the new hook as {printable(hook.url)}; {deleted}"
        return f"{rule}. Use that URL, or any URL other than {wanted_url}"
    same_url = [each.id for each in await place.hooks() if each.url == wanted_url]
    others = [id for id in same_url if id != hook.id and id not in known_ids]
    if others:
        rule = f"somebody else has created the hook {others[0]} with the same URL meanwhile; {deleted}"
        return f"{rule}. Run the command again"
    return ""


async def _store_made_secret(place: PlacedHook, created: RememberedHook, hook: Hook, secret: str) -> None:
    """Store the secret that the provider made, while the new hook is disabled if the provider can do so."""
    session = place.session
    if place.kind.can_disable:
        await session.api.change(place.at, session.wanted._replace(is_enabled=False), hook)
    session.store_value(secret)
    new_secret = session.fingerprint(secret)
    if not session.has_newest(new_secret):
        raise CommandError(f"{place.name}: the stored secret cannot be read back; the hook stays disabled")
    await place.remember(replace(created, stage="stored", new_secret=new_secret, stored_at=session.now()))
    session.show(f"{place.name}: created; its secret is stored")


async def _enable(place: PlacedHook) -> None:
    """Enable the new hook as soon as every instance accepts its secret. Raises CommandError and Temporary."""
    session = place.session
    stored = place.remembered
    wanted = session.wanted
    await session.wait_for_instances(stored.stored_at)
    if stored.new_secret not in session.fingerprints():
        raise place.changed_meanwhile("its secret has")
    new = next((hook for hook in await place.hooks() if hook.id == stored.new_id), None)
    if new and new.url != wanted.url:
        raise place.changed_meanwhile()
    if place.kind.can_disable:
        await session.api.change(place.at, wanted, Hook(stored.new_id, wanted.url, wanted.events))
    made = RememberedHook(
        stored.new_id,
        wanted.url,
        stored.new_secret,
        is_made=True,
        stored_at=stored.stored_at,
        # The stored expiry may be that of the replaced hook, which notify has renewed meanwhile.
        expires_at=(new.expires_at if new else None) or stored.expires_at,
    )
    await _finish_enabled(place, made, ReplacedHook(stored.id, stored.url))


async def _finish_enabled(place: PlacedHook, made: RememberedHook, replaced: ReplacedHook) -> None:
    """Remember the new hook, then delete the one that it replaces."""
    if replaced.id and replaced.id != made.id:
        await place.remember(replace(made, stage="enabled", replaced=replaced))
        if replaced.url == made.url:  # else the sweep, which looks for one URL, does not find both
            await place.session.wait_for_recovery(made.stored_at)
        await removal.delete_unchanged(place, replaced.id, [replaced.url])
    await place.remember(made)
    place.session.show(f"{place.name}: registered")


async def finish(place: PlacedHook, difference: comparison.Difference) -> None:
    """Continue a creation that was interrupted at any stage. Raises LostAnswer, CommandError and Temporary."""
    session = place.session
    remembered = place.remembered
    await session.row.save()  # renews the lock, and fails if another command has finished it
    if remembered.stage == "enabled":
        await _finish_enabled(place, replace(remembered, stage="", replaced=NONE_REPLACED), remembered.replaced)
        return
    is_secret_stored = remembered.stage == "stored" and session.has_newest(remembered.new_secret)
    if is_secret_stored and await place.url_of(remembered.new_id) == session.wanted.url:
        await _enable(place)
        return
    hooks = [difference.hook] if difference.hook else []
    lost = comparison.lost_creation(hooks, remembered, session.wanted)
    new = lost.hook if lost else None
    if new and not place.kind.makes_secret:
        # The creation has succeeded, but perhaps with a former secret: remember the hook without one, and set it again.
        await place.remember(RememberedHook(new.id, is_made=not difference.is_foreign, new_url=new.url))
        await change.change(place, new)
        return
    if new is None and remembered.stage == "creating":
        place.verify_not_recent()
    await _start_again(place, new.id if new else remembered.new_id)


async def _start_again(place: PlacedHook, unfinished_id: str) -> None:
    """Delete the unfinished hook, whose secret is lost, and create another."""
    remembered = place.remembered
    if unfinished_id:
        await removal.delete_unchanged(place, unfinished_id, remembered.urls)
    cleared = replace(remembered, stage="", known=(), new_id="", new_secret="", new_url="", stored_at=0.0)
    await place.remember(cleared if cleared.id else None)  # the hook that was to be replaced, if there is one
    difference = await place.compare(place.session.fingerprints())
    if difference.action == "create" and not difference.consent_url:
        await create(place)
    elif difference.hook and difference.hook.id == remembered.id and place.has_our_url(difference.hook):
        await create(place, difference.hook)
    else:
        raise place.changed_meanwhile()
