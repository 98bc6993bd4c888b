"""Fetch the keys and certificates of providers from the URLs that their schemes allow, and cache them.

A stranger can make a request name a URL, so fetches are bounded: one at a time for each URL, ten a minute in all. Every
outcome is cached: a key for ten minutes, a key that does not exist for a minute, a failed fetch for ten seconds.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

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

Outcome = bytes | Rejected | Temporary
"""The outcome of a fetch: the key, or the error of every request that needs it as long as it is cached."""


class Keys:
    """A cache of the providers' keys. A key is kept for ten minutes, so that a revoked one is not trusted for long."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cache: dict[str, tuple[float, Outcome]] = {}
        self._proven: dict[str, None] = {}
        self._fetched_at: deque[float] = deque()
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

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
                outcome = self._cached(needed.url)
                if outcome is None:
                    outcome = await self._fetched(needed)
        if isinstance(outcome, bytes):
            return outcome
        # A new error for each request, because an error that is raised again adds to its own traceback each time.
        if isinstance(outcome, Rejected):
            raise Rejected(outcome.code, outcome.detail)
        raise Temporary(outcome.code, outcome.detail)

    def _cached(self, url: str) -> Outcome | None:
        """Return the cached outcome; None if there is none, or if its time is over."""
        until, outcome = self._cache.get(url, (0.0, None))
        seconds_left = until - self._clock.now()
        longest = KEEP_SECONDS if isinstance(outcome, bytes) else max(FAILED_SECONDS, MISSING_SECONDS)
        # If more than the longest time is left, the clock was set back, and the outcome might be kept for years.
        is_valid = 0 < seconds_left <= longest + 1
        return outcome if is_valid else None

    @asynccontextmanager
    async def _one_at_a_time(self, url: str) -> AsyncIterator[None]:
        """Hold the lock of the URL. A lock is removed with its last user, since strangers choose the URLs."""
        lock, users = self._locks.get(url, (asyncio.Lock(), 0))
        self._locks[url] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(url)
            if users > 1:
                self._locks[url] = (lock, users - 1)

    async def _fetched(self, needed: NeededKey) -> Outcome:
        """Fetch the key and cache the outcome. Raises Temporary, uncached, once a minute's fetches are used up."""
        self._count_fetch(needed)
        outcome, seconds = await self._outcome(needed)
        if isinstance(outcome, bytes):
            _make_room(self._proven)
            self._proven[needed.url] = None
        now = self._clock.now()
        expired = [url for url, (until, _) in self._cache.items() if until <= now]
        for url in expired:
            del self._cache[url]
        _make_room(self._cache)
        self._cache[needed.url] = (now + seconds, outcome)
        return outcome

    def _count_fetch(self, needed: NeededKey) -> None:
        """Count a fetch that is about to begin. Raises Temporary if the fetches of this minute are used up."""
        now = self._clock.now()
        times = self._fetched_at
        # A time in the future is from before the clock was set back.
        while times and not now - MINUTE_SECONDS < times[0] <= now:
            times.popleft()
        is_trusted = needed.is_configured or needed.url in self._proven
        allowed = MAX_FETCHES_A_MINUTE if is_trusted else MAX_FETCHES_A_MINUTE - RESERVED_FETCHES
        if len(times) >= allowed:
            raise Temporary(
                "key_unavailable", f"{len(times)} keys have been fetched within a minute; wait for the next"
            )
        times.append(now)

    async def _outcome(self, needed: NeededKey) -> tuple[Outcome, float]:
        """Return the outcome of the fetch, and for how many seconds it is valid."""
        request = Outgoing("GET", needed.url, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES)
        try:
            answer = await self._fetch.fetch(request)
        except (Temporary, Permanent) as error:
            return _unavailable(error.code), FAILED_SECONDS
        if answer.status == 200 and not answer.is_cut:
            return answer.body, KEEP_SECONDS
        # By 408 and 429, a server says that the same request may succeed later.
        has_no_key = 400 <= answer.status < 500 and answer.status not in {408, 429}
        if has_no_key and not needed.is_configured:
            detail = f"the URL that the request names for its key holds none: status {answer.status}"
            return Rejected("certificate_url_not_allowed", detail), MISSING_SECONDS
        trouble = f"more than {MAX_BYTES} bytes" if answer.is_cut else f"status {answer.status}"
        return _unavailable(trouble), FAILED_SECONDS


def _unavailable(trouble: str) -> Temporary:
    return Temporary("key_unavailable", f"the provider's key cannot be fetched: {trouble}")


def _make_room(cache: dict[str, tuple[float, Outcome]] | dict[str, None]) -> None:
    """Remove the oldest entries, which are a dict's first ones, until one more has room."""
    while len(cache) >= MAX_KEPT:
        del cache[next(iter(cache))]


async def confirm_subscription(fetch: Fetch, url: str) -> None:
    """GET the URL that confirms a subscription. Raises Temporary if that failed, so that the provider asks again."""
    try:
        answer = await fetch.fetch(Outgoing("GET", url, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES))
    except Permanent as error:
        raise Rejected(
            "subscribe_url_not_allowed", f"the URL that confirms the subscription is not allowed: {error.code}"
        ) from error
    if not 200 <= answer.status < 300:
        raise Temporary("handshake_failed", f"the subscription is not confirmed: status {answer.status}")
