"""Tenants and their endpoints as an operator watches them. No secret is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared import store_ports, times
from shared.jsontext import Json, JsonObject
from shared.subscribers.directory import TENANTS, Directory
from shared.subscribers.model import Endpoint, Tenant


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Tenants in the order of their ids. `next` is where the next page begins; None on the last one."""

    tenants: Sequence[Tenant]
    next: str | None

    def document(self) -> JsonObject:
        return {"tenants": [tenant_document(each) for each in self.tenants], "next": self.next}


async def read_tenants(documents: store_ports.Documents, limit: int, after: str = "") -> TenantPage:
    """Return the tenants whose ids come after `after`. Raises Temporary."""
    found = await Directory(documents).page(Tenant, TENANTS, limit + 1, after)
    return TenantPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


async def read_endpoints(documents: store_ports.Documents, tenant: str) -> list[JsonObject] | None:
    """Return the tenant's endpoints, newest first; None for an unknown tenant. Raises Temporary."""
    directory = Directory(documents)
    if await directory.read(Tenant, TENANTS, tenant) is None:
        return None
    found = await directory.endpoints(tenant)
    return [endpoint_document(each) for each in sorted(found, key=lambda each: each.created_at, reverse=True)]


def tenant_document(tenant: Tenant) -> JsonObject:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "email": tenant.email,
        "created_at": _moment(tenant.created_at),
    }


def endpoint_document(endpoint: Endpoint) -> JsonObject:
    types: list[Json] = [*endpoint.types]
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description,
        "types": types,
        "filter": endpoint.filter,
        "rate": endpoint.rate,
        "auth": endpoint.auth.kind,
        "state": endpoint_state(endpoint),
        "disabled_by": endpoint.disabled_by,
        "reason": endpoint.disabled_reason or endpoint.filter_fault,
        "failing_since": _moment(endpoint.failing_since),
        "created_at": _moment(endpoint.created_at),
    }


def endpoint_state(endpoint: Endpoint) -> str:
    if not endpoint.is_enabled:
        return "disabled"
    if endpoint.failing_since is not None:
        return "failing"
    return "filter_fault" if endpoint.filter_fault else "enabled"


def _moment(at: float | None) -> str | None:
    return times.rfc3339(at) if at else None
