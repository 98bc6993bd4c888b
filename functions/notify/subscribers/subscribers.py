"""The tenants and their endpoints as notify knows them.

A tenant's document is read for each event. As long as its version is the same, no endpoint of the tenant was changed:
see `Directory.announce_change`.
"""

from collections.abc import Sequence
from typing import Final

from functions.notify.subscribers.cache import TimedCache
from functions.notify.subscribers.notices import Notices
from functions.notify.subscribers.settings import SubscriberSettings
from shared.ports import Bus, Clock
from shared.store_ports import Documents
from shared.subscribers.directory import TENANTS, Directory, endpoints_of
from shared.subscribers.model import Endpoint

MAX_REMEMBERED_ENDPOINTS: Final = 1_000
"""Of one tenant; of a tenant with more, they are read for each event."""
MAX_LISTED_ENDPOINTS: Final = 5_000
"""Of all tenants whose endpoints are remembered together: each takes some kilobytes, and 30 at most."""
MAX_ENDPOINTS: Final = 4_000
LIST_SECONDS: Final = 10.0
"""How old a tenant's endpoints may be where a change could not be marked."""
ENDPOINT_SECONDS: Final = 1.0
"""How old the endpoint may be that a delivery is made to."""
STEADY_SECONDS: Final = 60.0
"""For so long after it recovered, an endpoint does not count as failing again. Otherwise the document of one that fails
now and then would change all the time."""


class Subscribers:
    """The directory, with a cache of its tenants' endpoints."""

    def __init__(self, documents: Documents, bus: Bus, clock: Clock, settings: SubscriberSettings) -> None:
        self.directory = Directory(documents)
        self.bus = bus
        self.clock = clock
        self.settings = settings
        self.notices = Notices(self.directory, bus, settings)
        self._lists: TimedCache[tuple[str, Sequence[Endpoint]]] = TimedCache(
            clock, MAX_LISTED_ENDPOINTS, LIST_SECONDS, weight=lambda known: len(known[1])
        )
        self._endpoints: TimedCache[Endpoint] = TimedCache(clock, MAX_ENDPOINTS, ENDPOINT_SECONDS)
        self.recovered: TimedCache[float] = TimedCache(clock, MAX_ENDPOINTS, STEADY_SECONDS)

    async def version(self, tenant: str) -> str | None:
        """Return the version of the tenant's document; None if there is none. Raises Temporary."""
        found = await self.directory.documents.get(TENANTS, tenant)
        return None if found is None else found.version

    async def endpoints(self, tenant: str, version: str) -> Sequence[Endpoint]:
        """Return all endpoints of the tenant whose document is at this version, in the order of their ids.

        Raises Temporary.
        """
        known = self._lists.get(tenant)
        if known is not None and known[0] == version:
            return known[1]
        found = await self.directory.endpoints(tenant)
        if len(found) <= MAX_REMEMBERED_ENDPOINTS:
            self._lists.put(tenant, (version, found))
        return found

    def is_ready(self, endpoint: Endpoint) -> bool:
        return endpoint.is_enabled and (endpoint.is_verified or not self.settings.is_verified_first)

    async def endpoint(self, tenant: str, id_: str, *, is_fresh: bool = False) -> Endpoint | None:
        """Return the endpoint; None if it was deleted. With `is_fresh` it is read now. Raises Temporary."""
        key = f"{tenant}/{id_}"
        if (known := self._endpoints.get(key)) and not is_fresh:
            return known
        found = await self.directory.read(Endpoint, endpoints_of(tenant), id_)
        if found is None:
            self._endpoints.drop(key)
            return None
        last = self._endpoints.last(key)  # the same object, where nothing changed: what was made of it is used again
        endpoint = last if last == found[0] else found[0]
        self._endpoints.put(key, endpoint)
        return endpoint

    def remember(self, endpoint: Endpoint) -> None:
        """Remember an endpoint that was changed."""
        self._endpoints.put(f"{endpoint.tenant}/{endpoint.id}", endpoint)
