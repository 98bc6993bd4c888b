"""The tenants and their endpoints as notify knows them, and the notices about an endpoint's health.

A tenant's document is read for each event. As long as its version is the same, no endpoint of the tenant was changed:
see `Directory.announce_change`.

A change of an endpoint's health (health.py) adds a notice to its document, in the same write. The notice is removed
once its operational event is published. So a process that dies in between leaves the notice, and the next event for the
tenant publishes it, under the same id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from shared import errors, jsontext, logs, ports, store_ports
from shared.retention import Retention
from shared.subscribers.directory import TENANTS, Directory, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.operational_events import operational_event, operational_message
from shared.timed_cache import TimedCache

MAX_REMEMBERED_ENDPOINTS: Final = 1_000
"""The most endpoints of a tenant that are remembered. If it has more, all of them are read for each event."""
MAX_LISTED_ENDPOINTS: Final = 5_000
"""The most endpoints in the remembered lists of all tenants: each takes some kilobytes, and 30 at most."""
MAX_ENDPOINTS: Final = 4_000
"""The most endpoints that are remembered one by one, because deliveries are made to them."""
LIST_SECONDS: Final = 10.0
"""How old a tenant's endpoints may be where a change could not be marked."""
ENDPOINT_SECONDS: Final = 1.0
"""How old the endpoint may be that a delivery is made to."""
LATE_SECONDS: Final = 60.0
"""A notice that is older was left by a process that ended."""
DISABLED: Final = "disabled"
Notice: TypeAlias = tuple[str, float, str]
"""A change of the endpoint's health, with its time and the reason."""


@dataclass(frozen=True, slots=True)
class SubscriberSettings:
    """The settings of the slice's `subscribers`.

    disable_after_seconds  how long deliveries to an endpoint may keep failing, before it is disabled
    operator, owners       the destinations that are told of endpoints; None if nobody is
    allow_http             endpoints may have plain http
    allow_private          endpoints may have addresses that are not public
    is_verified_first      an endpoint gets nothing before it has proven that it wants events
    secret                 the name of the secret that the secrets of endpoints are sealed with
    keep_seconds           how long a tenant's messages are kept
    """

    disable_after_seconds: float = 5 * 86_400.0
    operator: str | None = None
    owners: str | None = None
    allow_http: bool = False
    allow_private: bool = False
    is_verified_first: bool = False
    secret: str = "subscribers-key"  # noqa: S105 a name
    keep_seconds: float = 30 * 86_400.0


def read_subscriber_settings(written: jsontext.Json, retention: Retention) -> SubscriberSettings:
    """Return the settings as the compiler wrote them."""
    fields = cast("jsontext.JsonObject", written)
    tell = cast("Mapping[str, str | None]", fields.get("tell", {}))
    return SubscriberSettings(
        disable_after_seconds=cast("float", fields["disable_after_seconds"]),
        operator=tell.get("operator"),
        owners=tell.get("owners"),
        allow_http=fields.get("allow_http") is True,
        allow_private=fields.get("allow_private") is True,
        is_verified_first=fields.get("verify") not in (None, "none"),
        secret=str(fields.get("secret") or "subscribers-key"),
        keep_seconds=retention.messages_seconds,
    )


class Notices:
    """The notices of changes of endpoints' health: making them, and publishing them as operational events."""

    def __init__(self, directory: Directory, bus: ports.Bus, settings: SubscriberSettings) -> None:
        self._directory = directory
        self._bus = bus
        self._operator = settings.operator
        self._owners = settings.owners

    def make(self, kind: str, at: float, reason: str) -> tuple[Notice, ...]:
        """Return the notice for an endpoint's document; none if nobody is to be told."""
        is_told = self._operator is not None or self._owners_told_of(kind) is not None
        return ((kind, at, reason),) if is_told else ()

    async def publish(self, endpoint: Endpoint) -> None:
        """Publish the endpoint's notices, and take them out. Where that fails, it is logged: they stay."""
        try:
            await self._publish(endpoint)
        except errors.Temporary as error:
            fault = {"code": error.code, "detail": error.detail}
            logs.log("WARNING", "not told yet", function="notify", endpoint=endpoint.full_name, **fault)

    async def _publish(self, endpoint: Endpoint) -> None:
        stored = await self._directory.read(Tenant, TENANTS, endpoint.tenant)
        tenant = stored[0] if stored else Tenant(id=endpoint.tenant)
        messages = [message for notice in endpoint.notices for message in self._messages(endpoint, tenant, notice)]
        if messages:
            await self._bus.publish(ports.DELIVERIES, messages)

        def without(before: Endpoint | None) -> Endpoint | None:
            if before is None:
                return None
            made_meanwhile = [notice for notice in before.notices if notice not in endpoint.notices]
            return before.model_copy(update={"notices": tuple(made_meanwhile)})

        await self._directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, without)

    def _messages(self, endpoint: Endpoint, tenant: Tenant, notice: Notice) -> Sequence[ports.BusMessage]:
        """Return the notice's event as a message for each destination that is told. A tenant without a mail address has
        no owners who can be told."""
        kind, at, reason = notice
        event = operational_event(kind, endpoint, tenant, at, reason)
        names = [self._operator] if self._operator else []
        owners = self._owners_told_of(kind)
        if owners and tenant.email:
            names.append(owners)
        return [operational_message(event, name) for name in names]

    def _owners_told_of(self, kind: str) -> str | None:
        """Return the destination of the owners, who are told of DISABLED only; None if they are not told."""
        return self._owners if kind == DISABLED else None


class Subscribers:
    """The directory, with a cache of its tenants' endpoints.

    _lists      by tenant: the version of the tenant's document, and the endpoints that were read then
    _endpoints  by `<tenant>/<endpoint>`: the endpoint as it was last read
    recovered   by an endpoint's full name: when it recovered, which health.py notes
    """

    def __init__(
        self, documents: store_ports.Documents, bus: ports.Bus, clock: ports.Clock, settings: SubscriberSettings
    ) -> None:
        self.directory = Directory(documents)
        self.bus = bus
        self.clock = clock
        self.settings = settings
        self.notices = Notices(self.directory, bus, settings)
        self._lists: TimedCache[tuple[str, Sequence[Endpoint]]] = TimedCache(
            MAX_LISTED_ENDPOINTS, weight=lambda version_and_endpoints: len(version_and_endpoints[1])
        )
        self._endpoints: TimedCache[Endpoint] = TimedCache(MAX_ENDPOINTS)
        self.recovered: TimedCache[float] = TimedCache(MAX_ENDPOINTS)

    async def version(self, tenant: str) -> str | None:
        """Return the version of the tenant's document; None if there is none. Raises Temporary."""
        document = await self.directory.documents.get(TENANTS, tenant)
        return None if document is None else document.version

    async def endpoints(self, tenant: str, version: str) -> Sequence[Endpoint]:
        """Return all endpoints of the tenant whose document is at this version, in the order of their ids.

        Raises Temporary.
        """
        known = self._lists.get(tenant, self.clock.now())
        if known is not None and known[0] == version:
            return known[1]
        endpoints = await self.directory.endpoints(tenant)
        if len(endpoints) <= MAX_REMEMBERED_ENDPOINTS:
            self._lists.put(tenant, (version, endpoints), self.clock.now(), LIST_SECONDS)
        return endpoints

    def is_ready(self, endpoint: Endpoint) -> bool:
        """Return whether the endpoint gets events: it is enabled, and verified if that is required."""
        return endpoint.is_enabled and (endpoint.is_verified or not self.settings.is_verified_first)

    async def endpoint(self, tenant: str, id_: str, changed_ms: int = 0, *, is_fresh: bool = False) -> Endpoint | None:
        """Return the endpoint; None if it was deleted. Raises Temporary.

        It may be ENDPOINT_SECONDS old, but not older than the change at `changed_ms`. With `is_fresh` it is read now.
        """
        key = f"{tenant}/{id_}"
        known = self._endpoints.get(key, self.clock.now())
        if known is not None and known.changed_ms >= changed_ms and not is_fresh:
            return known
        stored = await self.directory.read(Endpoint, endpoints_of(tenant), id_)
        if stored is None:
            self._endpoints.drop(key)
            return None
        # If nothing has changed, this returns the same object, so what was prepared from it is reused.
        last = self._endpoints.last(key)
        endpoint = last if last == stored[0] else stored[0]
        self._endpoints.put(key, endpoint, self.clock.now(), ENDPOINT_SECONDS)
        return endpoint

    def remember(self, endpoint: Endpoint) -> None:
        """Remember an endpoint that was changed."""
        self._endpoints.put(f"{endpoint.tenant}/{endpoint.id}", endpoint, self.clock.now(), ENDPOINT_SECONDS)
