"""The registration of one source's hooks: they are planned, applied, rotated and removed at all of their places."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from deploy.hooks import api, change, comparison, creation, removal
from deploy.hooks.placed_hook import PlacedHook
from deploy.hooks.session import HookSession
from deploy.terminal.command_line import CommandError


@dataclass(frozen=True, slots=True)
class Registration:
    """The hooks of a source. `places` are those in the configuration; the row may remember hooks at others.

    A command calls `plan`, and within `locked` it calls `apply` for each difference, or `rotate`.
    """

    session: HookSession
    places: Sequence[str]

    def place(self, at: str) -> PlacedHook:
        return PlacedHook(self.session, at)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Lock the row, and unlock it at the end. Raises as `Row.lock` does.

        Without an error, the row then also forgets the names of former secrets with which no hook may sign any more.
        """
        row = self.session.row
        await row.lock(self.session.settings)
        try:
            yield
            if not self._may_sign_with_former_secret():
                row.forget_former_secrets()
        finally:
            await row.unlock()

    def _may_sign_with_former_secret(self) -> bool:
        """Return whether a hook may sign with a value that the source's secret does not have."""
        if self.session.kind.is_account_signed:
            return False
        try:
            stored = self.session.fingerprints()
        except CommandError:
            return True
        return any(each.is_secret_unknown or each.secret not in stored for each in self.session.row.hooks.values())

    async def plan(self) -> list[comparison.Difference]:
        """Return the difference of each place, those in the configuration first.

        A place that cannot be compared has a `fault`. Raises CommandError if this is so for all places, and Temporary.
        """
        fingerprints = self.session.fingerprints()
        differences: list[comparison.Difference] = []
        for at in dict.fromkeys((*self.places, *self.session.row.hooks)):
            place = self.place(at)
            try:
                if at in self.places:
                    difference = await place.compare(fingerprints)
                else:
                    difference = await removal.compare_unconfigured(place, differences)
            except CommandError as error:
                difference = comparison.Difference(at, "none", fault=str(error), is_gone=isinstance(error, api.Gone))
            differences.append(difference)
        if differences and all(each.fault for each in differences):
            raise CommandError(differences[0].fault)
        return differences

    async def apply(self, difference: comparison.Difference) -> None:
        """Make the change at the provider, and remember the hook. Raises CommandError and Temporary.

        An answer that is lost also raises CommandError: the next `hookchain hooks apply` finds out what became of it.
        """
        place = self.place(difference.at)
        hook = difference.hook
        try:
            match difference.action:
                case "create" if place.kind.is_single:
                    [slot] = await place.hooks()  # the only hook is always listed, without a URL until it is set
                    if slot.url:
                        raise place.changed_meanwhile()
                    await change.change(place, slot)  # sets it
                case "create":
                    await creation.create(place)
                case "renew":
                    await creation.create(place, hook)
                case "change":
                    assert hook
                    await change.change(place, hook)
                case "extend":
                    assert hook
                    await change.extend(place, hook)
                case "finish":
                    await creation.finish(place, difference)
                case "delete" | "forget":
                    await removal.remove(place)
                case "none":
                    return
        except api.LostAnswer as error:
            again = f"Run `{self.session.apply_command}` again: it lists the hooks first"
            raise CommandError(f"{error}. {again}") from error

    def refreshed_hooks(self, differences: Sequence[comparison.Difference]) -> dict[str, comparison.RememberedHook]:
        """Return what to remember of hooks instead, by place: their id, URL or expiry at the provider.

        These are the hooks that need no change at the provider, and are not remembered as they are there.
        """
        updated: dict[str, comparison.RememberedHook] = {}
        for each in differences:
            hook = each.hook
            remembered = self.place(each.at).remembered_or_none
            if each.action != "none" or not hook or not remembered:
                continue
            if remembered.is_same(self.session.kind, hook):
                expires_at = hook.expires_at or 0.0
                current = replace(remembered, id=hook.id, url=hook.url, new_url="", expires_at=expires_at)
                if current != remembered:
                    updated[each.at] = current
        return updated

    async def store_refreshed_hooks(self, differences: Sequence[comparison.Difference]) -> None:
        """Store what the provider shows about outdated hooks, if there are any. Raises CommandError and Temporary."""
        if updated := self.refreshed_hooks(differences):
            row = self.session.row
            row.hooks = row.hooks | updated
            await row.save()

    async def unlisted(self) -> dict[str, CommandError]:
        """Return, by place, why its remembered hook is not listed: it is Gone, or this is not known.

        Raises Temporary.
        """
        faults: dict[str, CommandError] = {}
        for at in self.session.row.hooks:
            try:
                await self.place(at).our_hooks()
            except CommandError as error:
                faults[at] = error
        return faults

    # Rotation

    async def rotation_plan(self) -> list[comparison.Difference]:
        """Return the difference of each place. Raises CommandError if no rotation can begin or continue, and Temporary.

        The only differences that are allowed are those that a rotation makes and corrects itself.
        """
        differences = await self.plan()
        if fault := next((each.fault for each in differences if each.fault), ""):
            raise CommandError(fault)
        only_secrets_differ = all(
            each.action == "finish" or {*each.reasons} <= {comparison.IS_OLDER, comparison.IS_UNKNOWN}
            for each in _changes(differences)
        )
        if not only_secrets_differ or any(each.consent_url for each in differences):
            rule = f"the hooks of {self.session.source} differ from the configuration"
            raise CommandError(f"{rule}. Run `{self.session.apply_command}` first")
        return differences

    async def rotate(self, store_new_value: Callable[[], Awaitable[object]] | None) -> None:
        """Give each hook a new secret, while requests with the old and the new one are accepted.

        `store_new_value` is called only if we choose the secret and no interrupted rotation is to be continued. It is
        None if another source with the same secret has begun the rotation. Raises CommandError and Temporary.
        """
        session = self.session
        # A hook that differs before a new value is stored is unfinished, as after an interrupted rotation.
        begun = [each.at for each in _changes(await self.rotation_plan())]
        if begun:
            session.show(f"{session.source}: continuing the rotation that has begun")
        elif store_new_value and not session.kind.makes_secret:
            await store_new_value()
            if session.secret.set_at() is not None:
                # The time in the store is by another clock, which may be behind this one. So wait from now on.
                await session.wait_for_instances(session.now())
        for each in await self.rotation_plan():  # after the wait, in which somebody may have changed a hook
            for note in each.notes:
                session.show(f"{self.place(each.at).name}: note: {note}")
            is_renewed = session.kind.makes_secret and each.at not in begun
            await self.apply(each._replace(action="renew") if is_renewed else each)

    def verify_rotated(self) -> None:
        """Raise CommandError if a hook does not sign with the newest value, or any value that its provider made."""
        stored = self.session.fingerprints()
        current = stored if self.session.kind.makes_secret else stored[:1]
        hooks = self.session.row.named_hooks
        others = [each.name for each in hooks if each.remembered.stage or each.remembered.secret not in current]
        if others:
            rule = f"{', '.join(others)}: another command has changed the secret or the hook meanwhile"
            raise CommandError(f"{rule}, so the provider may sign with a value that is not the newest. Rotate it again")


def _changes(differences: Sequence[comparison.Difference]) -> list[comparison.Difference]:
    """Return the differences that change a hook or its secret."""
    return [each for each in differences if each.action not in ("none", "extend")]
