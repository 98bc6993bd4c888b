"""The hook of a source at one place of its provider: it is listed, compared, changed and removed here.

A change is stored in the row before its request is sent, because the answer may be lost. deploy/hooks/creation.py has
the stages of a creation.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from deploy.hooks import api, comparison
from deploy.hooks.kind import Hook, HookKind, Wanted
from deploy.hooks.row import NamedHook, hook_name
from deploy.hooks.session import HookSession
from deploy.terminal.command_line import CommandError

LIST_SECONDS: Final = 60.0
"""The time that a provider may take to list a new hook. Until then, no hook is declared missing."""


class OwnHooks(NamedTuple):
    """The hooks at a place that we made or that have one of our URLs. `made_ids` are the ids of those that we made."""

    hooks: list[Hook]
    made_ids: set[str]


@dataclass(frozen=True, slots=True)
class PlacedHook:
    """The hook at the place `at`, which is empty for the only place of an account.

    Each method with a request raises CommandError and Temporary. `change` and `extend` also raise LostAnswer, if it is
    not known whether the provider made the change. The methods that change something need the row locked.

    Of the hooks at the place, `remembered` is the one in the row. Our hooks are those that we made, or that have one of
    our URLs. A hook is adopted if it becomes the remembered one although we did not make it.
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
    def remembered(self) -> comparison.Remembered | None:
        return self.session.row.hooks.get(self.at)

    @property
    def registered(self) -> comparison.Remembered:
        """Return the remembered hook of a place that has one."""
        return self.session.row.hooks[self.at]

    async def remember(self, hook: comparison.Remembered | None) -> None:
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
        """Return all hooks at the place, with our URLs in our own form.

        Raises Gone if the token belongs to another bot than the registered hook, and CommandError.
        """
        hooks = await self.session.api.hooks(self.at, self._own_urls())
        former_id = self.remembered.id if self.remembered else ""
        # A place with such an id always lists exactly one hook.
        if self.kind.slot_id and _is_other_bot(former_id, hooks[0].id):
            rule = f"its hook is registered at the bot {former_id}, and the token belongs to the bot {hooks[0].id}"
            remove = self.session.apply_command.replace("hooks apply", "hooks remove", 1)
            steps = f"With the former bot's token: `{remove}`. If that bot does not exist any more: `{remove} --forget`"
            raise api.Gone(f"{self.name}: {rule}. {steps}")
        return hooks

    def own_form(self, url: str) -> str:
        """Return the URL as we have it, which the provider may show in another form."""
        return self.session.api.own_form(url, self._own_urls())

    def _own_urls(self) -> list[str]:
        return own_urls(self.session.wanted, self.session.row.hooks.values())

    async def url_of(self, id: str) -> str | None:
        """Return the URL that the hook has now; None if it is not listed."""
        return next((hook.url for hook in await self.hooks() if hook.id == id), None)

    async def own_hooks(self) -> OwnHooks:
        """Return our hooks at the place, which must have a remembered one.

        Raises Gone if the remembered hook is gone, and CommandError, as while a new hook may not be listed yet.
        """
        remembered = self.registered
        hooks = await self.hooks()
        if fault := comparison.missing_hook(self.kind, remembered, hooks):
            self.verify_listed(remembered)
            raise api.Gone(f"{self.name}: {fault}")
        new, is_ours = comparison.lost_creation(hooks, remembered, self.session.wanted)
        is_unlisted = bool(remembered.new_id) and all(hook.id != remembered.new_id for hook in hooks)
        if is_unlisted or (new is None and remembered.stage == "creating"):
            self.verify_listed(remembered)
        made_ids = {remembered.new_id}
        if remembered.is_made and self.kind.is_single:
            made_ids |= {hook.id for hook in hooks if hook.url}
        elif remembered.is_made:
            made_ids.add(remembered.id)
        if new and is_ours:
            made_ids.add(new.id)
        if remembered.stage == "enabled":
            made_ids.update(remembered.known[:1])  # the replaced hook, which may still exist
        return OwnHooks([hook for hook in hooks if hook.id in made_ids or self.has_our_url(hook)], made_ids)

    def has_our_url(self, hook: Hook) -> bool:
        """Return whether the hook has the wanted URL, or one that a request of ours may have given to it."""
        return bool(hook.url) and hook.url in (*self.registered.urls, self.session.wanted.url)

    def same_hooks(self, hook: Hook) -> list[NamedHook]:
        """Return the remembered hooks at other places or of other sources that are this hook.

        A place can be written in several ways, and a source can be renamed. Two hooks with one id are the same. If a
        place has only one hook, the place, the URL and the bot decide, because most ids are the same everywhere.
        """
        if self.kind.is_single:
            same_place = [each for each in self.session.others if each.at == self.at]
            same_bot = [each for each in same_place if not _is_other_bot(each.remembered.id, hook.id)]
            is_same_url = self.kind.is_same_url
            return [each for each in same_bot if any(is_same_url(hook.url, url) for url in each.remembered.urls)]
        own = [each for each in self.session.row.named_hooks if each.at != self.at]
        return [
            each for each in (*own, *self.session.others) if hook.id in (each.remembered.id, each.remembered.new_id)
        ]

    # Comparing

    async def compare(self, fingerprints: Sequence[str]) -> comparison.Difference:
        """Return how the hook differs from the wanted one. `fingerprints` are those of the stored values."""
        hooks = await self.hooks()
        remembered = self.remembered
        if remembered and comparison.missing_hook(self.kind, remembered, hooks):
            self.verify_listed(remembered)
        wanted, now = self.session.wanted, self.session.now()
        return comparison.compare(
            self.kind, self.at, wanted, hooks, remembered=remembered, fingerprints=fingerprints, now=now
        )

    async def compare_left(self, others: Sequence[comparison.Difference]) -> comparison.Difference:
        """Return how to remove the hook, because its place is not in the configuration any more.

        `others` are the differences at the places before this one.
        """
        reason = "its place is not in the configuration any more"
        hooks, made_ids = await self.own_hooks()
        if not hooks:
            return comparison.Difference(self.at, "forget", (reason,))
        hook = min(hooks, key=lambda each: each.id not in made_ids)  # one that we made, if there is one
        why = self._why_left(hook, made_ids)
        same = [each.at for each in others if each.hook and each.hook.id == hook.id]
        # If a place has only one hook, hooks of different places have the same id.
        if same and not self.kind.is_single:
            why = f"it is also registered as {hook_name(self.session.source, same[0])}"
        if why:
            return comparison.Difference(self.at, "forget", (reason, why), hook)
        return comparison.Difference(self.at, "delete", (reason,), hook)

    def verify_listed(self, remembered: comparison.Remembered) -> None:
        """Raise CommandError if the hook was created so recently that the provider may not list it yet."""
        left = remembered.stored_at + LIST_SECONDS - self.session.now()
        if left > 0:
            rule = f"{self.name}: the hook may have been created, although {self.kind.title} does not list it"
            raise CommandError(f"{rule} yet. Run the command again in {left:.0f} s")

    # Changing

    async def change(self, hook: Hook) -> None:
        """Change the hook as wanted, and adopt it if it is not ours. At a place with one hook, this also creates it.

        The steps, each of which another command can continue: wait until instances accept the secret, store what the
        request will set, send it, and store the result.
        """
        former = self.remembered
        is_remembered = former is not None and (self.kind.is_single or former.id == hook.id)
        is_new = not hook.url  # a place that has one hook at most lists it without a URL until it is set
        before = former if former and is_remembered else self._adopted(hook, is_new=is_new)
        await self.session.row.save()  # renews the lock, and fails if another command has changed the row
        wanted = self.session.wanted_with_secret()
        secret = before.secret if self.kind.secret else self.session.fingerprint(wanted.secret)
        is_same_secret = before.secret == secret
        if wanted.secret and not is_same_secret:
            may_be_stored_now = is_remembered and not is_new  # as after a lost answer
            await self.wait_until_accepted(wanted, self.session.now() if may_be_stored_now else 0.0)
            if await self.url_of(hook.id) != hook.url:
                raise self.has_changed()
        # Until the answer, the hook may have the former URL and secret, or the new ones.
        sent = replace(
            before,
            url=hook.url if hook.url in before.urls else before.url,
            new_url=wanted.url,
            secret=secret if is_same_secret else "",
        )
        await self.remember(sent)
        try:
            self.verify_secret(wanted)
            await self.session.api.change(self.at, wanted, hook)  # if its answer is lost, it can be sent again
        except CommandError:
            await self.remember(former)
            raise
        if hook.url != wanted.url and await self.url_of(hook.id) != wanted.url:
            rule = f"{self.name}: {self.kind.title} does not show the URL {wanted.url} yet"
            raise CommandError(f"{rule}, although it answered that the hook was changed. Run the command again")
        expires_at = hook.expires_at or 0.0
        changed = replace(before, id=hook.id, url=wanted.url, new_url="", secret=secret, expires_at=expires_at)
        await self.remember(changed)
        self.session.show(f"{self.name}: {'registered' if is_new else 'changed'}")

    def _adopted(self, hook: Hook, *, is_new: bool) -> comparison.Remembered:
        """Return the hook as one of ours, with an unknown secret. `remove` may delete one that Hookchain made."""
        is_made_for_other = any(each.remembered.is_made for each in self.same_hooks(hook))
        return comparison.Remembered(hook.id, is_made=(is_new and self.kind.can_delete) or is_made_for_other)

    async def extend(self, hook: Hook) -> None:
        """Extend the life of a hook that expires, and remember the new expiry."""
        expires_at = await self.session.api.extend(self.at, hook)
        await self.remember(replace(self.registered, expires_at=expires_at))
        self.session.show(f"{self.name}: extended")

    async def wait_until_accepted(self, wanted: Wanted, default_stored_at: float = 0.0) -> None:
        """Wait until every instance has read the secret of `wanted`.

        `default_stored_at` is the time at which it may have been stored (Unix seconds), if the store does not say it.
        Raises Temporary, and CommandError if the secret is not that of `wanted` any more.
        """
        await self.session.wait_for_instances(self.session.secret.set_at() or default_stored_at)
        self.verify_secret(wanted)

    def verify_secret(self, wanted: Wanted) -> None:
        """Raise CommandError if the newest value of the secret is not that of `wanted` any more.

        It is called after the row was saved with an unknown secret: from then on, `hookchain secrets` drops no value
        with which the hook may sign.
        """
        if self.session.wanted_with_secret() != wanted:
            raise self.secret_has_changed()

    def has_changed(self) -> CommandError:
        return CommandError(f"{self.name}: the hooks have changed meanwhile; run the command again")

    def secret_has_changed(self) -> CommandError:
        return CommandError(f"{self.name}: its secret has changed meanwhile; run the command again")

    # Removing

    def removal_deletes(self) -> bool:
        """Return whether `remove` deletes the remembered hook, or one that an interrupted creation left, if listed."""
        remembered = self.registered
        if remembered.stage:
            return self.kind.can_delete
        return remembered.is_made and not self.same_hooks(Hook(remembered.id, remembered.url, None))

    async def remove(self) -> bool:
        """Delete the hook if we made it and nobody else has changed its URL, and forget it.

        Return whether no hook with our URL is left, except those that other sources have registered.
        """
        with suppress(CommandError):  # a removal does not need the secret, except to mask it
            self.session.values()
        hooks, made_ids = await self.own_hooks()
        await self.session.row.save()  # renews the lock, and fails if another command has changed the row
        is_deleted = False
        is_left = False
        for hook in hooks:
            if why := self._why_left(hook, made_ids):
                self._show_left_alone(hook, why)
                is_left = is_left or not self.same_hooks(hook)
            else:
                await self.delete(hook)
                is_deleted = True
        await self.remember(None)
        self.session.show(f"{self.name}: {'deleted' if is_deleted else 'forgotten'}")
        return not is_left

    def _why_left(self, hook: Hook, made_ids: Collection[str]) -> str:
        """Return why a removal leaves one of our hooks alone; empty if it deletes it."""
        if same := self.same_hooks(hook):
            return f"it is also registered as {same[0].name}"
        if not self.kind.can_delete:
            return f"{self.kind.title} lets only a person delete it"
        if hook.id not in made_ids:
            is_adopted = hook.id == self.registered.id
            return "Hookchain did not make it" if is_adopted else "it is not certain that Hookchain made it"
        return "" if self.has_our_url(hook) else "somebody else changed its URL"

    async def delete_unchanged(self, id: str, former_urls: Sequence[str]) -> None:
        """Delete the hook, unless its URL is neither the wanted one nor one of ours, `former_urls`, any more."""
        wanted_url = self.session.wanted.url
        url = await self.url_of(id)
        if url in (None, *former_urls, wanted_url):  # one that is not listed yet is deleted too
            await self.delete(Hook(id, wanted_url, None))
        else:
            self._show_left_alone(Hook(id, str(url), None), "somebody else changed its URL")

    async def delete(self, hook: Hook) -> None:
        """Delete the hook. Raises CommandError if it is listed nevertheless."""
        fault = f"{self.name}: {self.kind.title} still lists the hook {hook.id}"
        try:
            await self.session.api.delete(self.at, hook)
        except api.LostAnswer as error:
            fault = str(error)
        if await self.url_of(hook.id):
            raise CommandError(f"{fault}. Run the command again")

    def _show_left_alone(self, hook: Hook, why: str) -> None:
        self.session.show(f"{self.name}: left alone, because {why}: {hook.url} ({hook.id})")


def own_urls(wanted: Wanted, hooks: Collection[comparison.Remembered]) -> list[str]:
    """Return the wanted URL and the URLs that our requests may have given to the hooks, with repetitions."""
    return [wanted.url, *(url for remembered in hooks for url in remembered.urls)]


def _is_other_bot(id: str, other: str) -> bool:
    """Return whether the ids of hooks, each the only one of its place, show that they belong to different bots."""
    # Earlier versions stored `webhook` as the id of any bot's hook.
    return id != other and not {id, other} & {"", "webhook"}
