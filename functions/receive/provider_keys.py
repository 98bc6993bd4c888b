"""Fetch the keys and certificates of providers from the URLs that their schemes allow, and cache them.

Some providers sign with a private key, and a request names the URL of the public key. So a stranger can cause fetches,
and they are bounded: one at a time for each URL, ten a minute in all. Every outcome is cached: a key for ten minutes, a
key that does not exist for a minute, a failed fetch for ten seconds.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from shared.errors import Permanent, Rejected, Temporary
from shared.fetch import Fetch, Outgoing
from shared.ports import Clock
from shared.signatures.auth_scheme import NeededKey

KEEP_SECONDS: Final = 600.0
"""The time for which a key is cached."""
MISSING_SECONDS: Final = 60.0
"""The time for which it is cached that a URL has no key."""
FAILED_SECONDS: Final = 10.0
"""The time for which it is cached that a fetch failed."""
MAX_KEPT: Final = 64
"""The most outcomes in the cache."""
MAX_BYTES: Final = 262_144
"""The most bytes of a key, a certificate or a JWKS."""
FETCH_SECONDS: Final = 2.0
"""The time that a fetch may take, while the sender waits for a reply."""

MINUTE_SECONDS: Final = 60.0
MAX_FETCHES_A_MINUTE: Final = 10
"""The most fetches of this process in a minute, for all URLs together."""
RESERVED_FETCHES: Final = 2
"""Fetches a minute that are reserved for configured URLs and URLs that have had a key. Strangers cannot use them up."""

Outcome: TypeAlias = bytes | Rejected | Temporary
"""The outcome of a fetch: the key, or the error of every request that needs it as long as it is cached."""


class _Cached(NamedTuple):
    outcome: Outcome
    until: float


@dataclass(slots=True)
class _SharedLock:
    """A lock, and the number of its users, including those that wait for it."""

    lock: asyncio.Lock
    users: int = 0


class Keys:
    """A cache of the providers' keys. A key is kept for ten minutes, so that a revoked one is not trusted for long."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._proven_urls: dict[str, None] = {}
        """The URLs that have had a key, oldest first."""
        self._fetched_at: deque[float] = deque()
        self._locks: dict[str, _SharedLock] = {}

    async def at(self, keys: Iterable[NeededKey]) -> Mapping[str, bytes]:
        """Return the keys by URL.

        Raises Temporary if a key cannot be fetched now, and Rejected if there is no key at the URL that a request
        names.
        """
        return {key.url: await self._key(key) for key in keys}

    async def _key(self, needed: NeededKey) -> bytes:
        """Return the cached or fetched key. Raises Temporary and Rejected."""
        outcome = self._cached(needed.url)
        if outcome is None:
            async with self._one_at_a_time(needed.url):
                outcome = self._cached(needed.url)  # another request may have fetched it meanwhile
                if outcome is None:
                    outcome = await self._fetch_and_cache(needed)
        if isinstance(outcome, bytes):
            return outcome
        # A new error for each request, because an error that is raised again adds to its own traceback each time.
        if isinstance(outcome, Rejected):
            raise Rejected(outcome.code, outcome.detail)
        raise Temporary(outcome.code, outcome.detail)

    def _cached(self, url: str) -> Outcome | None:
        """Return the cached outcome; None if there is none, or if its time is over."""
        cached = self._cache.get(url)
        if cached is None:
            return None
        seconds_left = cached.until - self._clock.now()
        longest = KEEP_SECONDS if isinstance(cached.outcome, bytes) else max(FAILED_SECONDS, MISSING_SECONDS)
        # If more than the longest time is left, the clock was set back, and the outcome might be kept for years.
        is_valid = 0 < seconds_left <= longest + 1
        return cached.outcome if is_valid else None

    @asynccontextmanager
    async def _one_at_a_time(self, url: str) -> AsyncIterator[None]:
        """Hold the lock of the URL. A lock is removed with its last user, because strangers choose the URLs."""
        shared = self._locks.setdefault(url, _SharedLock(asyncio.Lock()))
        shared.users += 1
        try:
            async with shared.lock:
                yield
        finally:
            shared.users -= 1
            if not shared.users:
                del self._locks[url]

    async def _fetch_and_cache(self, needed: NeededKey) -> Outcome:
        """Return the outcome of the fetch. Raises Temporary, uncached, if the fetches of this minute are used up."""
        self._count_fetch(needed)
        outcome, seconds = await self._fetch_once(needed)
        if isinstance(outcome, bytes):
            _make_room(self._proven_urls)
            self._proven_urls[needed.url] = None
        now = self._clock.now()
        expired = [url for url, cached in self._cache.items() if cached.until <= now]
        for url in expired:
            del self._cache[url]
        _make_room(self._cache)
        self._cache[needed.url] = _Cached(outcome, now + seconds)
        return outcome

    def _count_fetch(self, needed: NeededKey) -> None:
        """Count a fetch that is about to begin. Raises Temporary if the fetches of this minute are used up."""
        now = self._clock.now()
        times = self._fetched_at
        # A time in the future is from before the clock was set back.
        while times and not now - MINUTE_SECONDS < times[0] <= now:
            times.popleft()
        is_trusted = needed.is_configured or needed.url in self._proven_urls
        allowed = MAX_FETCHES_A_MINUTE if is_trusted else MAX_FETCHES_A_MINUTE - RESERVED_FETCHES
        if len(times) >= allowed:
            detail = f"{len(times)} keys have been fetched within a minute; wait for the next"
            raise Temporary("key_unavailable", detail)
        times.append(now)

    async def _fetch_once(self, needed: NeededKey) -> tuple[Outcome, float]:
        """Return the outcome of the fetch, and the number of seconds for which it is valid."""
        request = Outgoing("GET", needed.url, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES)
        try:
            answer = await self._fetch.fetch(request)
        except (Temporary, Permanent) as error:
            return _unavailable(error.code), FAILED_SECONDS
        if answer.status == 200 and not answer.is_cut:
            return answer.body, KEEP_SECONDS
        # 408 and 429 mean that the same request may succeed later.
        has_no_key = 400 <= answer.status < 500 and answer.status not in {408, 429}
        if has_no_key and not needed.is_configured:
            detail = f"the URL that the request names for its key holds none: status {answer.status}"
            return Rejected("certificate_url_not_allowed", detail), MISSING_SECONDS
        trouble = f"more than {MAX_BYTES} bytes" if answer.is_cut else f"status {answer.status}"
        return _unavailable(trouble), FAILED_SECONDS


def _unavailable(trouble: str) -> Temporary:
    return Temporary("key_unavailable", f"the provider's key cannot be fetched: {trouble}")


def _make_room(cache: dict[str, _Cached] | dict[str, None]) -> None:
    """Remove the oldest entries, which are the first of a dict, until there is room for one more."""
    while len(cache) >= MAX_KEPT:
        del cache[next(iter(cache))]


async def confirm_subscription(fetch: Fetch, url: str) -> None:
    """Call the URL that confirms a subscription. Raises Temporary if that fails, so that the provider asks again.

    Raises Rejected if the URL is not allowed.
    """
    try:
        answer = await fetch.fetch(Outgoing("GET", url, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES))
    except Permanent as error:
        detail = f"the URL that confirms the subscription is not allowed: {error.code}"
        raise Rejected("subscribe_url_not_allowed", detail) from error
    if not 200 <= answer.status < 300:
        raise Temporary("handshake_failed", f"the subscription is not confirmed: status {answer.status}")
