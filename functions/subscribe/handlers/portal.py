"""Portal tokens and sessions."""

from functions.subscribe.caller import PortalCaller
from functions.subscribe.credentials import PortalToken, portal_token_text
from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.models.access import PortalInfo, PortalLimits, PortalTokenCreated, PortalTokenInput
from functions.subscribe.models.base import NoQuery
from functions.subscribe.problems import ApiProblem, not_found
from functions.subscribe.route import Call
from shared.subscribers.directory import TENANTS, sessions_of
from shared.subscribers.model import Session, Tenant
from shared.times import rfc3339


async def create_token(call: Call, given: PortalTokenInput) -> PortalTokenCreated:
    """Create a portal token for a tenant."""
    tenant, now = tenant_of(call), call.now
    session = Session(
        id=call.new_id("session"),
        tenant=tenant.id,
        capabilities=tuple(dict.fromkeys(given.capabilities)),
        created_at=now,
        expires_at=now + given.expires_in,
    )
    token = PortalToken(
        tenant=tenant.id,
        session=session.id,
        capabilities=session.capabilities,
        issued_at=now,
        expires_at=session.expires_at,
    )
    text = portal_token_text(token, (await call.service.keyring.portal_keys())[0])
    await call.service.documents.write(
        sessions_of(tenant.id), session.id, session.text(), expires_at=session.expires_at
    )
    return PortalTokenCreated(
        token=text,
        url=f"{base_url(call)}/portal#token={text}",
        session=session.id,
        expires_at=rfc3339(session.expires_at),
    )


async def revoke_sessions(call: Call, given: NoQuery) -> None:
    """Revoke all portal tokens of a tenant."""
    now = call.now

    def decide(before: Tenant | None) -> Tenant:
        if before is None:
            raise not_found("tenant")
        return before.model_copy(update={"tokens_valid_from": max(now, before.tokens_valid_from)})

    await call.service.directory.change(Tenant, TENANTS, call.tenant, decide)


async def revoke_session(call: Call, given: NoQuery) -> None:
    """Revoke a portal session."""

    def decide(before: Session | None) -> Session:
        if before is None:
            raise not_found("portal session")
        return before.model_copy(update={"is_revoked": True})

    await call.service.directory.change(Session, sessions_of(call.tenant), call.params["session"], decide)


async def get_portal_info(call: Call, given: NoQuery) -> PortalInfo:
    """Return what the page shows and allows."""
    caller, settings = call.caller, call.service.settings
    if not isinstance(caller, PortalCaller):
        raise ApiProblem("not_allowed", "this needs a portal token")
    limits = settings.limits
    return PortalInfo(
        name=settings.portal_name,
        logo=settings.portal_logo,
        capabilities=sorted(caller.capabilities),
        tenant=caller.tenant,
        limits=PortalLimits(
            endpoints=limits.endpoints,
            headers=limits.headers,
            fields=limits.fields,
            types=limits.types,
            filter_characters=limits.filter_characters,
        ),
        verify=settings.verify,
        expires_at=rfc3339(caller.expires_at),
    )


def base_url(call: Call) -> str:
    """Return what stands before `/portal`: as configured, else the host that the request was sent to."""
    configured = call.service.settings.public_url
    if configured:
        return configured
    host = call.request.header("host") or "localhost"
    scheme = call.request.header("x-forwarded-proto") or "http"
    return f"{'https' if scheme == 'https' else 'http'}://{host}"
