"""The removal of a hook: it is deleted at its provider if Hookchain made it and nobody has changed it, and forgotten.

Each function with a request raises CommandError and Temporary. Those that change something need the row locked.
"""

from collections.abc import Sequence
from contextlib import suppress

from deploy.hooks import api, comparison, kind, row
from deploy.hooks.placed_hook import PlacedHook
from deploy.terminal.command_line import CommandError


async def compare_unconfigured(place: PlacedHook, others: Sequence[comparison.Difference]) -> comparison.Difference:
    """Return how to remove the hook, because its place is not in the configuration any more.

    `others` are the differences at the places before this one.
    """
    reason = "its place is not in the configuration any more"
    ours = await place.our_hooks()
    if not ours:
        return comparison.Difference(place.at, "forget", (reason,))
    removed = next((each for each in ours if each.is_made), ours[0])
    hook = removed.hook
    why = _why_left_alone(place, removed)
    same = [each.at for each in others if each.hook and each.hook.id == hook.id]
    # If a place has only one hook, hooks of different places have the same id.
    if same and not place.kind.is_single:
        why = f"it is also registered as {row.hook_name(place.session.source, same[0])}"
    if why:
        return comparison.Difference(place.at, "forget", (reason, why), hook)
    return comparison.Difference(place.at, "delete", (reason,), hook)


def removal_deletes(place: PlacedHook) -> bool:
    """Return whether `remove` deletes the remembered hook, or one that an interrupted creation left, if listed."""
    remembered = place.remembered
    if remembered.stage:
        return place.kind.can_delete
    return remembered.is_made and not place.remembered_elsewhere(kind.Hook(remembered.id, remembered.url, None))


async def remove(place: PlacedHook) -> bool:
    """Delete the hook if we made it and nobody else has changed its URL, and forget it.

    Return whether no hook with our URL is left, except those that other sources have registered.
    """
    with suppress(CommandError):  # a removal does not need the secret, except to mask it
        place.session.values()
    ours = await place.our_hooks()
    await place.session.row.save()  # renews the lock, and fails if another command has changed the row
    is_deleted = False
    is_left = False
    for each in ours:
        if why := _why_left_alone(place, each):
            _show_left_alone(place, each.hook.id, each.hook.url, why)
            is_left = is_left or not place.remembered_elsewhere(each.hook)
        else:
            await delete(place, each.hook)
            is_deleted = True
    await place.remember(None)
    place.session.show(f"{place.name}: {'deleted' if is_deleted else 'forgotten'}")
    return not is_left


def _why_left_alone(place: PlacedHook, ours: comparison.OurHook) -> str:
    """Return why a removal leaves one of our hooks alone; empty if it deletes it."""
    hook = ours.hook
    if same := place.remembered_elsewhere(hook):
        return f"it is also registered as {same[0].name}"
    if not place.kind.can_delete:
        return f"{place.kind.title} lets only a person delete it"
    if not ours.is_made:
        is_adopted = hook.id == place.remembered.id
        return "Hookchain did not make it" if is_adopted else "it is not certain that Hookchain made it"
    return "" if place.has_our_url(hook) else "somebody else changed its URL"


async def delete_unchanged(place: PlacedHook, id: str, former_urls: Sequence[str]) -> None:
    """Delete the hook if its URL is the wanted one or one of `former_urls`, or if it is not listed yet."""
    wanted_url = place.session.wanted.url
    url = await place.url_of(id)
    if url in (None, *former_urls, wanted_url):
        await delete(place, kind.Hook(id, wanted_url, None))
    else:
        _show_left_alone(place, id, str(url), "somebody else changed its URL")


async def delete(place: PlacedHook, hook: kind.Hook) -> None:
    """Delete the hook. Raises CommandError if it is listed nevertheless."""
    fault = f"{place.name}: {place.kind.title} still lists the hook {hook.id}"
    try:
        await place.session.api.delete(place.at, hook)
    except api.LostAnswer as error:
        fault = str(error)
    if await place.url_of(hook.id):
        raise CommandError(f"{fault}. Run the command again")


def _show_left_alone(place: PlacedHook, id: str, url: str, why: str) -> None:
    place.session.show(f"{place.name}: left alone, because {why}: {url} ({id})")
