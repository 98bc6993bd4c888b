"""The tenants and their endpoints as notify knows them, and the notices about an endpoint's health.

A tenant's document is read for each event. As long as its version is the same, no endpoint of the tenant was changed:
see `Directory.announce_change`.

A change of an endpoint's health adds a notice to its document, in the same write. The notice is removed once its
operational event is published. So a process that dies in between leaves the notice, and the next event for the tenant
publishes it, under the same id.

An attempt changes the endpoint's document only if the endpoint's health changes (`EndpointHealth`). What cannot be
written is logged: a later attempt finds the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, cast

from shared import errors, logs, store_ports, times
from shared.delivery import Delivered, Failed, Outcome, RetryLater
from shared.jsontext import Json, JsonObject
from shared.ports import DELIVERIES, Bus, BusMessage, Clock
from shared.retention import DAY_SECONDS, Retention
from shared.subscribers.directory import TENANTS, Directory, endpoints_of
from shared.subscribers.model import DisabledBy, Endpoint, Tenant
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
STEADY_SECONDS: Final = 60.0
"""The time after its recovery in which an endpoint does not count as failing again. Otherwise the document of an
endpoint that fails now and then would change all the time."""
LATE_SECONDS: Final = 60.0
"""A notice that is older was left by a process that ended."""
FAILS_FROM: Final = 2
"""An endpoint counts as failing from this attempt at a delivery on: the first one may fail by chance."""
MAX_REASON_CHARACTERS: Final = 500
DISABLED: Final = "disabled"
FAILING: Final = "failing"
RECOVERED: Final = "recovered"
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


def read_subscriber_settings(written: Json, retention: Retention) -> SubscriberSettings:
    """Return the settings as the compiler wrote them."""
    fields = cast("JsonObject", written)
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

    def __init__(self, directory: Directory, bus: Bus, settings: SubscriberSettings) -> None:
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
            await self._bus.publish(DELIVERIES, messages)

        def without(before: Endpoint | None) -> Endpoint | None:
            if before is None:
                return None
            made_meanwhile = [notice for notice in before.notices if notice not in endpoint.notices]
            return before.model_copy(update={"notices": tuple(made_meanwhile)})

        await self._directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, without)

    def _messages(self, endpoint: Endpoint, tenant: Tenant, notice: Notice) -> Sequence[BusMessage]:
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
    recovered   by an endpoint's full name: when it recovered, for STEADY_SECONDS
    """

    def __init__(self, documents: store_ports.Documents, bus: Bus, clock: Clock, settings: SubscriberSettings) -> None:
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

    async def endpoint(self, tenant: str, id_: str, *, is_fresh: bool = False) -> Endpoint | None:
        """Return the endpoint; None if it was deleted. With `is_fresh` it is read now. Raises Temporary."""
        key = f"{tenant}/{id_}"
        if (known := self._endpoints.get(key, self.clock.now())) and not is_fresh:
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


class HealthChange(NamedTuple):
    """A change of an endpoint's health: DISABLED, FAILING or RECOVERED, why, and who disables it."""

    kind: str
    reason: str = ""
    by: DisabledBy | None = None


class EndpointHealth:
    """The health of one endpoint, which was read for the delivery and may be seconds old."""

    def __init__(self, endpoint: Endpoint, subscribers: Subscribers) -> None:
        self._endpoint = endpoint
        self._subscribers = subscribers
        self._name = endpoint.full_name

    @property
    def is_failing(self) -> bool:
        return self._endpoint.failing_since is not None

    async def note(self, outcome: Outcome, attempt_number: int, now: float) -> None:
        """Note the outcome of an attempt. What cannot be written is logged."""
        change = self._change_after(outcome, attempt_number, now)
        if change is None:
            return
        try:
            await self._write(change, now)
        except errors.Temporary as error:
            fault = {"code": error.code, "detail": error.detail}
            logs.log("WARNING", "health not noted", function="notify", endpoint=self._name, **fault)

    def _change_after(self, outcome: Outcome, attempt_number: int, now: float) -> HealthChange | None:
        """Return the change that the outcome asks for; None for none."""
        since = self._endpoint.failing_since
        if isinstance(outcome, Delivered):
            return None if since is None else HealthChange(RECOVERED)
        if isinstance(outcome, Failed) and outcome.code == "endpoint_disabled":
            return HealthChange(DISABLED, outcome.reason, "receiver")
        if isinstance(outcome, Failed):
            return None  # the event or the receiver's answer is at fault for this one delivery
        if isinstance(outcome, RetryLater) and outcome.pause_destination_seconds:
            return None  # only a fault of ours pauses an endpoint: our key to its secret (EndpointSecrets)
        limit = self._subscribers.settings.disable_after_seconds
        if since is not None:
            if now - since < limit:
                return None
            days = f"{limit / DAY_SECONDS:g} days" if limit >= DAY_SECONDS else times.duration_text(limit)
            return HealthChange(DISABLED, f"all deliveries failed for {days}, the last: {outcome.reason}", "failures")
        has_just_recovered = self._subscribers.recovered.get(self._name, now) is not None
        if attempt_number < FAILS_FROM or has_just_recovered:
            return None
        return HealthChange(FAILING, outcome.reason)

    async def _write(self, change: HealthChange, now: float) -> None:
        """Write the change and its notice, log it, and publish the notice. Raises Temporary.

        Nothing is written if the document has the change already, or if the endpoint has another URL now.
        """
        change = change._replace(reason=change.reason[:MAX_REASON_CHARACTERS])
        has_changed = False

        def decide(before: Endpoint | None) -> Endpoint | None:
            nonlocal has_changed
            has_changed = False  # an earlier call may have been for a document that another process has changed since
            if before is None or before.url != self._endpoint.url:  # the attempt was made at another URL
                return None
            fields = _changed_fields(before, change, self._subscribers.settings.disable_after_seconds, now)
            if fields is None:
                return None
            has_changed = True
            notices = (*before.notices, *self._subscribers.notices.make(change.kind, now, change.reason))
            return before.model_copy(update={**fields, "notices": notices})

        endpoint = self._endpoint
        after = await self._subscribers.directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, decide)
        if after is None:
            return
        self._endpoint = after  # as it is stored now, also if nothing was written
        self._subscribers.remember(after)
        if not has_changed:
            return
        if change.kind == RECOVERED:
            self._subscribers.recovered.put(self._name, now, now, STEADY_SECONDS)
        if change.kind == DISABLED:
            await self._subscribers.directory.announce_change(endpoint.tenant, "notify")
        severity = "WARNING" if change.kind == DISABLED else "INFO"
        logs.log(
            severity, f"endpoint {change.kind}", function="notify", endpoint=self._name, reason=change.reason or None
        )
        if after.notices:
            await self._subscribers.notices.publish(after)


def _changed_fields(before: Endpoint, change: HealthChange, limit: float, now: float) -> dict[str, object] | None:
    """Return the fields to change; None if the document has them already, or the endpoint has changed meanwhile."""
    since = before.failing_since
    if not before.is_enabled:
        return None
    if change.kind == RECOVERED:
        return None if since is None else {"failing_since": None}
    if change.kind == FAILING:
        return None if since is not None else {"failing_since": now}
    if change.by == "failures" and (since is None or now - since < limit):  # it recovered, or was enabled again
        return None
    return {"disabled_by": change.by, "disabled_reason": change.reason, "disabled_at": now}
