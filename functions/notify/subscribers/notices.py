"""Operational events: what the operator, and the owner of an endpoint, is told about it.

A change of state adds a notice to the endpoint's document, in the same write. The notice is taken out once its event is
published. So a process that dies in between leaves it, and the next event for the tenant publishes it, under the same
id.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from functions.notify.subscribers.settings import SubscriberSettings
from shared.delivery import Delivery, delivery_message
from shared.errors import Temporary
from shared.event import Event, event_json
from shared.jsontext import JsonObject, texts_json
from shared.logs import log
from shared.ports import DELIVERIES, Bus
from shared.subscribers.directory import TENANTS, Directory, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from shared.times import rfc3339

ROUTE: Final = "subscribers"
"""The route of these events' deliveries."""
DISABLED: Final = "disabled"
FAILING: Final = "failing"
RECOVERED: Final = "recovered"
LATE_SECONDS: Final = 60.0
"""A notice that is older was left by a process that ended."""

Notice = tuple[str, float, str]


class Notices:
    def __init__(self, directory: Directory, bus: Bus, settings: SubscriberSettings) -> None:
        self._directory = directory
        self._bus = bus
        self._operator = settings.operator
        self._owners = settings.owners

    def notices(self, kind: str, at: float, reason: str) -> tuple[Notice, ...]:
        """Return the notice for an endpoint's document; none where nobody is to be told."""
        is_told = self._operator is not None or (self._owners is not None and kind == DISABLED)
        return ((kind, at, reason),) if is_told else ()

    async def publish(self, endpoint: Endpoint) -> None:
        """Publish the endpoint's notices, and take them out. Where that fails, it is logged: they stay."""
        try:
            await self._publish(endpoint)
        except Temporary as error:
            place = f"{endpoint.tenant}:{endpoint.id}"
            log("WARNING", "not told yet", function="notify", endpoint=place, code=error.code, detail=error.detail)

    async def _publish(self, endpoint: Endpoint) -> None:
        found = await self._directory.read(Tenant, TENANTS, endpoint.tenant)
        tenant = found[0] if found else Tenant(id=endpoint.tenant)
        deliveries = [each for notice in endpoint.notices for each in self._deliveries(endpoint, tenant, notice)]
        if deliveries:
            now = rfc3339(max(at for _, at, _ in endpoint.notices))
            messages = [delivery_message(each, event_json(each.event), now, {}) for each in deliveries]
            await self._bus.publish(DELIVERIES, messages)

        def without(before: Endpoint | None) -> Endpoint | None:
            left = [each for each in before.notices if each not in endpoint.notices] if before else []
            return before.model_copy(update={"notices": tuple(left)}) if before else None

        await self._directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, without)

    def _deliveries(self, endpoint: Endpoint, tenant: Tenant, notice: Notice) -> Sequence[Delivery]:
        event = notice_event(endpoint, tenant, notice)
        names = [self._operator] if self._operator else []
        if self._owners and tenant.email and notice[0] == DISABLED:
            names.append(self._owners)
        return [Delivery(event, ROUTE, name) for name in names]


def notice_event(endpoint: Endpoint, tenant: Tenant, notice: Notice) -> Event:
    """Return the event `endpoint.<kind>`. Its id follows from the endpoint, the kind and the time."""
    kind, at, reason = notice
    name = hashlib.sha256(texts_json([endpoint.tenant, endpoint.id, kind, repr(at)])).hexdigest()
    data: JsonObject = {
        "tenant": endpoint.tenant,
        "name": tenant.name or None,
        "email": tenant.email or None,
        "endpoint": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description or None,
        "reason": reason or None,
        "at": rfc3339(at),
        "disabled_by": endpoint.disabled_by,
        "failing_since": None if endpoint.failing_since is None else rfc3339(endpoint.failing_since),
    }
    return Event(
        id=name[:32],
        source=SUBSCRIBERS_SOURCE,
        type=f"endpoint.{kind}",
        receivedat=rfc3339(at),
        payloadhash=name,
        data=data,
    )
