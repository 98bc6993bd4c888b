"""The tenants, their portal tokens, and the operator's API keys.

The store has only the digests of an API key's secrets.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated, Final

from pydantic import Field, field_validator

from functions.subscribe import access, credentials, cursors, problems
from functions.subscribe.models import values
from functions.subscribe.route import Call
from shared.subscribers.directory import API_KEYS, TENANTS, endpoints_of, sessions_of
from shared.subscribers.model import ApiKey, Capability, Endpoint, Scope, Session, Tenant
from shared.times import rfc3339

DELETED_AT_ONCE: Final = 50
"""The number of endpoints that are deleted at the same time."""
ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32
"""The sizes of an API key's id and secret, as credentials.API_KEY has them."""
MAX_OLD_DIGESTS: Final = 3
"""The most former secrets of an API key that stay valid for a while, if it is rotated several times."""
MAX_METADATA: Final = 20
"""The most keys of a tenant's metadata."""
MIN_TOKEN_SECONDS: Final = 60
MAX_TOKEN_SECONDS: Final = 7 * 86_400


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


class ApiKeyInput(values.Input):
    """A new API key. `write` includes `read`, and `admin` includes all."""

    description: Annotated[values.Line, Field(max_length=200)] = ""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]


class ApiKeyView(values.Output):
    """An API key without its secret. `rotated` is true while the previous secret is still valid."""

    id: str
    description: str
    scopes: list[Scope]
    created_at: str
    rotated: bool


class ApiKeyCreated(ApiKeyView):
    """The key, which is shown once. After a rotation, the previous key is valid for 24 more hours."""

    key: str


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

    kept = await call.service.directory.change(Tenant, TENANTS, call.tenant, decide)
    assert kept
    return tenant_view(kept)


async def delete_tenant(call: Call, _: values.NoQuery) -> None:
    """Delete a tenant with its endpoints, and revoke its portal tokens."""
    await delete_endpoints(call, call.tenant)
    await call.service.documents.delete(TENANTS, call.tenant)
    # Deletes also endpoints that were created in the meantime.
    await delete_endpoints(call, call.tenant)


async def delete_endpoints(call: Call, tenant: str) -> None:
    """Delete all endpoints of the tenant. Raises Temporary: some may be deleted then."""
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
    """Return the URL before `/portal`: as configured, otherwise with the host that the request was sent to."""
    configured = call.service.settings.public_url
    if configured:
        return configured
    host = call.request.header("host") or "localhost"
    scheme = call.request.header("x-forwarded-proto") or "http"
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


async def list_keys(call: Call, query: values.ListQuery) -> values.Page[ApiKeyView]:
    """List the API keys."""
    items, next_ = await cursors.read_page(call, ApiKey, API_KEYS, query, lambda key: _key_view(call, key))
    return values.Page[ApiKeyView](items=items, next=next_)


async def create_key(call: Call, body: ApiKeyInput) -> ApiKeyCreated:
    """Create an API key, and show it once."""
    id_ = call.new_short_id("key", ID_CHARACTERS)
    text, digest = _make_key(call, id_)
    scopes = tuple(dict.fromkeys(body.scopes))
    key = ApiKey(id=id_, description=body.description, scopes=scopes, digests=((digest, None),), created_at=call.now)
    await call.service.documents.write(API_KEYS, id_, key.text())
    return ApiKeyCreated(**_key_view(call, key).model_dump(), key=text)


async def rotate_key(call: Call, _: values.NoBody) -> ApiKeyCreated:
    """Replace an API key; the one before is valid for 24 hours more."""
    now, id_ = call.now, call.params["key"]
    text, digest = _make_key(call, id_)

    def decide(before: ApiKey | None) -> ApiKey:
        if before is None:
            raise problems.not_found("API key")
        older = [
            (old_digest, until or now + credentials.OVERLAP_SECONDS)
            for old_digest, until in before.digests
            if until is None or now < until
        ]
        return before.model_copy(update={"digests": ((digest, None), *older[:MAX_OLD_DIGESTS])})

    key = await call.service.directory.change(ApiKey, API_KEYS, id_, decide)
    assert key
    return ApiKeyCreated(**_key_view(call, key).model_dump(), key=text)


async def delete_key(call: Call, _: values.NoQuery) -> None:
    """Delete an API key."""
    if await call.service.documents.get(API_KEYS, call.params["key"]) is None:
        raise problems.not_found("API key")
    await call.service.documents.delete(API_KEYS, call.params["key"])


def _make_key(call: Call, id_: str) -> tuple[str, str]:
    """Return a new key's text, and its digest."""
    text = credentials.api_key_text(id_, call.service.random_bytes(SECRET_BYTES))
    parts = credentials.read_api_key(text)
    assert parts
    return text, parts.digest


def _key_view(call: Call, key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        description=key.description,
        scopes=list(key.scopes),
        created_at=rfc3339(key.created_at),
        rotated=any(until is not None and call.now < until for _, until in key.digests),
    )
