"""The fan-out to subscribers offline: the endpoints that would get an event, and why the others would not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from deploy.terminal.output import count_of
from shared.delivery import Delivery
from shared.event import Event, view_of
from shared.expressions import over_event
from shared.jsontext import Json, JsonObject
from shared.store_ports import Documents
from shared.subscribers.directory import TENANTS, Directory
from shared.subscribers.model import Endpoint, Tenant

KIND: Final = "subscribers"
ReadEndpoints: TypeAlias = Callable[[str], Sequence[Endpoint] | None]
"""From a tenant's id to its endpoints; to None if there is no such tenant."""


class FanOutPlan(NamedTuple):
    """The tenants that get an event, and the type by which their endpoints are chosen.

    ignores_unknown  a tenant that does not exist makes no dead letter
    """

    tenants: tuple[str, ...]
    type: str
    ignores_unknown: bool


def plan_of(delivery: Delivery, entry: JsonObject) -> FanOutPlan | str:
    """Return the plan; the reason of the dead letter `unknown_tenant` where there is none. Raises Permanent."""
    from functions.notify.destinations.subscribers import Settings
    from functions.notify.subscribers.fan_out import event_type_of, tenants_in

    settings = Settings.model_validate(entry["settings"])
    found = tenants_in(over_event(settings.tenant).search(view_of(delivery.event)), settings.tenant)
    if isinstance(found, str):
        return found
    return FanOutPlan(tuple(found), event_type_of(settings.type, delivery), settings.unknown_tenant == "ignore")


def plan_text(plan: FanOutPlan) -> str:
    tenants = f"tenant {', '.join(map(repr, plan.tenants))}" if plan.tenants else "no tenant"
    return f"each endpoint of {tenants} that takes the type {plan.type}"


async def known_endpoints(documents: Documents, tenant: str) -> Sequence[Endpoint] | None:
    """Return the endpoints of the tenant; None if there is no such tenant. Raises Temporary."""
    directory = Directory(documents)
    known = await directory.read(Tenant, TENANTS, tenant)
    return None if known is None else await directory.endpoints(tenant)


def endpoint_lines(
    plan: FanOutPlan, event: Event, known: Mapping[str, Sequence[Endpoint] | None], notify: JsonObject
) -> Iterator[str]:
    """Yield a line for each tenant, and for each of its endpoints, which are `known`: None for an unknown tenant."""
    settings: Json = notify.get("subscribers")
    proof = settings.get("verify") if isinstance(settings, dict) else None
    is_verified_first = proof not in (None, "none")
    for tenant in plan.tenants:
        endpoints = known[tenant]
        if endpoints is None:
            end = "it is ignored" if plan.ignores_unknown else "the event ends as the dead letter unknown_tenant"
            yield f"Tenant {tenant!r} does not exist here: {end}."
            continue
        reasons = [_reason_against(each, event, plan.type, is_verified_first) for each in endpoints]
        yield f"Tenant {tenant!r}: {reasons.count('')} of {count_of(len(endpoints), 'endpoint')} would get it."
        for endpoint, reason in zip(endpoints, reasons, strict=True):
            yield f"  {endpoint.id} {endpoint.url}: {f'no, {reason}' if reason else 'yes'}"


def _reason_against(endpoint: Endpoint, event: Event, type_: str, is_verified_first: bool) -> str:
    """Return why the endpoint would not get the event; empty where it would."""
    from shared.subscribers.matching import FilterFailed, filter_view, matches, type_matches
    from shared.subscribers.payload import event_timestamp

    if not endpoint.is_enabled:
        why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
        return f"it is disabled by {endpoint.disabled_by}{why}"
    if is_verified_first and not endpoint.is_verified:
        return "it has not proven yet that it wants events"
    if not type_matches(endpoint.types, type_):
        return f"it takes the types {', '.join(endpoint.types)}"
    try:
        does_match = matches(endpoint, type_, filter_view(event.id, type_, event_timestamp(event), event.data))
    except FilterFailed as failed:
        return f"its filter fails: {failed}"
    return "" if does_match else f"its filter is not true: {endpoint.filter}"
