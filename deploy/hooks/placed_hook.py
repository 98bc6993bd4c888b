"""The hook of a source at one place of its provider: how it is listed, remembered and compared.

Three words are used throughout deploy/hooks:

remembered  the hook that the source's row stores for the place. All other hooks are read from the provider
ours        Hookchain made the hook, or it has the wanted URL or one that a request of ours may have given to it
adopted     the hook was listed already, and a change made it the remembered one

creation.py, change.py and removal.py change the hook. They store a change in the row before they send its request,
because the answer may be lost. The next command reads the fields of RememberedHook (comparison.py) to continue it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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

    Each method with a request raises CommandError and Temporary.
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
            self.verify_not_recent()  # later, a new hook that is not listed does not exist
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

    # The secret

    async def wait_until_accepted(self, *, may_be_new: bool = False) -> None:
        """Wait until every instance has read the stored secret. Raises CommandError and Temporary.

        Some stores do not say when the secret was stored. With `may_be_new`, it may then have been stored just now;
        otherwise long ago, so that there is no wait.
        """
        default_stored_at = self.session.now() if may_be_new else 0.0
        await self.session.wait_for_instances(self.session.secret.set_at() or default_stored_at)

    def verify_secret(self, wanted: Wanted) -> None:
        """Raise CommandError if the newest value of the secret is not that of `wanted` any more.

        It is also called after the row was saved with an unknown secret: from then on, `hookchain secrets` drops no
        value with which the hook may sign.
        """
        if self.session.wanted_with_secret() != wanted:
            raise self.changed_meanwhile("its secret has")

    def changed_meanwhile(self, changed: str = "the hooks have") -> CommandError:
        return CommandError(f"{self.name}: {changed} changed meanwhile; run the command again")


def our_urls(wanted: Wanted, hooks: Collection[RememberedHook]) -> list[str]:
    """Return the wanted URL and the URLs that our requests may have given to the hooks, with repetitions."""
    return [wanted.url, *(url for remembered in hooks for url in remembered.urls)]


def _is_other_bot(id: str, other: str) -> bool:
    """Return whether the ids of hooks, each the only one of its place, show that they belong to different bots."""
    unknown_ids = ("", "webhook")  # earlier versions stored `webhook` as the id of every bot's hook
    return id != other and id not in unknown_ids and other not in unknown_ids
