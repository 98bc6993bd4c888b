"""The tenants."""

from functions.subscribe.models.base import ListQuery, NoQuery, Page
from functions.subscribe.models.tenants import TenantInput, TenantView
from functions.subscribe.route import Call


async def list_tenants(call: Call, given: ListQuery) -> Page[TenantView]:
    """List the tenants."""
    raise NotImplementedError


async def get_tenant(call: Call, given: NoQuery) -> TenantView:
    """Return a tenant."""
    raise NotImplementedError


async def put_tenant(call: Call, given: TenantInput) -> TenantView:
    """Create a tenant, or replace what is known of it."""
    raise NotImplementedError


async def delete_tenant(call: Call, given: NoQuery) -> None:
    """Delete a tenant with its endpoints, and revoke its portal tokens."""
    raise NotImplementedError
