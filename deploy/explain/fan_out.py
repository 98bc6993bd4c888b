"""The fan-out of an event to subscribers, for people: the tenants that get it, and each of their endpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from deploy.terminal.output import count_of
from shared import errors, expressions, store_ports
from shared.delivery import Delivery
from shared.event import Event, view_of
from shared.jsontext import Json, JsonObject, value_at
from shared.subscribers.directory import TENANTS, Directory
from shared.subscribers.model import Endpoint, Tenant

ReadEndpoints: TypeAlias = Callable[[str], Sequence[Endpoint] | None]
"""From a tenant's id to its endpoints; to None if there is no such tenant."""


class FanOutPlan(NamedTuple):
    """The tenants that get an event, and the type by which their endpoints are chosen.

    ignores_unknown  a tenant that does not exist makes no dead letter
    """

    tenants: tuple[str, ...]
    type: str
    ignores_unknown: bool

    @property
    def text(self) -> str:
        tenants = f"tenant {', '.join(map(repr, self.tenants))}" if self.tenants else "no tenant"
        return f"each endpoint of {tenants} that takes the type {self.type}"


def plan_of(delivery: Delivery, written: Json) -> FanOutPlan:
    """Return the plan. `written` is the destination's settings, as the slice has them.

    Raises Permanent with the code of the dead letter: `unknown_tenant`, or what an expression fails with.
    """
    from functions.notify.destinations.subscribers import Settings
    from functions.notify.subscribers.fan_out import event_type_of, tenants_in

    settings = Settings.model_validate(written)
    tenants = tenants_in(view_of(delivery.event), expressions.over_event(settings.tenant))
    if isinstance(tenants, str):
        raise errors.Permanent("unknown_tenant", tenants)
    return FanOutPlan(tuple(tenants), event_type_of(settings.type, delivery), settings.unknown_tenant == "ignore")


async def known_endpoints(documents: store_ports.Documents, tenant: str) -> Sequence[Endpoint] | None:
    """Return the endpoints of the tenant; None if there is no such tenant. Raises Temporary."""
    directory = Directory(documents)
    known = await directory.read(Tenant, TENANTS, tenant)
    return None if known is None else await directory.endpoints(tenant)


class TenantView(NamedTuple):
    """A tenant that gets an event: each of its endpoints with the reason against it, which is empty if there is none.

    `endpoints` is None if there is no such tenant.
    """

    tenant: str
    endpoints: Sequence[tuple[Endpoint, str]] | None


def tenant_views(
    plan: FanOutPlan, event: Event, known: Mapping[str, Sequence[Endpoint] | None], notify: JsonObject
) -> list[TenantView]:
    """Return the tenants of the plan. `known` are the endpoints of each; None for an unknown tenant."""
    is_verified_first = value_at(notify, "subscribers", "verify") not in (None, "none")
    views: list[TenantView] = []
    for tenant in plan.tenants:
        endpoints = known[tenant]
        if endpoints is not None:
            reasons = [(each, _reason_against(each, event, plan.type, is_verified_first)) for each in endpoints]
            views.append(TenantView(tenant, reasons))
        else:
            views.append(TenantView(tenant, None))
    return views


def reason_for_nobody(plan: FanOutPlan, views: Sequence[TenantView]) -> str:
    """Return why no endpoint gets the event; empty if one does."""
    if any(not reason for view in views for _, reason in view.endpoints or ()):
        return ""
    unknown = [repr(view.tenant) for view in views if view.endpoints is None]
    if unknown and not plan.ignores_unknown:
        return f"unknown_tenant: there is no tenant {', '.join(unknown)} on this machine"
    return f"no endpoint on this machine gets it: {plan.text}"


def endpoint_lines(plan: FanOutPlan, views: Sequence[TenantView]) -> Iterator[str]:
    """Yield a line for each tenant, and for each of its endpoints."""
    for view in views:
        if view.endpoints is None:
            end = "it is ignored" if plan.ignores_unknown else "the event ends as the dead letter unknown_tenant"
            yield f"Tenant {view.tenant!r} does not exist here: {end}."
            continue
        count = sum(not reason for _, reason in view.endpoints)
        yield f"Tenant {view.tenant!r}: {count} of {count_of(len(view.endpoints), 'endpoint')} would get it."
        for endpoint, reason in view.endpoints:
            yield f"  {endpoint.id} {endpoint.url}: {f'no, {reason}' if reason else 'yes'}"


def _reason_against(endpoint: Endpoint, event: Event, event_type: str, is_verified_first: bool) -> str:
    """Return why the endpoint would not get the event; empty where it would."""
    from shared.subscribers.matching import FilterFailed, filter_view, matches, type_matches
    from shared.subscribers.payload import event_timestamp

    if not endpoint.is_enabled:
        why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
        return f"it is disabled by {endpoint.disabled_by}{why}"
    if is_verified_first and not endpoint.is_verified:
        return "it has not proven yet that it wants events"
    if not type_matches(endpoint.types, event_type):
        return f"it takes the types {', '.join(endpoint.types)}"
    view = filter_view(event.id, event_type, event_timestamp(event), event.data)
    try:
        return "" if matches(endpoint, event_type, view) else f"its filter is not true: {endpoint.filter}"
    except FilterFailed as failed:
        return f"its filter fails: {failed}"
