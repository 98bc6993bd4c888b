"""The session of a command with the hooks of one source: the API, the row, the secret, the wait for the instances."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from deploy.hooks.api import HookApi
from deploy.hooks.comparison import fingerprint
from deploy.hooks.kind import HookKind, Wanted
from deploy.hooks.row import NamedHook, Row
from deploy.terminal.command_line import CommandError
from shared.jsontext import JsonObject

TICK_SECONDS: Final = 3.0
"""The longest time between two renewals of the lock during a wait."""
KEPT_VALUES: Final = 9
"""The number of former values that stay accepted until somebody drops them, if the provider makes the secret."""


class SourceSecret(Protocol):
    """The secret of the source in its store. Each call reads it again, and may raise CommandError."""

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

    def seconds_until_read(self, stored_at: float, now: float) -> float:
        """Return for how long an instance may lack values that were stored at `stored_at`; 0 or less if none does."""
        ...


@dataclass(frozen=True, slots=True)
class HookSession:
    """The hooks of one source while a command reads or changes them.

    api           the API of the provider, with the operator's token
    wanted        the hook that the configuration needs, without its secret
    show          prints a line
    show_wait     shows how many seconds of a wait for the instances are left; 0 ends the wait
    show_recovery  the same of a wait for the recovery
    is_recovered  the source has `recover`, which reads the events that the provider could not deliver
    recovery_seconds  how long a replaced hook stays, so that its events are recovered; 0 if they need not be
    settings      those of the source that the row stores with its hooks; empty to keep the stored ones
    apply_command the command that makes the hooks as the configuration wants them
    others        the remembered hooks of other sources at the same API
    now, sleep    the clock (Unix seconds) and the wait, which tests replace
    """

    api: HookApi
    wanted: Wanted
    secret: SourceSecret
    row: Row
    show: Callable[[str], None]
    show_wait: Callable[[float], None] = lambda _: None
    show_recovery: Callable[[float], None] = lambda _: None
    is_recovered: bool = False
    recovery_seconds: float = 0.0
    settings: JsonObject = field(default_factory=dict)
    apply_command: str = "hookchain hooks apply"
    others: Sequence[NamedHook] = ()
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @property
    def kind(self) -> HookKind:
        return self.api.kind

    @property
    def source(self) -> str:
        return self.wanted.source

    def values(self) -> Sequence[str]:
        """Return the stored values, and mask them in the API's messages from now on. Raises CommandError."""
        values = self.secret.values()
        self.api.hidden.update(values)
        return values

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of the stored values, newest first. Raises CommandError."""
        return [self.fingerprint(value) for value in self.values()]

    def fingerprint(self, value: str) -> str:
        """Return the fingerprint of a value of this source's secret: the same value has another one elsewhere."""
        return fingerprint(self.source, value)

    def has_newest(self, value_fingerprint: str) -> bool:
        """Return whether the newest stored value has this fingerprint. Raises CommandError."""
        return self.fingerprints()[:1] == [value_fingerprint]

    def wanted_with_secret(self) -> Wanted:
        """Return the wanted hook, with the newest value of the secret if we choose it. Raises CommandError."""
        if self.kind.makes_secret or self.kind.is_account_signed:
            return self.wanted
        values = self.values()
        if not values:
            raise CommandError(f"{self.source}: its secret does not exist yet; set it first")
        return self.wanted._replace(secret=values[0])

    def store_value(self, value: str) -> None:
        """Store the value as the newest one. Keep KEPT_VALUES former ones, and those with which hooks may sign.

        Raises CommandError.
        """
        former = [each for each in self.values() if each != value]
        used = [each for each in former[KEPT_VALUES:] if self.row.places_signing_with([each])]
        self.secret.store([value, *former[:KEPT_VALUES], *used])

    async def wait_for_instances(self, stored_at: float) -> None:
        """Wait until every instance has read the secret that was stored at `stored_at` (Unix seconds).

        The row stays locked. Raises CommandError and Temporary.
        """
        await self._wait(self.show_wait, lambda: self.secret.seconds_until_read(stored_at, self.now()))

    async def wait_for_recovery(self, created_at: float) -> None:
        """Wait until the sweep has read the events of a hook that one created at this time replaces (Unix seconds).

        Does nothing unless the provider's API alone has these events: they are gone once the replaced hook is deleted.
        Raises CommandError and Temporary.
        """
        await self._wait(self.show_recovery, lambda: created_at + self.recovery_seconds - self.now())

    async def _wait(self, show: Callable[[float], None], seconds_left: Callable[[], float]) -> None:
        """Wait until no seconds are left, which is computed again after each tick, and renew the lock meanwhile."""
        while (left := seconds_left()) > 0:
            show(left)
            await self.row.save()
            await self.sleep(min(left, TICK_SECONDS))
        show(0.0)
