"""The caller of the API, by the API key or the portal token in `Authorization: Bearer …`.

A portal token counts while its session and its tenant are there, and neither has been revoked since it was made.
"""

import asyncio
import hmac
from typing import Final

from functions.subscribe.caller import Caller, KeyCaller, PortalCaller
from functions.subscribe.credentials import TOKEN_PREFIX, PortalToken, read_api_key, read_portal_token
from functions.subscribe.problems import ApiProblem
from functions.subscribe.service import Service
from shared.http import Request
from shared.subscribers.directory import API_KEYS, TENANTS, sessions_of
from shared.subscribers.model import ApiKey, Session, Tenant

_SCHEME: Final = "bearer "
_MISSING: Final = "send an API key or a portal token as `Authorization: Bearer …`"
_UNKNOWN: Final = "the API key or portal token is unknown, expired or revoked"


async def authenticate(service: Service, request: Request) -> tuple[Caller, Tenant | None]:
    """Return the caller, and of a portal token its tenant. Raises ApiProblem (`not_authenticated`)."""
    given = request.header("authorization") or ""
    if not given.lower().startswith(_SCHEME):
        raise ApiProblem("not_authenticated", _MISSING)
    text = given[len(_SCHEME) :].strip()
    if text.startswith(TOKEN_PREFIX):
        return await _portal_caller(service, text)
    return await _key_caller(service, text), None


async def _key_caller(service: Service, text: str) -> KeyCaller:
    given = read_api_key(text)
    found = await service.directory.read(ApiKey, API_KEYS, given.id) if given else None
    if given is None or found is None:
        raise ApiProblem("not_authenticated", _UNKNOWN)
    now, key = service.clock.now(), found[0]
    matches = [
        hmac.compare_digest(digest, given.digest) and (until is None or now < until) for digest, until in key.digests
    ]
    if not any(matches):
        raise ApiProblem("not_authenticated", _UNKNOWN)
    return KeyCaller(key.id, frozenset(key.scopes))


async def _portal_caller(service: Service, text: str) -> tuple[PortalCaller, Tenant]:
    token, now = read_portal_token(text, await service.keyring.portal_keys()), service.clock.now()
    if token is None or now >= token.expires_at:
        raise ApiProblem("not_authenticated", _UNKNOWN)
    session, tenant = await asyncio.gather(
        service.directory.read(Session, sessions_of(token.tenant), token.session),
        service.directory.read(Tenant, TENANTS, token.tenant),
    )
    if session is None or tenant is None or _is_revoked(token, session[0], tenant[0]):
        raise ApiProblem("not_authenticated", _UNKNOWN)
    caller = PortalCaller(token.tenant, token.session, frozenset(token.capabilities), token.expires_at)
    return caller, tenant[0]


def _is_revoked(token: PortalToken, session: Session, tenant: Tenant) -> bool:
    """Return whether the token is revoked. One that is older than its tenant is of a deleted tenant of that id."""
    return session.is_revoked or token.issued_at <= tenant.tokens_valid_from or token.issued_at < tenant.created_at
