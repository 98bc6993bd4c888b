"""The tenants, and the portal tokens with which a tenant's people use the portal."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Final

from pydantic import Field, field_validator

from functions.subscribe import access, credentials, cursors, problems
from functions.subscribe.models import values
from functions.subscribe.route import Call
from shared.subscribers.directory import TENANTS, endpoints_of, sessions_of
from shared.subscribers.model import Capability, Endpoint, Session, Tenant
from shared.times import rfc3339

DELETED_AT_ONCE: Final = 50
"""The number of endpoints that are deleted at the same time."""
MAX_METADATA: Final = 20
"""The most keys of a tenant's metadata."""
MIN_TOKEN_SECONDS: Final = 60
MAX_TOKEN_SECONDS: Final = 7 * 86_400
"""The shortest and the longest life of a portal token."""


class TenantInput(values.Input):
    """A tenant: a customer of the operator. A mail to `email` says when an endpoint of the tenant is disabled."""

    name: Annotated[values.Line, Field(max_length=200)] = ""
    email: values.Email = ""
    metadata: dict[str, Annotated[values.Line, Field(max_length=500)]] = {}

    @field_validator("metadata")
    @classmethod
    def _verify_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
        if len(metadata) > MAX_METADATA:
            raise ValueError(f"must have at most {MAX_METADATA} keys; got {len(metadata)}")
        if any(not 0 < len(key) <= 40 or not key.isprintable() for key in metadata):
            raise ValueError("must have keys of 1 to 40 printable characters")
        return metadata


class TenantView(values.Output):
    id: str
    name: str
    email: str
    metadata: dict[str, str]
    created_at: str


class PortalTokenInput(values.Input):
    """A portal token. Without `reveal_secret`, its holder sees a secret only when it is created."""

    capabilities: Annotated[list[Capability], Field(min_length=1, max_length=4)] = ["view", "manage", "resend"]
    expires_in: Annotated[int, Field(ge=MIN_TOKEN_SECONDS, le=MAX_TOKEN_SECONDS)] = 3_600


class PortalTokenCreated(values.Output):
    """The token, and the URL that opens the portal with it."""

    token: str
    url: str
    session: str
    expires_at: str


class PortalLimits(values.Output):
    endpoints: int
    headers: int
    fields: int
    types: int
    filter_characters: int


class PortalInfo(values.Output):
    """The facts that the page shows, and what its token allows."""

    name: str
    logo: str
    capabilities: list[Capability]
    tenant: str
    limits: PortalLimits
    verify: str
    expires_at: str


async def list_tenants(call: Call, query: values.ListQuery) -> values.Page[TenantView]:
    """List the tenants."""
    items, next_ = await cursors.read_page(call, Tenant, TENANTS, query, tenant_view)
    return values.Page[TenantView](items=items, next=next_)


async def get_tenant(call: Call, _: values.NoQuery) -> TenantView:
    """Return a tenant. Its metadata is for API keys only."""
    view = tenant_view(tenant_of(call))
    return view if call.is_operator else view.model_copy(update={"metadata": {}})


async def put_tenant(call: Call, body: TenantInput) -> TenantView:
    """Create a tenant, or replace what is known of it."""
    now = call.now

    def decide(before: Tenant | None) -> Tenant:
        new = before or Tenant(id=call.tenant, created_at=now)
        return new.model_copy(update={"name": body.name, "email": body.email, "metadata": body.metadata})

    stored = await call.service.directory.change(Tenant, TENANTS, call.tenant, decide)
    assert stored is not None  # because `decide` always returns a tenant
    return tenant_view(stored)


async def delete_tenant(call: Call, _: values.NoQuery) -> None:
    """Delete a tenant with its endpoints, and revoke its portal tokens."""
    await delete_endpoints(call, call.tenant)
    await call.service.documents.delete(TENANTS, call.tenant)
    # Deletes the endpoints that were created before the tenant's document was gone.
    await delete_endpoints(call, call.tenant)


async def delete_endpoints(call: Call, tenant: str) -> None:
    """Delete all endpoints of the tenant. After a Temporary, some may be deleted, and it can be called again."""
    directory, now = call.service.directory, call.now
    while endpoints := await directory.page(Endpoint, endpoints_of(tenant), DELETED_AT_ONCE):
        # Not counted, because the tenant with its count is deleted too.
        deletions = [directory.delete_endpoint(tenant, endpoint.id, now, is_counted=False) for endpoint in endpoints]
        await asyncio.gather(*deletions)


def tenant_of(call: Call) -> Tenant:
    """Return the tenant in the path. Raises ApiProblem (`not_found`)."""
    if call.tenant_document is None:
        raise problems.not_found("tenant")
    return call.tenant_document


def tenant_view(tenant: Tenant) -> TenantView:
    return TenantView(
        id=tenant.id,
        name=tenant.name,
        email=tenant.email,
        metadata=tenant.metadata,
        created_at=rfc3339(tenant.created_at),
    )


async def create_token(call: Call, body: PortalTokenInput) -> PortalTokenCreated:
    """Create a portal token for a tenant."""
    tenant, now = tenant_of(call), call.now
    session = Session(
        id=call.new_id("session"),
        tenant=tenant.id,
        capabilities=tuple(dict.fromkeys(body.capabilities)),
        created_at=now,
        expires_at=now + body.expires_in,
    )
    token = credentials.PortalToken(
        tenant=tenant.id,
        session=session.id,
        capabilities=session.capabilities,
        issued_at=now,
        expires_at=session.expires_at,
    )
    text = credentials.portal_token_text(token, (await call.service.keyring.portal_keys())[0])
    await call.service.documents.write(
        sessions_of(tenant.id), session.id, session.text(), expires_at=session.expires_at
    )
    return PortalTokenCreated(
        token=text,
        url=f"{base_url(call)}/portal#token={text}",
        session=session.id,
        expires_at=rfc3339(session.expires_at),
    )


async def revoke_sessions(call: Call, _: values.NoQuery) -> None:
    """Revoke all portal tokens of a tenant."""
    now = call.now

    def decide(before: Tenant | None) -> Tenant:
        if before is None:
            raise problems.not_found("tenant")
        return before.model_copy(update={"tokens_valid_from": max(now, before.tokens_valid_from)})

    await call.service.directory.change(Tenant, TENANTS, call.tenant, decide)


async def revoke_session(call: Call, _: values.NoQuery) -> None:
    """Revoke a portal session."""

    def decide(before: Session | None) -> Session:
        if before is None:
            raise problems.not_found("portal session")
        return before.model_copy(update={"is_revoked": True})

    await call.service.directory.change(Session, sessions_of(call.tenant), call.params["session"], decide)


async def get_portal_info(call: Call, _: values.NoQuery) -> PortalInfo:
    """Return what the page shows and allows."""
    caller, settings = call.caller, call.service.settings
    if not isinstance(caller, access.PortalCaller):
        raise problems.ApiProblem("not_allowed", "this needs a portal token")
    return PortalInfo(
        name=settings.portal_name,
        logo=settings.portal_logo,
        capabilities=sorted(caller.capabilities),
        tenant=caller.tenant,
        limits=PortalLimits(**asdict(settings.limits)),
        verify=settings.verify,
        expires_at=rfc3339(caller.expires_at),
    )


def base_url(call: Call) -> str:
    """Return the URL before `/portal`: as configured, otherwise with the host that the request was sent to.

    Only the response to this request has the URL, so a caller that sends another host only misleads itself.
    """
    configured = call.service.settings.public_url
    if configured:
        return configured
    host = call.request.header("host") or "localhost"
    scheme = call.request.header("x-forwarded-proto") or "http"
    return f"{'https' if scheme == 'https' else 'http'}://{host}"
