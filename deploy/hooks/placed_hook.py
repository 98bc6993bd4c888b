"""The hook of a source at one place of its provider: it is listed, compared, changed and removed here.

Three words are used throughout deploy/hooks:

remembered  the hook that the source's row stores for the place. All other hooks are read from the provider
ours        Hookchain made the hook, or it has the wanted URL or one that a request of ours may have given to it
adopted     the hook was listed already, and a change made it the remembered one

A change is stored in the row before its request is sent, because the answer may be lost. The next command reads the
fields of RememberedHook (deploy/hooks/comparison.py) to continue it. deploy/hooks/creation.py creates hooks.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from deploy.hooks import api, comparison
from deploy.hooks.comparison import OurHook, RememberedHook
from deploy.hooks.kind import Hook, HookKind, Wanted
from deploy.hooks.row import NamedHook, hook_name
from deploy.hooks.session import HookSession
from deploy.terminal.command_line import CommandError

LIST_SECONDS: Final = 60.0
"""The time that a provider may take to list a new hook. Until then, no hook is declared gone."""


@dataclass(frozen=True, slots=True)
class PlacedHook:
    """The hook at the place `at`, which is empty for the only place of an account.

    Each method with a request raises CommandError and Temporary. `change` and `extend` also raise LostAnswer, if it is
    not known whether the provider made the change. The methods that change something need the row locked.
    """

    session: HookSession
    at: str

    @property
    def name(self) -> str:
        return hook_name(self.session.source, self.at)

    @property
    def kind(self) -> HookKind:
        return self.session.kind

    @property
    def remembered_or_none(self) -> RememberedHook | None:
        return self.session.row.hooks.get(self.at)

    @property
    def remembered(self) -> RememberedHook:
        """Return the remembered hook of a place that has one. Raises KeyError."""
        return self.session.row.hooks[self.at]

    async def remember(self, hook: RememberedHook | None) -> None:
        """Store the hook, or forget it, and renew the lock.

        Raises Temporary, and CommandError if another command has changed the row.
        """
        row = self.session.row
        if hook is None:
            row.hooks.pop(self.at, None)
        else:
            row.hooks[self.at] = hook
        await row.save()

    # Listing

    async def hooks(self) -> list[Hook]:
        """Return all hooks at the place, with our URLs in our form.

        Raises Gone if the token belongs to another bot than the remembered hook, and CommandError.
        """
        hooks = await self.session.api.hooks(self.at, self._our_urls())
        remembered = self.remembered_or_none
        # A place whose hook has an id of its token always lists exactly one hook.
        if remembered and self.kind.single_id and _is_other_bot(remembered.id, hooks[0].id):
            rule = f"its hook is registered at the bot {remembered.id}, and the token belongs to the bot {hooks[0].id}"
            remove = self.session.apply_command.replace("hooks apply", "hooks remove", 1)
            steps = f"With the former bot's token: `{remove}`. If that bot does not exist any more: `{remove} --forget`"
            raise api.Gone(f"{self.name}: {rule}. {steps}")
        return hooks

    def our_form(self, url: str) -> str:
        """Return the URL as we write it, which the provider may show in another form."""
        return self.session.api.our_form(url, self._our_urls())

    def _our_urls(self) -> list[str]:
        return our_urls(self.session.wanted, self.session.row.hooks.values())

    async def url_of(self, id: str) -> str | None:
        """Return the URL that the hook has now; None if it is not listed."""
        return next((hook.url for hook in await self.hooks() if hook.id == id), None)

    async def our_hooks(self) -> list[OurHook]:
        """Return our hooks at the place, which must have a remembered one.

        Raises Gone if the remembered hook is gone, and CommandError, as while a new hook may not be listed yet.
        """
        remembered = self.remembered
        hooks = await self.hooks()
        if fault := comparison.gone_reason(self.kind, remembered, hooks):
            self.verify_not_recent()
            raise api.Gone(f"{self.name}: {fault}")
        lost = comparison.lost_creation(hooks, remembered, self.session.wanted)
        is_unlisted = bool(remembered.new_id) and all(hook.id != remembered.new_id for hook in hooks)
        if is_unlisted or (remembered.stage == "creating" and lost is None):
            self.verify_not_recent()
        return comparison.our_hooks(self.kind, self.session.wanted, hooks, remembered)

    def has_our_url(self, hook: Hook) -> bool:
        return comparison.has_our_url(hook, self.session.wanted, self.remembered)

    def verify_not_recent(self) -> None:
        """Raise CommandError if the remembered hook is so new that the provider may not list it yet."""
        seconds_left = self.remembered.stored_at + LIST_SECONDS - self.session.now()
        if seconds_left > 0:
            rule = f"{self.name}: the hook may have been created, although {self.kind.title} does not list it"
            raise CommandError(f"{rule} yet. Run the command again in {seconds_left:.0f} s")

    def remembered_elsewhere(self, hook: Hook) -> list[NamedHook]:
        """Return the hooks that are remembered at other places or of other sources, and are this one.

        A place can be written in several ways, and a source can be renamed.
        """
        elsewhere = [each for each in self.session.row.named_hooks if each.at != self.at]
        return [each for each in (*elsewhere, *self.session.others) if self._is_same(hook, each)]

    def _is_same(self, hook: Hook, other: NamedHook) -> bool:
        """Return whether a hook that is remembered elsewhere is this one.

        Two hooks with one id are the same. If a place has only one hook, the place, the URL and the bot decide, because
        most ids are the same everywhere.
        """
        remembered = other.remembered
        if not self.kind.is_single:
            return hook.id in (remembered.id, remembered.new_id)
        is_same_place = other.at == self.at and not _is_other_bot(remembered.id, hook.id)
        return is_same_place and any(self.kind.is_same_url(hook.url, url) for url in remembered.urls)

    # Comparing

    async def compare(self, fingerprints: Sequence[str]) -> comparison.Difference:
        """Return how the hook differs from the wanted one. `fingerprints` are those of the stored values."""
        hooks = await self.hooks()
        remembered = self.remembered_or_none
        if remembered and comparison.gone_reason(self.kind, remembered, hooks):
            self.verify_not_recent()
        wanted, now = self.session.wanted, self.session.now()
        return comparison.compare(
            self.kind, self.at, wanted, hooks, remembered=remembered, fingerprints=fingerprints, now=now
        )

    async def compare_unconfigured(self, others: Sequence[comparison.Difference]) -> comparison.Difference:
        """Return how to remove the hook, because its place is not in the configuration any more.

        `others` are the differences at the places before this one.
        """
        reason = "its place is not in the configuration any more"
        ours = await self.our_hooks()
        if not ours:
            return comparison.Difference(self.at, "forget", (reason,))
        removed = next((each for each in ours if each.is_made), ours[0])
        hook = removed.hook
        why = self._why_left_alone(removed)
        same = [each.at for each in others if each.hook and each.hook.id == hook.id]
        # If a place has only one hook, hooks of different places have the same id.
        if same and not self.kind.is_single:
            why = f"it is also registered as {hook_name(self.session.source, same[0])}"
        if why:
            return comparison.Difference(self.at, "forget", (reason, why), hook)
        return comparison.Difference(self.at, "delete", (reason,), hook)

    # Changing

    async def change(self, hook: Hook) -> None:
        """Change the hook as wanted, and adopt it if it is not remembered. At a single place, this also creates it.

        The steps, each of which another command can continue: wait until instances accept the secret, store what the
        request will set, send it, and store the result.
        """
        former = self.remembered_or_none
        is_remembered = former is not None and former.is_same(self.kind, hook)
        is_new = not hook.url  # a single place lists its hook without a URL until somebody has set one
        entry = former if former and is_remembered else self._adopted(hook, is_new=is_new)
        await self.session.row.save()  # renews the lock, and fails if another command has changed the row
        wanted = self.session.wanted_with_secret()
        secret = entry.secret if self.kind.makes_secret else self.session.fingerprint(wanted.secret)
        has_secret = entry.secret == secret
        if wanted.secret and not has_secret:
            # After a lost answer, the secret may be as new as the command that stored it.
            await self.wait_until_accepted(wanted, may_be_new=is_remembered and not is_new)
            if await self.url_of(hook.id) != hook.url:
                raise self.changed_meanwhile()
        # Until the answer, the hook may have the former URL and secret, or the new ones.
        former_url = hook.url if hook.url in entry.urls else entry.url
        unanswered = replace(entry, url=former_url, new_url=wanted.url, secret=secret if has_secret else "")
        await self.remember(unanswered)
        await self._send_change(hook, wanted, former)
        changed = replace(entry, id=hook.id, url=wanted.url, new_url="", secret=secret)
        await self.remember(replace(changed, expires_at=hook.expires_at or 0.0))
        self.session.show(f"{self.name}: {'registered' if is_new else 'changed'}")

    async def _send_change(self, hook: Hook, wanted: Wanted, former: RememberedHook | None) -> None:
        """Send the request, and remember `former` again if the provider rejects it.

        Raises CommandError also if the provider does not show the new URL afterwards.
        """
        try:
            self.verify_secret(wanted)
            await self.session.api.change(self.at, wanted, hook)  # if its answer is lost, it can be sent again
        except CommandError:
            await self.remember(former)
            raise
        if hook.url != wanted.url and await self.url_of(hook.id) != wanted.url:
            rule = f"{self.name}: {self.kind.title} does not show the URL {wanted.url} yet"
            raise CommandError(f"{rule}, although it answered that the hook was changed. Run the command again")

    def _adopted(self, hook: Hook, *, is_new: bool) -> RememberedHook:
        """Return what to remember of a hook that is adopted. Its secret is not known.

        `remove` may delete it if the change is what creates it, or if Hookchain made it for another place or source.
        """
        is_made_elsewhere = any(each.remembered.is_made for each in self.remembered_elsewhere(hook))
        return RememberedHook(hook.id, is_made=(is_new and self.kind.can_delete) or is_made_elsewhere)

    async def extend(self, hook: Hook) -> None:
        """Extend the life of a hook that expires, and remember the new expiry."""
        expires_at = await self.session.api.extend(self.at, hook)
        await self.remember(replace(self.remembered, expires_at=expires_at))
        self.session.show(f"{self.name}: extended")

    async def wait_until_accepted(self, wanted: Wanted, *, may_be_new: bool = False) -> None:
        """Wait until every instance has read the secret of `wanted`.

        Some stores do not say when the secret was stored. With `may_be_new`, it may then have been stored just now;
        otherwise long ago, so that there is no wait. Raises Temporary, and CommandError if the secret is not that of
        `wanted` any more.
        """
        default_stored_at = self.session.now() if may_be_new else 0.0
        await self.session.wait_for_instances(self.session.secret.set_at() or default_stored_at)
        self.verify_secret(wanted)

    def verify_secret(self, wanted: Wanted) -> None:
        """Raise CommandError if the newest value of the secret is not that of `wanted` any more.

        It is also called after the row was saved with an unknown secret: from then on, `hookchain secrets` drops no
        value with which the hook may sign.
        """
        if self.session.wanted_with_secret() != wanted:
            raise self.changed_meanwhile("its secret has")

    def changed_meanwhile(self, changed: str = "the hooks have") -> CommandError:
        return CommandError(f"{self.name}: {changed} changed meanwhile; run the command again")

    # Removing

    def removal_deletes(self) -> bool:
        """Return whether `remove` deletes the remembered hook, or one that an interrupted creation left, if listed."""
        remembered = self.remembered
        if remembered.stage:
            return self.kind.can_delete
        return remembered.is_made and not self.remembered_elsewhere(Hook(remembered.id, remembered.url, None))

    async def remove(self) -> bool:
        """Delete the hook if we made it and nobody else has changed its URL, and forget it.

        Return whether no hook with our URL is left, except those that other sources have registered.
        """
        with suppress(CommandError):  # a removal does not need the secret, except to mask it
            self.session.values()
        ours = await self.our_hooks()
        await self.session.row.save()  # renews the lock, and fails if another command has changed the row
        is_deleted = False
        is_left = False
        for each in ours:
            if why := self._why_left_alone(each):
                self._show_left_alone(each.hook.id, each.hook.url, why)
                is_left = is_left or not self.remembered_elsewhere(each.hook)
            else:
                await self.delete(each.hook)
                is_deleted = True
        await self.remember(None)
        self.session.show(f"{self.name}: {'deleted' if is_deleted else 'forgotten'}")
        return not is_left

    def _why_left_alone(self, ours: OurHook) -> str:
        """Return why a removal leaves one of our hooks alone; empty if it deletes it."""
        hook = ours.hook
        if same := self.remembered_elsewhere(hook):
            return f"it is also registered as {same[0].name}"
        if not self.kind.can_delete:
            return f"{self.kind.title} lets only a person delete it"
        if not ours.is_made:
            is_adopted = hook.id == self.remembered.id
            return "Hookchain did not make it" if is_adopted else "it is not certain that Hookchain made it"
        return "" if self.has_our_url(hook) else "somebody else changed its URL"

    async def delete_unchanged(self, id: str, former_urls: Sequence[str]) -> None:
        """Delete the hook, unless its URL is neither the wanted one nor one of ours, `former_urls`, any more."""
        wanted_url = self.session.wanted.url
        url = await self.url_of(id)
        if url in (None, *former_urls, wanted_url):  # one that is not listed yet is deleted too
            await self.delete(Hook(id, wanted_url, None))
        else:
            self._show_left_alone(id, str(url), "somebody else changed its URL")

    async def delete(self, hook: Hook) -> None:
        """Delete the hook. Raises CommandError if it is listed nevertheless."""
        fault = f"{self.name}: {self.kind.title} still lists the hook {hook.id}"
        try:
            await self.session.api.delete(self.at, hook)
        except api.LostAnswer as error:
            fault = str(error)
        if await self.url_of(hook.id):
            raise CommandError(f"{fault}. Run the command again")

    def _show_left_alone(self, id: str, url: str, why: str) -> None:
        self.session.show(f"{self.name}: left alone, because {why}: {url} ({id})")


def our_urls(wanted: Wanted, hooks: Collection[RememberedHook]) -> list[str]:
    """Return the wanted URL and the URLs that our requests may have given to the hooks, with repetitions."""
    return [wanted.url, *(url for remembered in hooks for url in remembered.urls)]


def _is_other_bot(id: str, other: str) -> bool:
    """Return whether the ids of hooks, each the only one of its place, show that they belong to different bots."""
    # Earlier versions stored `webhook` as the id of any bot's hook.
    return id != other and not {id, other} & {"", "webhook"}
