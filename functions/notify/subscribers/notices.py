"""Operational events of an endpoint's health: they are published, each once, whatever ends a process.

A change of state adds a notice to the endpoint's document, in the same write. The notice is taken out once its event is
published. So a process that dies in between leaves it, and the next event for the tenant publishes it, under the same
id.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from functions.notify.subscribers.settings import SubscriberSettings
from shared.errors import Temporary
from shared.logs import log
from shared.ports import DELIVERIES, Bus, BusMessage
from shared.subscribers.directory import TENANTS, Directory, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.operational_events import operational_event, operational_message

DISABLED: Final = "disabled"
FAILING: Final = "failing"
RECOVERED: Final = "recovered"
LATE_SECONDS: Final = 60.0
"""A notice that is older was left by a process that ended."""

Notice: TypeAlias = tuple[str, float, str]
"""A change of the endpoint's health, with its time and the reason."""


class Notices:
    def __init__(self, directory: Directory, bus: Bus, settings: SubscriberSettings) -> None:
        self._directory = directory
        self._bus = bus
        self._operator = settings.operator
        self._owners = settings.owners

    def notices(self, kind: str, at: float, reason: str) -> tuple[Notice, ...]:
        """Return the notice for an endpoint's document; none if nobody is to be told."""
        is_told = self._operator is not None or (self._owners is not None and kind == DISABLED)
        return ((kind, at, reason),) if is_told else ()

    async def publish(self, endpoint: Endpoint) -> None:
        """Publish the endpoint's notices, and take them out. Where that fails, it is logged: they stay."""
        try:
            await self._publish(endpoint)
        except Temporary as error:
            fault = {"code": error.code, "detail": error.detail}
            log("WARNING", "not told yet", function="notify", endpoint=endpoint.full_name, **fault)

    async def _publish(self, endpoint: Endpoint) -> None:
        found = await self._directory.read(Tenant, TENANTS, endpoint.tenant)
        tenant = found[0] if found else Tenant(id=endpoint.tenant)
        messages = [each for notice in endpoint.notices for each in self._messages(endpoint, tenant, notice)]
        if messages:
            await self._bus.publish(DELIVERIES, messages)

        def without(before: Endpoint | None) -> Endpoint | None:
            left = [each for each in before.notices if each not in endpoint.notices] if before else []
            return before.model_copy(update={"notices": tuple(left)}) if before else None

        await self._directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, without)

    def _messages(self, endpoint: Endpoint, tenant: Tenant, notice: Notice) -> Sequence[BusMessage]:
        kind, at, reason = notice
        event = operational_event(kind, endpoint, tenant, at, reason)
        names = [self._operator] if self._operator else []
        if self._owners and tenant.email and kind == DISABLED:
            names.append(self._owners)
        return [operational_message(event, name) for name in names]
