"""The list of people: in notify's slice of the configuration, or at a URL that the slice names."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from functions.notify.recipients import people
from shared import errors, jsontext, logs, ports
from shared.fetch import Fetch, Outgoing

CACHE_SECONDS: Final = 600.0
"""How long a list from a URL is used before it is read again."""
STALE_SECONDS: Final = 86_400.0
"""How long the last list is used while the URL cannot be read."""
AGAIN_SECONDS: Final = 30.0
"""The time between two attempts to read the URL after a failure."""
FETCH_SECONDS: Final = 10.0
MAX_LOGGED: Final = 5
"""The number of faults of a list that are logged."""


def people_reader(
    written: jsontext.Json, fetch: Callable[[], Fetch], secrets: ports.Secrets, clock: ports.Clock
) -> people.ReadPeople:
    """Return the function that reads the people: from the slice's `people`, or from the URL there."""
    settings = jsontext.mapping_at(written)
    if isinstance(settings.get("url"), str):
        return FetchedDirectory(settings, fetch, secrets, clock).current
    return compiled_reader(settings)


def compiled_reader(settings: jsontext.JsonObject) -> people.ReadPeople:
    """Return the function that reads the people whom the slice itself lists: once, when it is called first."""
    directory = cache(lambda: compiled_directory(settings))

    async def read() -> people.Directory:
        return directory()

    return read


def compiled_directory(settings: jsontext.JsonObject) -> people.Directory:
    """Return the people that the slice itself lists."""
    listed, _ = people.read_rows(jsontext.objects_at(settings, "rows"))
    return people.Directory(listed, providers_of(settings))


def providers_of(settings: jsontext.JsonObject) -> Mapping[str, str]:
    """Return the provider of each source that has one."""
    return {name: str(provider) for name, provider in jsontext.mapping_at(settings, "providers").items()}


@dataclass(slots=True)
class FetchedDirectory:
    """A list of people at a URL.

    If it is older than CACHE_SECONDS, one delivery reads it again for all of them, and waits for that. Until then, the
    others use the last list, if it is no older than STALE_SECONDS. If the URL cannot be read, the last list is used for
    the same time, and the URL is not read again for AGAIN_SECONDS.
    """

    settings: jsontext.JsonObject
    fetch: Callable[[], Fetch]
    secrets: ports.Secrets
    clock: ports.Clock
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: people.Directory | None = None
    _fault: errors.Temporary | None = None
    _read_at: float = 0.0
    _refresh_at: float = 0.0

    async def current(self) -> people.Directory:
        """Return the people. Raises Temporary (`people_unavailable`) if there is no list of the last STALE_SECONDS."""
        if self._is_fresh():
            return self._usable()
        is_being_read = self._lock.locked()
        if is_being_read and not self._is_stale():
            return self._usable()
        async with self._lock:
            if not self._is_fresh():
                await self._refresh()
            return self._usable()

    def _is_fresh(self) -> bool:
        """Return whether the list need not be read now, because it was read, or could not be read, shortly before."""
        now = self.clock.now()
        # After a clock was set back, `_refresh_at` can be later than any time that was set.
        return now < self._refresh_at <= now + CACHE_SECONDS

    def _is_stale(self) -> bool:
        """Return whether the last list may not be used any more, or whether there is none."""
        return self._last is None or self.clock.now() >= self._read_at + STALE_SECONDS

    def _usable(self) -> people.Directory:
        """Return the last list. Raises Temporary if it is stale."""
        if self._last is None or self._is_stale():
            raise self._fault or errors.Temporary("people_unavailable", "the list of people is older than a day")
        return self._last

    async def _refresh(self) -> None:
        """Read the list. If that fails, log it, and keep the last list."""
        try:
            directory = await self._read()
        except errors.HookchainError as error:
            self._failed(error.detail)
        except people.UnreadableList as error:
            self._failed(f"it {error}")
        else:
            self._last, self._fault = directory, None
            self._read_at = self.clock.now()
            self._refresh_at = self._read_at + CACHE_SECONDS

    def _failed(self, reason: str) -> None:
        self._fault = errors.Temporary("people_unavailable", f"the list of people cannot be read: {reason}")
        now = self.clock.now()
        self._refresh_at = now + AGAIN_SECONDS
        use = "its last content serves for a day" if self._last is not None else "deliveries to people wait"
        logs.log(
            "WARNING",
            "people not read",
            function="notify",
            code=self._fault.code,
            detail=f"{self._fault.detail}; {use}",
        )

    async def _read(self) -> people.Directory:
        """Read the list at the URL. Raises HookchainError and UnreadableList."""
        headers: tuple[tuple[str, str], ...] = (("accept", "application/json, text/csv"),)
        if isinstance(secret := self.settings.get("secret"), str):
            [token, *_] = await self.secrets.values(secret)  # the newest value
            headers = (*headers, ("authorization", f"Bearer {token}"))
        request = Outgoing(
            "GET",
            str(self.settings["url"]),
            headers,
            timeout_seconds=FETCH_SECONDS,
            max_bytes=people.MAX_BYTES,
            allow_private=self.settings.get("allow_private") is True,
        )
        fetched = await self.fetch().fetch(request)
        if fetched.status != 200:
            raise people.UnreadableList(f"answered {fetched.status}")
        if fetched.is_cut:
            raise people.UnreadableList(f"has more than {people.MAX_BYTES:,} bytes")
        return await asyncio.to_thread(_directory, fetched.body, providers_of(self.settings))


def _directory(content: bytes, providers: Mapping[str, str]) -> people.Directory:
    """Return the people in the content. Its faults are logged with the numbers of their rows. Raises UnreadableList."""
    listed, faults = people.read_rows(people.parse_rows(content))
    texts = [f"row {number}: {fault.key[:40]!r} {fault.rule}" for number, fault in faults[:MAX_LOGGED]]
    if not listed:
        raise people.UnreadableList("lists nobody with a name")
    directory = people.Directory(listed, providers)
    texts += [f"two people have the name {people.masked(name)!r}" for _, name in sorted(directory.shared)[:MAX_LOGGED]]
    if texts:
        count = len(faults) + len(directory.shared)
        logs.log("WARNING", "people with faults", function="notify", count=count, detail="; ".join(texts))
    return directory
