"""The stored document about the hooks of one source: a row, which also is the lock of the command that changes them."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Final, NamedTuple

from deploy.hooks.comparison import NONE_REPLACED, RememberedHook, ReplacedHook, fingerprint
from deploy.terminal.command_line import CommandError
from functions.notify.hook_expiry import PARTITION
from shared import errors, store_ports
from shared.jsontext import JsonObject, from_json, list_at, mapping_at, mappings_at

MAX_SOURCES: Final = 1_000
"""The most rows that are read."""
LOCK_SECONDS: Final = 120.0
"""How long a lock lasts after the last write of its row, each of which renews it. A single request takes less."""


class UnreadableRow(CommandError):
    """An error: this version cannot read a stored row."""


class NamedHook(NamedTuple):
    """A remembered hook with its source and place."""

    source: str
    at: str
    remembered: RememberedHook

    @property
    def name(self) -> str:
        return hook_name(self.source, self.at)


def hook_name(source: str, at: str) -> str:
    """Return a hook's name in messages: `github acme/shop`, or only the source if its account has one place."""
    return f"{source} {at}" if at else source


class Row:
    """The remembered hooks of a source, by place. While the row is locked, no other command changes it.

    A command reads the row, locks it, changes `hooks`, saves it after each step at the provider, and unlocks it. The
    lock is a field of the stored document, which is written only at the version that was read last.

    hooks     empty for a source without a stored document
    settings  the source's provider, secret and `hook`, to remove its hooks after the configuration has lost them
    secrets   the names of the source's secret, former ones too, with a value of which a hook may sign
    """

    def __init__(self, documents: store_ports.Documents, source: str, now: Callable[[], float] = time.time) -> None:
        self.source = source
        self.hooks: dict[str, RememberedHook] = {}
        self.settings: JsonObject = {}
        self.secrets: list[str] = []
        self._documents = documents
        self._now = now
        self._version = store_ports.NO_VERSION

    @property
    def named_hooks(self) -> list[NamedHook]:
        return [NamedHook(self.source, at, remembered) for at, remembered in self.hooks.items()]

    @property
    def urls(self) -> list[str]:
        """Return the URLs that the registered hooks should have."""
        return [each.registered_url for each in self.hooks.values() if each.registered_url]

    def places_signing_with(self, values: Sequence[str]) -> list[str]:
        """Return the places whose hooks may sign with one of these values of the source's secret."""
        fingerprints = [fingerprint(self.source, each) for each in values]
        return [at for at, remembered in self.hooks.items() if any(map(remembered.may_sign_with, fingerprints))]

    async def read(self) -> float:
        """Read the row, and return the end of its lock as `load` does. Raises Temporary and UnreadableRow."""
        return self.load(await self._documents.get(PARTITION, self.source))

    def load(self, document: store_ports.Document | None) -> float:
        """Take over the document's fields, and return the end of its lock in Unix seconds; 0 if it has no lock.

        None stands for no document: the row becomes empty. Raises UnreadableRow, and then changes at most `hooks`.
        """
        try:
            fields = from_json(document.text.encode()) if document else None
            self.hooks = {at: _remembered(each) for at, each in mappings_at(fields, "hooks").items()}
            locked_until = float(str(mapping_at(fields, "lock").get("until", 0)))
        except (ValueError, RecursionError) as error:
            rule = f"the document {PARTITION}/{self.source} is not as this version stores hooks: {error}"
            raise UnreadableRow(f"{rule}. Correct or delete it. `hookchain hooks apply` adopts a hook again") from error
        self._version = document.version if document else store_ports.NO_VERSION
        self.settings = mapping_at(fields, "settings")
        # Earlier versions stored only `secret` among the settings, the name at the last registration.
        self.secrets = [*map(str, list_at(fields, "secrets") or [self.settings.get("secret", "")])]
        return locked_until

    async def lock(self, settings: JsonObject | None = None) -> None:
        """Lock the row for LOCK_SECONDS, and store the settings if there are new ones.

        Raises CommandError if another command has locked it, or has changed its hooks since it was read, and Temporary.
        """
        hooks_before = self.hooks
        left_seconds = await self.read() - self._now()
        if left_seconds > 0:
            rule = f"another command is changing the hooks of {self.source}"
            raise CommandError(f"{rule}; nothing was changed. If it was killed, try again in {left_seconds:.0f} s")
        if self.hooks != hooks_before:
            raise self._has_changed()
        self.settings = settings or self.settings
        self.secrets = list(dict.fromkeys((*self.secrets, self._current_secret)))
        await self.save()

    @property
    def _current_secret(self) -> str:
        return str(self.settings.get("secret", ""))

    def forget_former_secrets(self) -> None:
        """Keep only the name in the settings, once no hook signs with a value of a former secret."""
        self.secrets = [self._current_secret]

    async def save(self) -> None:
        """Write the row and renew the lock. Raises Temporary, and CommandError if another command has changed it."""
        await self._write({"until": self._now() + LOCK_SECONDS})

    async def unlock(self) -> None:
        """Release the lock, and delete a row without hooks. If this fails, the lock ends after LOCK_SECONDS."""
        with suppress(CommandError, errors.Temporary):
            if self.hooks:
                await self._write({})
            else:
                await self._documents.delete(PARTITION, self.source, self._version)

    async def _write(self, lock: JsonObject) -> None:
        hooks = {at: stored_document(each) for at, each in self.hooks.items()}
        text = json.dumps({"hooks": hooks, "settings": self.settings, "secrets": self.secrets, "lock": lock})
        version = await self._documents.write(PARTITION, self.source, text, self._version)
        if version is None:
            raise self._has_changed()
        self._version = version

    def _has_changed(self) -> CommandError:
        return CommandError(f"another command has changed the hooks of {self.source}; run this one again")


async def read_rows(documents: store_ports.Documents) -> dict[str, Row]:
    """Return the rows of all sources that have remembered hooks. Raises Temporary and UnreadableRow."""
    rows: dict[str, Row] = {}
    for document in await documents.page(PARTITION, MAX_SOURCES):
        row = Row(documents, document.id)
        row.load(document)
        if row.hooks:
            rows[row.source] = row
    return rows


def stored_document(hook: RememberedHook) -> JsonObject:
    """Return the hook as it is stored. As in earlier versions, the field `known` has the replaced hook, if any."""
    document = asdict(hook)
    replaced = document.pop("replaced")
    return document | {"known": replaced} if hook.replaced.id else document


def _remembered(document: JsonObject) -> RememberedHook:
    """Return the hook. A field that a later version added is left out, and one that an earlier version lacks is empty.

    Raises ValueError if one of the first fields, which all versions have, is missing.
    """
    names = ("id", "url", "secret", "stage", "new_id", "new_secret")
    if missing := [name for name in names if name not in document]:
        raise ValueError(f"a hook has no {', '.join(missing)}")
    texts = {name: str(document[name]) for name in names}
    known = tuple(map(str, list_at(document, "known")))
    is_enabled = texts["stage"] == "enabled"
    return RememberedHook(
        **texts,
        is_made=document.get("is_made") is True,
        known=() if is_enabled else known,
        replaced=ReplacedHook(known[0], known[1]) if is_enabled and len(known) > 1 else NONE_REPLACED,
        stored_at=float(str(document.get("stored_at", 0))),
        expires_at=float(str(document.get("expires_at", 0))),
        new_url=str(document.get("new_url", "")),
    )
