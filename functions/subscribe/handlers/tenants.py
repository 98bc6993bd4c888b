"""The tenants: the operator's own users."""

import asyncio
from typing import Final

from functions.subscribe.listing import read_page
from functions.subscribe.models.base import ListQuery, NoQuery, Page
from functions.subscribe.models.tenants import TenantInput, TenantView
from functions.subscribe.problems import not_found
from functions.subscribe.route import Call
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.times import rfc3339

DELETED_AT_ONCE: Final = 50


async def list_tenants(call: Call, given: ListQuery) -> Page[TenantView]:
    """List the tenants."""
    items, next_ = await read_page(call, Tenant, TENANTS, given, tenant_view)
    return Page[TenantView](items=items, next=next_)


async def get_tenant(call: Call, given: NoQuery) -> TenantView:
    """Return a tenant. Its metadata is for API keys only."""
    view = tenant_view(tenant_of(call))
    return view if call.is_operator else view.model_copy(update={"metadata": {}})


async def put_tenant(call: Call, given: TenantInput) -> TenantView:
    """Create a tenant, or replace what is known of it."""
    now = call.now

    def decide(before: Tenant | None) -> Tenant:
        new = before or Tenant(id=call.tenant, created_at=now)
        return new.model_copy(update={"name": given.name, "email": given.email, "metadata": given.metadata})

    kept = await call.service.directory.change(Tenant, TENANTS, call.tenant, decide)
    assert kept
    return tenant_view(kept)


async def delete_tenant(call: Call, given: NoQuery) -> None:
    """Delete a tenant with its endpoints, and revoke its portal tokens."""
    await delete_endpoints(call, call.tenant)
    await call.service.documents.delete(TENANTS, call.tenant)
    await delete_endpoints(call, call.tenant)  # those that were made meanwhile


async def delete_endpoints(call: Call, tenant: str) -> None:
    directory, now = call.service.directory, call.now
    while found := await directory.page(Endpoint, endpoints_of(tenant), DELETED_AT_ONCE):
        # Not counted, because the tenant with its count is deleted too.
        deletions = [directory.delete_endpoint(tenant, each.id, now, is_counted=False) for each in found]
        await asyncio.gather(*deletions)


def tenant_of(call: Call) -> Tenant:
    """Return the tenant in the path. Raises ApiProblem (`not_found`)."""
    if call.tenant_document is None:
        raise not_found("tenant")
    return call.tenant_document


def tenant_view(tenant: Tenant) -> TenantView:
    return TenantView(
        id=tenant.id,
        name=tenant.name,
        email=tenant.email,
        metadata=tenant.metadata,
        created_at=rfc3339(tenant.created_at),
    )
