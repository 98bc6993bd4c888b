"""The registration of one source's hooks: their row in the store, and each stage of a creation, a change and a removal.

Each stage is stored before its request is sent. If a command is interrupted, the next one reads from the stage which
requests may have reached the provider. It lists the hooks before it creates one.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Final, NamedTuple, Protocol

from deploy.hooks import comparison
from deploy.hooks.api import Gone, HookApi, LostAnswer
from deploy.hooks.kind import Hook, Wanted
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import printable
from functions.notify.hook_expiry import PARTITION
from shared.errors import Temporary
from shared.jsontext import JsonObject, from_json, list_at, mapping_at, mappings_at
from shared.store_ports import NO_VERSION, Document, Documents

MAX_SOURCES: Final = 1_000
"""The most rows that are read."""
LOCK_SECONDS: Final = 120.0
"""Longer than a request takes. Each write of the row renews it."""
TICK_SECONDS: Final = 15.0
"""The longest time between two renewals of the lock during a wait."""
KEPT_VALUES: Final = 9
"""The number of former values that stay accepted until somebody drops them, if the provider makes the secret."""
LIST_SECONDS: Final = 60.0
"""The time that a provider may take to list a new hook."""


class SourceSecret(Protocol):
    """The secret of the source in its store. Each method raises CommandError."""

    def values(self) -> Sequence[str]:
        """Return the values as they are stored now, newest first; none if it does not exist."""
        ...

    def set_at(self) -> float | None:
        """Return when they were stored, in Unix seconds; None if it is not known."""
        ...

    def store(self, values: Sequence[str]) -> None:
        """Replace the values."""
        ...

    def verify_writable(self) -> None:
        """Raise CommandError if values that are stored are not read afterwards, because others override them."""
        ...


class UnreadableRow(CommandError):
    """A stored row that this version cannot read."""


class Row:
    """The remembered hooks of a source, by place. While the row is locked, no other command changes it.

    settings  the source's provider, secret and `hook`, to remove its hooks after the configuration has lost them
    secrets   the names of the source's secret, former ones too, with a value of which a hook may sign
    """

    def __init__(self, documents: Documents, source: str, now: Callable[[], float] = time.time) -> None:
        self._documents = documents
        self._source = source
        self._now = now
        self._version = NO_VERSION
        self.hooks: dict[str, comparison.Remembered] = {}
        self.settings: JsonObject = {}
        self.secrets: list[str] = []

    async def read(self, *, may_be_locked: bool = True) -> None:
        """Read the row. Raises Temporary, and CommandError if it is locked although `may_be_locked` is False."""
        found = await self._documents.get(PARTITION, self._source)
        left = self.load(found) - self._now()
        if left > 0 and not may_be_locked:
            rule = f"another command is changing the hooks of {self._source}"
            raise CommandError(f"{rule}; nothing was changed. If it was killed, try again in {left:.0f} s")

    def load(self, found: Document | None) -> float:
        """Take over the document's fields, and return the end of its lock in Unix seconds. Raises UnreadableRow."""
        try:
            document = from_json(found.text.encode()) if found else None
            self.hooks = {at: _remembered(each) for at, each in mappings_at(document, "hooks").items()}
            locked_until = float(str(mapping_at(document, "lock").get("until", 0)))
        except (ValueError, RecursionError) as error:
            rule = f"the document {PARTITION}/{self._source} is not as this version stores hooks: {error}"
            raise UnreadableRow(f"{rule}. Correct or delete it. `hookchain hooks apply` adopts a hook again") from error
        self._version = found.version if found else NO_VERSION
        self.settings = mapping_at(document, "settings")
        # Earlier versions stored only the former name.
        self.secrets = [*map(str, list_at(document, "secrets") or [self.settings.get("secret", "")])]
        return locked_until

    async def lock(self) -> None:
        """Lock the row for LOCK_SECONDS.

        Raises CommandError if another command has locked it, or has changed it since it was read, and Temporary.
        """
        hooks_before = self.hooks
        settings_before = self.settings
        await self.read(may_be_locked=False)
        if self.hooks != hooks_before:
            raise self._has_changed()
        self.settings = settings_before or self.settings  # those of the configuration are newer than the stored ones
        self.secrets = [*dict.fromkeys((*self.secrets, str(self.settings.get("secret", ""))))]
        await self.save()

    def forget_former_secrets(self) -> None:
        """Keep only the name in the configuration, once no hook signs with a value of a former secret."""
        self.secrets = [str(self.settings.get("secret", ""))]

    async def save(self) -> None:
        """Write the row and renew the lock. Raises CommandError if another command has changed it."""
        await self._write({"until": self._now() + LOCK_SECONDS})

    async def stored_ids(self) -> set[str]:
        """Return the ids of the hooks as they are stored now, by any command. Raises Temporary and UnreadableRow."""
        stored = Row(self._documents, self._source, self._now)
        await stored.read()
        return {id for each in stored.hooks.values() for id in (each.id, each.new_id)}

    async def unlock(self) -> None:
        """Release the lock, and delete a row without hooks. If this fails, the lock ends after LOCK_SECONDS."""
        with suppress(CommandError, Temporary):
            if self.hooks:
                await self._write({})
            else:
                await self._documents.delete(PARTITION, self._source, self._version)

    async def _write(self, lock: JsonObject) -> None:
        hooks = {at: asdict(each) for at, each in self.hooks.items()}
        document = {"hooks": hooks, "settings": self.settings, "secrets": self.secrets, "lock": lock}
        text = json.dumps(document)
        version = await self._documents.write(PARTITION, self._source, text, self._version)
        if version is None:
            raise self._has_changed()
        self._version = version

    def _has_changed(self) -> CommandError:
        return CommandError(f"another command has changed the hooks of {self._source}; run this one again")


async def read_rows(documents: Documents) -> dict[str, Row]:
    """Return the rows of all sources that have remembered hooks. Raises Temporary."""
    rows: dict[str, Row] = {}
    for each in await documents.page(PARTITION, MAX_SOURCES):
        row = Row(documents, each.id)
        row.load(each)
        if row.hooks:
            rows[each.id] = row
    return rows


def _remembered(document: JsonObject) -> comparison.Remembered:
    """Return the hook. A field that a later version added is left out. Raises ValueError."""
    names = ("id", "url", "secret", "stage", "new_id", "new_secret")
    if missing := [name for name in names if name not in document]:
        raise ValueError(f"a hook has no {', '.join(missing)}")
    texts = {name: str(document[name]) for name in names}
    return comparison.Remembered(
        **texts,
        is_made=document.get("is_made") is True,
        known=tuple(map(str, list_at(document, "known"))),
        stored_at=float(str(document.get("stored_at", 0))),
        expires_at=float(str(document.get("expires_at", 0))),
        new_url=str(document.get("new_url", "")),
    )


class NamedHook(NamedTuple):
    """A remembered hook with its source and place."""

    source: str
    at: str
    remembered: comparison.Remembered

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.source, self.at)))


@dataclass(frozen=True, slots=True)
class Registration:
    """The hooks of a source, at all of its places.

    wait_seconds  how long an instance may use the values that a secret had before
    show          prints a line
    show_wait     shows how many seconds of a wait are left; 0 ends the wait
    apply_command the command that makes the hooks as the configuration wants them
    others        the remembered hooks of other sources at the same API
    """

    api: HookApi
    wanted: Wanted
    places: Sequence[str]
    secret: SourceSecret
    row: Row
    wait_seconds: float
    show: Callable[[str], None]
    show_wait: Callable[[float], None] = lambda _: None
    apply_command: str = "hookchain hooks apply"
    others: Sequence[NamedHook] = ()
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Lock the row, and unlock it at the end. Raises as `Row.lock` does."""
        await self.row.lock()
        try:
            yield
            if not self._may_sign_with_former_secret():
                self.row.forget_former_secrets()
        finally:
            await self.row.unlock()

    def _may_sign_with_former_secret(self) -> bool:
        """Return whether a hook may sign with a value that the source's secret does not have."""
        if self.api.kind.is_account_signed:
            return False
        try:
            stored = [self._fingerprint(value) for value in self._values()]
        except CommandError:
            return True
        return any(each.is_secret_unknown or each.secret not in stored for each in self.row.hooks.values())

    async def plan(self) -> list[comparison.Difference]:
        """Compare each place. Raises CommandError if no place can be listed, and Temporary."""
        stored = [self._fingerprint(value) for value in self._values()]
        differences: list[comparison.Difference] = []
        for at in dict.fromkeys((*self.places, *self.row.hooks)):
            try:
                if at in self.places:
                    difference = await self._difference(at, stored)
                else:
                    difference = await self._left_difference(at, differences)
            except CommandError as error:
                difference = comparison.Difference(at, "none", fault=str(error), is_gone=isinstance(error, Gone))
            differences.append(difference)
        if differences and all(each.fault for each in differences):
            raise CommandError(differences[0].fault)
        return differences

    async def _left_difference(self, at: str, others: Sequence[comparison.Difference]) -> comparison.Difference:
        """Return the difference at a place that has a remembered hook and is not in the configuration.

        `others` are the differences at the places that are in the configuration.
        """
        reason = "its place is not in the configuration any more"
        hooks, made_ids = await self._listed(at)
        for hook in sorted(hooks, key=lambda each: each.id not in made_ids):  # those that we made come first
            why = self._why_left(at, hook, made_ids)
            if why is None:
                continue
            configured = [each.at for each in others if each.hook and each.hook.id == hook.id]
            # If a place has only one hook, hooks of different places have the same id.
            if configured and not self.api.kind.is_single:
                why = f"it is also registered as {self._name(configured[0])}"
            if why:
                return comparison.Difference(at, "forget", (reason, why), hook)
            return comparison.Difference(at, "delete", (reason,), hook)
        return comparison.Difference(at, "forget", (reason,))

    def _same_hooks(self, at: str, hook: Hook) -> list[NamedHook]:
        """Return the remembered hooks at other places or of other sources that are this hook.

        A place can be written in several ways, and a source can be renamed. Two hooks with one id are the same. If a
        place has only one hook, the place, the URL and the bot decide, because most ids are the same everywhere.
        """
        if self.api.kind.is_single:
            is_same_url = self.api.kind.is_same_url
            same_place = [
                each for each in self.others if each.at == at and not _is_other_bot(each.remembered.id, hook.id)
            ]
            return [each for each in same_place if any(is_same_url(hook.url, url) for url in each.remembered.urls)]
        own = [NamedHook(self.wanted.source, place, each) for place, each in self.row.hooks.items() if place != at]
        return [each for each in (*own, *self.others) if hook.id in (each.remembered.id, each.remembered.new_id)]

    async def _difference(self, at: str, stored: Sequence[str]) -> comparison.Difference:
        hooks = await self._hooks(at)
        remembered = self.row.hooks.get(at)
        if remembered and comparison.missing_hook(self.api.kind, remembered, hooks):
            self._verify_listed(at, remembered)
        return comparison.compare(self.api.kind, at, self.wanted, hooks, remembered, stored, self.now())

    async def _hooks(self, at: str) -> list[Hook]:
        """Return the hooks at the place. Raises CommandError, also if the token is not that of the registered hook."""
        hooks = await self.api.hooks(at, own_urls(self.wanted, self.row.hooks))
        former_id = self.row.hooks[at].id if at in self.row.hooks else ""
        if self.api.kind.slot_id and _is_other_bot(former_id, hooks[0].id):
            rule = f"its hook is registered at the bot {former_id}, and the token belongs to the bot {hooks[0].id}"
            remove = self.apply_command.replace("hooks apply", "hooks remove", 1)
            steps = f"With the former bot's token: `{remove}`. If that bot does not exist any more: `{remove} --forget`"
            raise Gone(f"{self._name(at)}: {rule}. {steps}")
        return hooks

    async def apply(self, difference: comparison.Difference) -> None:
        """Make the change at the provider, and remember the hook. Raises CommandError and Temporary."""
        at, hook = difference.at, difference.hook
        try:
            match difference.action:
                case "create" if self.api.kind.is_single:
                    [slot] = await self._hooks(at)
                    if slot.url:
                        raise self._has_changed(at)
                    await self._change(at, slot)
                case "create":
                    await self._create(at)
                case "renew":
                    await self._create(at, hook)
                case "change":
                    assert hook
                    await self._change(at, hook)
                case "extend":
                    assert hook
                    expires_at = await self.api.extend(at, hook)
                    self.row.hooks[at] = replace(self.row.hooks[at], expires_at=expires_at)
                    await self.row.save()
                    self.show(f"{self._name(at)}: extended")
                case "finish":
                    await self._finish(difference)
                case "delete" | "forget":
                    await self.remove(at)
                case "none":
                    return
        except LostAnswer as error:
            raise CommandError(f"{error}. Run `{self.apply_command}` again: it lists the hooks first") from error

    def new_facts(self, differences: Sequence[comparison.Difference]) -> dict[str, comparison.Remembered]:
        """Return the hooks that need no change, but whose URL or expiry at the provider is not the remembered one."""
        hooks: dict[str, comparison.Remembered] = {}
        for each in differences:
            remembered = self.row.hooks.get(each.at)
            is_own = remembered and each.hook and (self.api.kind.is_single or remembered.id == each.hook.id)
            if remembered and each.hook and is_own and each.action == "none":
                expires_at = each.hook.expires_at or 0.0
                current = replace(remembered, id=each.hook.id, url=each.hook.url, new_url="", expires_at=expires_at)
                if current != remembered:
                    hooks[each.at] = current
        return hooks

    async def remember_facts(self, differences: Sequence[comparison.Difference]) -> None:
        """Store the new facts. Raises CommandError and Temporary."""
        if facts := self.new_facts(differences):
            self.row.hooks = self.row.hooks | facts
            await self.row.save()

    async def rotation_plan(self) -> list[comparison.Difference]:
        """Compare each place. Raises CommandError if no rotation can begin or continue, and Temporary."""
        differences = await self.plan()
        if fault := next((each.fault for each in differences if each.fault), ""):
            raise CommandError(fault)
        is_same_secret = all(
            each.action == "finish" or {*each.reasons} <= {comparison.IS_OLDER, comparison.IS_UNKNOWN}
            for each in _changes(differences)
        )
        if not is_same_secret or any(each.overwrites for each in differences):
            rule = f"the hooks of {self.wanted.source} differ from the configuration"
            raise CommandError(f"{rule}. Run `{self.apply_command}` first")
        return differences

    async def rotate(self, store_new_value: Callable[[], Awaitable[object]] | None) -> None:
        """Give each hook a new secret, while requests with the old and the new one are accepted.

        `store_new_value` is called only if we choose the secret and no interrupted rotation is to be continued. It is
        None if another source with the same secret has begun the rotation. Raises CommandError and Temporary.
        """
        begun = [each.at for each in _changes(await self.rotation_plan())]
        if begun:
            self.show(f"{self.wanted.source}: continuing the rotation that has begun")
        elif self.api.kind.secret is None and store_new_value:
            await store_new_value()
            if self.secret.set_at() is not None:
                # The time in the store is by another clock, which may be behind this one. So wait from now on.
                await self.wait_for_instances(self.now())
        for each in await self.rotation_plan():  # after the wait, in which somebody may have changed a hook
            for note in each.notes:
                self.show(f"{self._name(each.at)}: note: {note}")
            is_renewed = self.api.kind.secret is not None and each.at not in begun
            await self.apply(each._replace(action="renew") if is_renewed else each)

    def verify_rotated(self) -> None:
        """Raise CommandError if a hook does not sign with the newest value, or any value that its provider made."""
        stored = [self._fingerprint(value) for value in self._values()]
        current = stored if self.api.kind.secret else stored[:1]
        others = [self._name(at) for at, each in self.row.hooks.items() if each.stage or each.secret not in current]
        if others:
            rule = f"{', '.join(others)}: another command has changed the secret or the hook meanwhile"
            raise CommandError(f"{rule}, so the provider may sign with a value that is not the newest. Rotate it again")

    def removal_deletes(self, at: str) -> bool:
        """Return whether `remove` deletes the remembered hook, or one that an interrupted creation left, if listed."""
        remembered = self.row.hooks[at]
        if remembered.stage:
            return self.api.kind.can_delete
        return remembered.is_made and not self._same_hooks(at, Hook(remembered.id, remembered.url, None))

    async def remove(self, at: str) -> bool:
        """Delete the hook if we made it and nobody else has changed its URL.

        Return whether no hook with our URL is left, except those that other sources have registered. Raises
        CommandError and Temporary.
        """
        with suppress(CommandError):  # a removal does not need the secret, except to mask it
            self._values()
        hooks, made_ids = await self._listed(at)
        await self.row.save()  # renews the lock, and fails if another command has changed the row
        is_deleted, is_left = False, False
        for hook in hooks:
            why = self._why_left(at, hook, made_ids)
            if why:
                self._show_left_alone(at, hook, why)
                is_left = is_left or not self._same_hooks(at, hook)
            elif why is not None:
                await self._delete(at, hook)
                is_deleted = True
        del self.row.hooks[at]
        await self.row.save()
        self.show(f"{self._name(at)}: {'deleted' if is_deleted else 'forgotten'}")
        return not is_left

    async def _listed(self, at: str) -> tuple[list[Hook], set[str]]:
        """Return the hooks at a place, and the ids of those that we made. Raises CommandError if one is not listed."""
        remembered = self.row.hooks[at]
        hooks = await self._hooks(at)
        if fault := comparison.missing_hook(self.api.kind, remembered, hooks):
            self._verify_listed(at, remembered)
            raise Gone(f"{self._name(at)}: {fault}")
        new, is_ours = comparison.lost_creation(hooks, remembered, self.wanted)
        if new is None and remembered.stage == "creating":
            self._verify_listed(at, remembered)
        made_ids = {remembered.new_id}
        if remembered.is_made and self.api.kind.is_single:
            made_ids |= {hook.id for hook in hooks if hook.url}
        elif remembered.is_made:
            made_ids.add(remembered.id)
        if new and is_ours:
            made_ids.add(new.id)
        if remembered.stage == "enabled":
            made_ids.update(remembered.known[:1])  # the replaced hook, which may still exist
        return hooks, made_ids

    def _why_left(self, at: str, hook: Hook, made_ids: Collection[str]) -> str | None:
        """Return why a removal leaves the hook alone; empty if it deletes it, and None if it is a hook of others."""
        remembered = self.row.hooks[at]
        is_our_url = bool(hook.url) and hook.url in (*remembered.urls, self.wanted.url)
        if hook.id not in made_ids and not is_our_url:
            return None
        if same := self._same_hooks(at, hook):
            return f"it is also registered as {same[0].name}"
        if not self.api.kind.can_delete:
            return f"{self.api.kind.title} lets only a person delete it"
        if hook.id not in made_ids:
            is_adopted = hook.id == remembered.id
            return "Hookchain did not make it" if is_adopted else "it is not certain that Hookchain made it"
        return "" if is_our_url else "somebody else changed its URL"

    async def unlisted(self) -> dict[str, CommandError]:
        """Return the places whose remembered hooks are not listed, and why: they are Gone, or it is not known."""
        faults: dict[str, CommandError] = {}
        for at in self.row.hooks:
            try:
                await self._listed(at)
            except CommandError as error:
                faults[at] = error
        return faults

    # Stages

    async def _change(self, at: str, hook: Hook) -> None:
        """Change the hook as wanted, adopting one that is not ours. Raises LostAnswer, CommandError and Temporary."""
        remembered = self.row.hooks.get(at)
        is_own = remembered is not None and (self.api.kind.is_single or remembered.id == hook.id)
        is_new = not hook.url  # a place that has one hook at most lists it without a URL until it is set
        is_made = (is_new and self.api.kind.can_delete) or any(
            each.remembered.is_made for each in self._same_hooks(at, hook)
        )
        own = remembered if remembered and is_own else comparison.Remembered(hook.id, is_made=is_made)
        await self.row.save()
        wanted = self._wanted_with_secret()
        secret = own.secret if self.api.kind.secret else self._fingerprint(wanted.secret)
        if wanted.secret and (is_new or (is_own and own.secret != secret)):
            await self._wait_with(at, wanted, self.secret.set_at() or (0.0 if is_new else self.now()))
            if await self._url_of(at, hook.id) != hook.url:
                raise self._has_changed(at)
        url = hook.url if hook.url in own.urls else own.url
        known_secret = secret if own.secret == secret else ""  # until the answer, it may have the former or the new one
        self.row.hooks[at] = replace(own, url=url, new_url=self.wanted.url, secret=known_secret)
        await self.row.save()
        try:
            self._verify_secret(at, wanted)
            await self.api.change(at, wanted, hook)  # if its answer is lost, sending it again has the same effect
        except CommandError:
            self._restore(at, remembered)
            await self.row.save()
            raise
        if hook.url != self.wanted.url and await self._url_of(at, hook.id) != self.wanted.url:
            rule = f"{self._name(at)}: {self.api.kind.title} does not show the URL {self.wanted.url} yet"
            raise CommandError(f"{rule}, although it answered that the hook was changed. Run the command again")
        expires_at = hook.expires_at or 0.0
        self.row.hooks[at] = replace(
            own, id=hook.id, url=self.wanted.url, new_url="", secret=secret, expires_at=expires_at
        )
        await self.row.save()
        self.show(f"{self._name(at)}: {'registered' if is_new else 'changed'}")

    async def _create(self, at: str, replaced: Hook | None = None) -> None:
        """Create a hook, then delete the one that it replaces, which sends events until the new one does.

        Raises LostAnswer, CommandError and Temporary.
        """
        if self.api.kind.secret:
            self.secret.verify_writable()
        wanted = self._wanted_with_secret()
        if wanted.secret:
            await self._wait_with(at, wanted, self.secret.set_at() or 0.0)
        hooks = await self._hooks(at)  # after the wait, in which somebody may have made one
        if replaced is None and any(hook.url == self.wanted.url for hook in hooks):
            raise self._has_changed(at)
        remembered = self.row.hooks.get(at)
        former = (
            comparison.Remembered(replaced.id, replaced.url) if replaced else comparison.Remembered(url=self.wanted.url)
        )
        if remembered and remembered.id == former.id:
            former = replace(remembered, url=former.url)
        known_ids = tuple(hook.id for hook in hooks)
        creating = replace(former, stage="creating", known=known_ids, new_url=self.wanted.url, stored_at=self.now())
        self.row.hooks[at] = creating
        await self.row.save()
        try:
            self._verify_secret(at, wanted)
            hook, secret = await self.api.create(at, wanted._replace(existing=replaced))
        except CommandError:
            self._restore(at, remembered)
            await self.row.save()
            raise
        if hook.id in creating.known:
            raise CommandError(
                f"{self._name(at)}: {self.api.kind.title} answered with another hook; compare them there"
            )
        if self.api.own_form(hook.url, own_urls(self.wanted, self.row.hooks)) != wanted.url:
            await self._remember_new(at, replace(creating, new_id=hook.id), hook)
            raise self._other_url(at, hook.url)
        if self.api.kind.secret is None:
            secret = self._fingerprint(wanted.secret)
            made = comparison.Remembered(hook.id, self.wanted.url, secret, is_made=True, stored_at=creating.stored_at)
            await self._remember_new(at, made, hook)
            await self._verify_only_one(at, hook, creating.known, remembered)
            self.show(f"{self._name(at)}: registered")
            return
        created = replace(creating, stage="created", new_id=hook.id, expires_at=hook.expires_at or 0.0)
        await self._remember_new(at, created, hook)
        await self._verify_only_one(at, hook, creating.known, remembered)
        await self._store_made_secret(at, created, hook, secret)
        await self._enable(at)

    async def _remember_new(self, at: str, remembered: comparison.Remembered, hook: Hook) -> None:
        """Store the hook that was created. Delete it again if another command has changed the row meanwhile."""
        self.row.hooks[at] = remembered
        try:
            await self.row.save()
        except CommandError:
            if hook.id not in await self.row.stored_ids():  # else the other command has adopted it
                await self._delete(at, hook)
            raise

    async def _verify_only_one(
        self, at: str, hook: Hook, known: Collection[str], remembered: comparison.Remembered | None
    ) -> None:
        """Delete the new hook again if somebody else has created one with the same URL meanwhile.

        Two commands that do not share a row may both delete theirs. The next one then creates a hook. Raises
        CommandError and Temporary.
        """
        hooks = await self._hooks(at)
        others = [each.id for each in hooks if each.url == self.wanted.url and each.id not in (*known, hook.id)]
        if others:
            await self._delete(at, hook)
            self._restore(at, remembered)
            await self.row.save()
            rule = f"somebody else has created the hook {others[0]} with the same URL meanwhile"
            raise CommandError(f"{self._name(at)}: {rule}; the new one was deleted again. Run the command again")

    async def _store_made_secret(self, at: str, created: comparison.Remembered, hook: Hook, secret: str) -> None:
        """Store the secret that the provider made, while the new hook is disabled if the provider can do so."""
        if self.api.kind.can_disable:
            await self.api.change(at, self.wanted._replace(is_enabled=False), hook)
        self._store(secret)
        new_secret = self._fingerprint(secret)
        if self._newest() != new_secret:
            raise CommandError(f"{self._name(at)}: the stored secret cannot be read back; the hook stays disabled")
        self.row.hooks[at] = replace(created, stage="stored", new_secret=new_secret, stored_at=self.now())
        await self.row.save()
        self.show(f"{self._name(at)}: created; its secret is stored")

    async def _enable(self, at: str) -> None:
        """Enable the new hook as soon as every instance accepts its secret. Raises CommandError and Temporary."""
        remembered = self.row.hooks[at]
        await self.wait_for_instances(remembered.stored_at)
        if remembered.new_secret not in map(self._fingerprint, self._values()):
            raise self._secret_has_changed(at)
        if await self._url_of(at, remembered.new_id) not in (None, self.wanted.url):
            raise self._has_changed(at)
        if self.api.kind.can_disable:
            await self.api.change(at, self.wanted, Hook(remembered.new_id, self.wanted.url, self.wanted.events))
        made = comparison.Remembered(
            remembered.new_id,
            self.wanted.url,
            remembered.new_secret,
            is_made=True,
            stored_at=remembered.stored_at,
            expires_at=remembered.expires_at,
        )
        await self._finish_enabled(at, made, remembered.id, remembered.url)

    async def _finish_enabled(self, at: str, made: comparison.Remembered, replaced_id: str, replaced_url: str) -> None:
        """Remember the new hook, then delete the one that it replaces."""
        if replaced_id and replaced_id != made.id:
            self.row.hooks[at] = replace(made, stage="enabled", known=(replaced_id, replaced_url))
            await self.row.save()
            await self._delete_unchanged(at, replaced_id, [replaced_url])
        self.row.hooks[at] = made
        await self.row.save()
        self.show(f"{self._name(at)}: registered")

    async def _finish(self, difference: comparison.Difference) -> None:
        """Continue a creation that was interrupted at any stage."""
        at, hook = difference.at, difference.hook
        remembered = self.row.hooks[at]
        await self.row.save()  # renews the lock, and fails if another command has finished it
        if remembered.stage == "enabled":
            await self._finish_enabled(at, replace(remembered, stage="", known=()), *remembered.known)
            return
        is_secret_stored = remembered.stage == "stored" and self._newest() == remembered.new_secret
        if is_secret_stored and await self._url_of(at, remembered.new_id) == self.wanted.url:
            await self._enable(at)
            return
        new, _ = comparison.lost_creation([hook] if hook else [], remembered, self.wanted)
        if new and self.api.kind.secret is None:
            self.row.hooks[at] = comparison.Remembered(new.id, is_made=not difference.is_foreign, new_url=new.url)
            await self._change(at, new)
            return
        if new is None and remembered.stage == "creating":
            if other_url := await self._url_of(at, remembered.new_id):
                raise self._other_url(at, other_url)
            self._verify_listed(at, remembered)
        await self._start_again(at, new.id if new else remembered.new_id)

    def _verify_listed(self, at: str, remembered: comparison.Remembered) -> None:
        """Raise CommandError if the hook was created so recently that the provider may not list it yet."""
        left = remembered.stored_at + LIST_SECONDS - self.now()
        if left > 0:
            rule = f"{self._name(at)}: the hook may have been created, although {self.api.kind.title} does not list it"
            raise CommandError(f"{rule} yet. Run the command again in {left:.0f} s")

    async def _start_again(self, at: str, unfinished_id: str) -> None:
        """Delete the hook whose secret is lost, and create another."""
        remembered = self.row.hooks[at]
        if unfinished_id:
            await self._delete_unchanged(at, unfinished_id, remembered.urls)
        former = replace(remembered, stage="", known=(), new_id="", new_secret="", new_url="", stored_at=0.0)
        self._restore(at, former if remembered.id else None)
        await self.row.save()
        stored = [self._fingerprint(value) for value in self._values()]
        difference = await self._difference(at, stored)
        if difference.action == "create" and not difference.overwrites:
            await self._create(at)
        elif difference.hook and difference.hook.id == remembered.id:
            await self._create(at, difference.hook)
        else:
            raise self._has_changed(at)

    async def _url_of(self, at: str, id: str) -> str | None:
        """Return the URL that the hook has now; None if it is not listed."""
        return next((hook.url for hook in await self._hooks(at) if hook.id == id), None)

    async def _delete_unchanged(self, at: str, id: str, former_urls: Sequence[str]) -> None:
        """Delete the hook, unless somebody else has changed its URL meanwhile."""
        url = await self._url_of(at, id)
        if url in (None, *former_urls, self.wanted.url):  # one that is not listed yet is deleted too
            await self._delete(at, Hook(id, self.wanted.url, None))
        else:
            self._show_left_alone(at, Hook(id, str(url), None), "somebody else changed its URL")

    async def _delete(self, at: str, hook: Hook) -> None:
        """Delete the hook. Raises CommandError if it is listed nevertheless."""
        fault = f"{self._name(at)}: {self.api.kind.title} still lists the hook {hook.id}"
        try:
            await self.api.delete(at, hook)
        except LostAnswer as error:
            fault = str(error)
        if await self._url_of(at, hook.id):
            raise CommandError(f"{fault}. Run the command again")

    def _other_url(self, at: str, url: str) -> CommandError:
        rule = f"{self._name(at)}: {self.api.kind.title} shows the URL of the new hook as {url}"
        return CommandError(f"{printable(rule)}. Delete the hook there, then register this URL, or {self.wanted.url}")

    def _has_changed(self, at: str) -> CommandError:
        return CommandError(f"{self._name(at)}: the hooks have changed meanwhile; run the command again")

    def _secret_has_changed(self, at: str) -> CommandError:
        return CommandError(f"{self._name(at)}: its secret has changed meanwhile; run the command again")

    def _show_left_alone(self, at: str, hook: Hook, why: str) -> None:
        self.show(f"{self._name(at)}: left alone, because {why}: {hook.url} ({hook.id})")

    async def _wait_with(self, at: str, wanted: Wanted, stored_at: float) -> None:
        """Wait for the instances. Raises Temporary, and CommandError if the secret has changed during the wait."""
        await self.wait_for_instances(stored_at)
        self._verify_secret(at, wanted)

    def _verify_secret(self, at: str, wanted: Wanted) -> None:
        """Raise CommandError if the secret has changed. Once the row is saved with an unknown one, none is dropped."""
        if self._wanted_with_secret() != wanted:
            raise self._secret_has_changed(at)

    async def wait_for_instances(self, stored_at: float) -> None:
        """Wait until every instance has read the secret that was stored at `stored_at` (Unix seconds).

        The row stays locked. Raises CommandError and Temporary.
        """
        while (left := stored_at + self.wait_seconds - self.now()) > 0:
            self.show_wait(left)
            await self.row.save()
            await self.sleep(min(left, TICK_SECONDS))
        self.show_wait(0.0)

    # Secrets and names

    def _wanted_with_secret(self) -> Wanted:
        """Return the wanted hook, with the newest value of the secret if we choose it. Raises CommandError."""
        if self.api.kind.secret or self.api.kind.is_account_signed:
            return self.wanted
        values = self._values()
        if not values:
            raise CommandError(f"{self.wanted.source}: its secret does not exist yet; set it first")
        return self.wanted._replace(secret=values[0])

    def _store(self, value: str) -> None:
        """Store the value as the newest one. Keep KEPT_VALUES former ones, and those with which hooks may sign."""
        former = [each for each in self._values() if each != value]
        used = [each for each in former[KEPT_VALUES:] if signs_with(self.wanted.source, self.row.hooks, [each])]
        self.secret.store([value, *former[:KEPT_VALUES], *used])

    def _values(self) -> Sequence[str]:
        """Return the stored values, and mask them in the API's messages from now on. Raises CommandError."""
        values = self.secret.values()
        self.api.hidden.update(values)
        return values

    def _newest(self) -> str:
        return next((self._fingerprint(value) for value in self._values()), "")

    def _fingerprint(self, value: str) -> str:
        return comparison.fingerprint(self.wanted.source, value)

    def _restore(self, at: str, remembered: comparison.Remembered | None) -> None:
        if remembered:
            self.row.hooks[at] = remembered
        else:
            self.row.hooks.pop(at, None)

    def _name(self, at: str) -> str:
        return " ".join(filter(None, (self.wanted.source, at)))


def signs_with(source: str, hooks: Mapping[str, comparison.Remembered], values: Sequence[str]) -> list[str]:
    """Return the places whose hooks may sign with one of these values."""
    fingerprints = [comparison.fingerprint(source, each) for each in values]
    return [at for at, remembered in hooks.items() if any(map(remembered.may_sign_with, fingerprints))]


def _is_other_bot(id: str, other: str) -> bool:
    """Return whether the ids of hooks, each the only one of its place, show that they belong to different bots."""
    # Earlier versions stored `webhook` as the id of any bot's hook.
    return id != other and not {id, other} & {"", "webhook"}


def _changes(differences: Sequence[comparison.Difference]) -> list[comparison.Difference]:
    """Return the differences that change a hook or its secret."""
    return [each for each in differences if each.action not in ("none", "extend")]


def own_urls(wanted: Wanted, hooks: Mapping[str, comparison.Remembered]) -> list[str]:
    """Return the wanted URL and the URLs that our requests may have given to the hooks."""
    return [wanted.url, *(url for remembered in hooks.values() for url in remembered.urls)]


def remembered_urls(hooks: Mapping[str, comparison.Remembered]) -> list[str]:
    """Return the URLs that the registered hooks should have."""
    urls = [remembered.new_url or remembered.url for remembered in hooks.values()]
    return [url for url in urls if url]
