"""The authentication of a caller of the API by an API key or a portal token."""

import asyncio
import hmac
from typing import Final

from functions.subscribe import access, credentials, problems
from functions.subscribe.service import Service
from shared.http import Request
from shared.subscribers.directory import API_KEYS, TENANTS, sessions_of
from shared.subscribers.model import ApiKey, Session, Tenant

_SCHEME: Final = "bearer "

_MISSING: Final = "send an API key or a portal token as `Authorization: Bearer …`"
_UNKNOWN: Final = "the API key or portal token is unknown, expired or revoked"


async def authenticate(service: Service, request: Request) -> tuple[access.Caller, Tenant | None]:
    """Return the caller, and the tenant if the caller has a portal token. Raises ApiProblem (`not_authenticated`)."""
    authorization = request.header("authorization") or ""
    if not authorization.lower().startswith(_SCHEME):
        raise problems.ApiProblem("not_authenticated", _MISSING)
    text = authorization[len(_SCHEME) :].strip()
    if text.startswith(credentials.TOKEN_PREFIX):
        return await _portal_caller(service, text)
    return await _key_caller(service, text), None


async def _key_caller(service: Service, text: str) -> access.KeyCaller:
    presented = credentials.read_api_key(text)
    found = await service.directory.read(ApiKey, API_KEYS, presented.id) if presented else None
    if presented is None or found is None:
        raise problems.ApiProblem("not_authenticated", _UNKNOWN)
    now = service.clock.now()
    key, _ = found
    # All digests are compared, so that the time of the reply does not tell which of them matches.
    matches = [
        hmac.compare_digest(digest, presented.digest) and (until is None or now < until)
        for digest, until in key.digests
    ]
    if not any(matches):
        raise problems.ApiProblem("not_authenticated", _UNKNOWN)
    return access.KeyCaller(key.id, frozenset(key.scopes))


async def _portal_caller(service: Service, text: str) -> tuple[access.PortalCaller, Tenant]:
    token = credentials.read_portal_token(text, await service.keyring.portal_keys())
    now = service.clock.now()
    if token is None or now >= token.expires_at:
        raise problems.ApiProblem("not_authenticated", _UNKNOWN)
    session, tenant = await asyncio.gather(
        service.directory.read(Session, sessions_of(token.tenant), token.session),
        service.directory.read(Tenant, TENANTS, token.tenant),
    )
    if session is None or tenant is None or _is_revoked(token, session[0], tenant[0]):
        raise problems.ApiProblem("not_authenticated", _UNKNOWN)
    caller = access.PortalCaller(token.tenant, token.session, frozenset(token.capabilities), token.expires_at)
    return caller, tenant[0]


def _is_revoked(token: credentials.PortalToken, session: Session, tenant: Tenant) -> bool:
    """Return whether the token, its session or all tokens of the tenant are revoked."""
    is_revoked_with_all = token.issued_at <= tenant.tokens_valid_from
    # A token that is older than its tenant was issued for a deleted tenant, which had the same id.
    is_of_former_tenant = token.issued_at < tenant.created_at
    return session.is_revoked or is_revoked_with_all or is_of_former_tenant
