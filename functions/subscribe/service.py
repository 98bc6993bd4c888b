"""The parts that handlers need: the settings, the keys, the rate of requests, and the platform's ports."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import ceil
from time import monotonic
from typing import Final

from functions.subscribe import credentials, problems
from functions.subscribe.settings import SubscribeSettings
from shared import ports, store_ports
from shared.fetch import Fetch
from shared.ledger import Ledger
from shared.subscribers import sealing
from shared.subscribers.directory import Directory

MAX_REQUESTS: Final = 60
"""The most requests of a tenant at once: see RequestRate."""
INTERVAL_SECONDS: Final = 60 / MAX_REQUESTS
"""The time from one slot to the next."""
AHEAD_SECONDS: Final = INTERVAL_SECONDS * (MAX_REQUESTS - 1)
"""How far ahead a request may take a slot: that of the last of MAX_REQUESTS requests at once."""
CURSOR: Final = "cursor"
"""The purpose of the keys that sign cursors. The purpose of the others is credentials.PORTAL."""


class RequestRate:
    """The rate of those requests of a tenant that cost the most: to verify, test or send again.

    Each takes the next free slot of the tenant, and does not wait for it. If no slot within AHEAD_SECONDS is free, the
    request is rejected. So after a minute without any, MAX_REQUESTS can be made at once, and then one each
    INTERVAL_SECONDS.

    All instances count together, in `grants`, which is called at the first request.
    """

    def __init__(self, grants: Callable[[], store_ports.Grants], clock: ports.Clock) -> None:
        self._grants = cache(grants)
        self._clock = clock

    async def verify(self, tenant: str) -> None:
        """Count a request of the tenant. Raises ApiProblem (`too_many_requests`), and Temporary."""
        now = self._clock.now()
        bucket = f"api:{tenant}:requests"
        slot_at, _interval, reserved_count = await self._grants().reserve(
            bucket, most=1, interval=INTERVAL_SECONDS, now=now, ahead=AHEAD_SECONDS
        )
        if reserved_count:
            return
        seconds = max(1, ceil(slot_at - now - AHEAD_SECONDS))
        limit = f"{MAX_REQUESTS} requests at once, and then one a second, may verify, test or send again"
        rule = f"at most {limit}; try again in {seconds} s"
        raise problems.ApiProblem("too_many_requests", rule, retry_after_seconds=seconds)


class Keyring:
    """The keys that are derived from the secret of subscribe.

    Each method raises Temporary if the secret does not exist or cannot be used.
    """

    def __init__(self, secrets: ports.Secrets) -> None:
        self._secrets = secrets

    async def portal_keys(self) -> tuple[bytes, ...]:
        """Return the keys of portal tokens, newest first: the first signs, and all of them verify."""
        return _derived(await self._secrets.values(sealing.KEY_SECRET), credentials.PORTAL)

    async def cursor_keys(self) -> tuple[bytes, ...]:
        """Return the keys of cursors, in the same order."""
        return _derived(await self._secrets.values(sealing.KEY_SECRET), CURSOR)

    async def sealer(self) -> sealing.Sealer:
        """Return what seals and opens the secrets of endpoints."""
        return sealing.sealer_of(await self._secrets.values(sealing.KEY_SECRET))


@lru_cache(maxsize=8)
def _derived(values: tuple[str, ...], purpose: str) -> tuple[bytes, ...]:
    return tuple([sealing.derived_key(value, purpose) for value in values])


@dataclass(slots=True)
class PublishedCatalogue:
    """The page of the catalogue, which pages.py makes, and uses again until `until` (Unix seconds).

    Anybody may request the page, and it costs a read of all event types to make it.
    """

    page: bytes = b""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that handlers need.

    directory     the documents of subscribers, as their models
    documents     the same documents as texts, for those that need no model
    fetch         returns what sends requests to endpoints
    random_bytes  returns this number of bytes that nobody can guess
    elapsed       a clock in seconds that is never set back, to measure how long a request takes
    request_rate  the rate of a tenant's requests; None if only the operator makes requests
    """

    settings: SubscribeSettings
    directory: Directory
    keyring: Keyring
    ledger: Ledger
    bus: ports.Bus
    blobs: ports.Blobs | None
    fetch: Callable[[], Fetch]
    clock: ports.Clock
    random_bytes: Callable[[int], bytes]
    elapsed: Callable[[], float] = field(default=monotonic)
    published_catalogue: PublishedCatalogue = field(default_factory=PublishedCatalogue)
    request_rate: RequestRate | None = None

    @property
    def documents(self) -> store_ports.Documents:
        return self.directory.documents
