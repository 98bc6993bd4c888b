"""The list of people from where it is kept: notify's slice, or the URL that it names."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from functions.notify.people import Directory, People
from functions.notify.people_rows import MAX_BYTES, UnreadableList, parse_rows, read_rows
from functions.notify.recipient import Recipients, masked
from shared.errors import HookchainError, Temporary
from shared.fetch import Fetch, Outgoing
from shared.jsontext import Json, JsonObject
from shared.logs import log
from shared.ports import Clock, Secrets

CACHE_SECONDS: Final = 600.0
STALE_SECONDS: Final = 86_400.0
"""For how long the last list serves while the URL cannot be read."""
AGAIN_SECONDS: Final = 30.0
"""Between two attempts to read the URL."""
FETCH_SECONDS: Final = 10.0
MAX_LOGGED: Final = 5


def people_of(written: Json, fetch: Callable[[], Fetch], secrets: Secrets, clock: Clock) -> People:
    """Return the people of the slice's `people`."""
    settings = written if isinstance(written, dict) else {}
    if isinstance(settings.get("url"), str):
        return People(FetchedDirectory(settings, fetch, secrets, clock).current)
    compiled: list[Directory] = []

    async def current() -> Directory:
        if not compiled:
            compiled.append(compiled_directory(settings))
        return compiled[0]

    return People(current)


def compiled_directory(settings: JsonObject) -> Directory:
    """Return the people who are in the slice themselves."""
    rows = settings.get("rows")
    listed, _ = read_rows([row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [])
    return Directory(listed, providers_of(settings))


def compiled_recipients(written: Json) -> Recipients | None:
    """Return the recipients among the people in the slice's `people`; None if there are none, or at a URL."""
    if not isinstance(written, dict) or "url" in written:
        return None

    async def current() -> Directory:
        return compiled_directory(written)

    return Recipients(People(current), None)


def providers_of(settings: JsonObject) -> Mapping[str, str]:
    written = settings.get("providers")
    return {name: str(provider) for name, provider in written.items()} if isinstance(written, dict) else {}


class FetchedDirectory:
    """A list at a URL, read through the guarded fetch when it is older than ten minutes, by one delivery for all.

    While the URL cannot be read, the last list serves for a day. Deliveries in that time do not wait for the URL.
    """

    def __init__(self, settings: JsonObject, fetch: Callable[[], Fetch], secrets: Secrets, clock: Clock) -> None:
        self._settings = settings
        self._fetch = fetch
        self._secrets = secrets
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: Directory | None = None
        self._fault: Temporary | None = None
        self._read_at = 0.0
        self._refresh_at = 0.0

    async def current(self) -> Directory:
        """Raises Temporary (`people_unavailable`) where there is no list that is at most a day old."""
        now = self._clock.now()
        if self._is_fresh(now):
            return self._known(now)
        if self._lock.locked() and self._last is not None and now < self._read_at + STALE_SECONDS:
            return self._last  # another delivery reads it
        async with self._lock:
            now = self._clock.now()
            if not self._is_fresh(now):
                await self._refresh()
                now = self._clock.now()
            return self._known(now)

    def _is_fresh(self, now: float) -> bool:
        """Return whether the list need not be read now: it was read a short time ago, and no clock was set back."""
        return now < self._refresh_at <= now + CACHE_SECONDS

    def _known(self, now: float) -> Directory:
        if self._last is None or now >= self._read_at + STALE_SECONDS:
            raise self._fault or Temporary("people_unavailable", "the list of people is older than a day")
        return self._last

    async def _refresh(self) -> None:
        try:
            directory = await self._read()
        except HookchainError as error:
            self._failed(error.detail)
        except UnreadableList as error:
            self._failed(f"it {error}")
        else:
            self._last, self._fault = directory, None
            self._read_at = self._clock.now()
            self._refresh_at = self._read_at + CACHE_SECONDS

    def _failed(self, reason: str) -> None:
        self._fault = Temporary("people_unavailable", f"the list of people cannot be read: {reason}")
        now = self._clock.now()
        self._refresh_at = now + AGAIN_SECONDS
        use = "its last content serves for a day" if self._last is not None else "deliveries to people wait"
        log(
            "WARNING",
            "people not read",
            function="notify",
            code=self._fault.code,
            detail=f"{self._fault.detail}; {use}",
        )

    async def _read(self) -> Directory:
        """Raises HookchainError and UnreadableList."""
        headers: tuple[tuple[str, str], ...] = (("accept", "application/json, text/csv"),)
        if isinstance(secret := self._settings.get("secret"), str):
            [token, *_] = await self._secrets.values(secret)
            headers = (*headers, ("authorization", f"Bearer {token}"))
        url, is_private = str(self._settings["url"]), self._settings.get("allow_private") is True
        request = Outgoing(
            "GET", url, headers, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES, allow_private=is_private
        )
        fetched = await self._fetch().fetch(request)
        if fetched.status != 200:
            raise UnreadableList(f"answered {fetched.status}")
        if fetched.is_cut:
            raise UnreadableList(f"has more than {MAX_BYTES:,} bytes")
        return await asyncio.to_thread(_directory, fetched.body, providers_of(self._settings))


def _directory(content: bytes, providers: Mapping[str, str]) -> Directory:
    """Return the people of the content. What is at fault in it is logged, by numbers of rows."""
    listed, faults = read_rows(parse_rows(content))
    texts = [f"row {number}: {fault.key[:40]!r} {fault.rule}" for number, fault in faults[:MAX_LOGGED]]
    if not listed:
        raise UnreadableList("lists nobody with a name")
    directory = Directory(listed, providers)
    texts += [f"two people have the name {masked(name)!r}" for _, name in sorted(directory.shared)[:MAX_LOGGED]]
    if texts:
        count = len(faults) + len(directory.shared)
        log("WARNING", "people with faults", function="notify", count=count, detail="; ".join(texts))
    return directory
