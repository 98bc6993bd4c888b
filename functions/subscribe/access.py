"""The callers of the API: how a request is authenticated, and the rules by which its caller may use a route."""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Final, TypeAlias

from functions.subscribe import credentials
from functions.subscribe.problems import ApiProblem, not_found
from functions.subscribe.service import Service
from shared.http import Request
from shared.subscribers.directory import API_KEYS, TENANTS, sessions_of
from shared.subscribers.model import ApiKey, Capability, Scope, Session, Tenant

_SCHEME: Final = "bearer "
_MISSING: Final = "send an API key or a portal token as `Authorization: Bearer …`"
_UNKNOWN: Final = "the API key or portal token is unknown, expired or revoked"
"""The same for each of the three, so that a caller who guesses learns nothing."""
_SUFFICIENT_SCOPES: Final[dict[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read", "write", "admin"}),
    "write": frozenset({"write", "admin"}),
    "portal": frozenset({"portal", "admin"}),
    "admin": frozenset({"admin"}),
}
"""For each scope that a route can require, the scopes of an API key that satisfy it. One of them is enough."""
_SUFFICIENT_CAPABILITIES: Final[dict[Capability, frozenset[Capability]]] = {
    "view": frozenset({"view", "manage", "resend"}),
    "manage": frozenset({"manage"}),
    "resend": frozenset({"resend"}),
    "reveal_secret": frozenset({"reveal_secret"}),
}
"""For each capability that a route can require, the capabilities of a portal token that satisfy it."""


@dataclass(frozen=True, slots=True)
class KeyCaller:
    """The operator, with an API key."""

    id: str
    scopes: frozenset[Scope]

    @property
    def name(self) -> str:
        return f"key.{self.id}"


@dataclass(frozen=True, slots=True)
class PortalCaller:
    """A tenant, with a portal token."""

    tenant: str
    session: str
    capabilities: frozenset[Capability]
    expires_at: float

    @property
    def name(self) -> str:
        return f"session.{self.tenant}.{self.session}"


Caller: TypeAlias = KeyCaller | PortalCaller


async def authenticate(service: Service, request: Request) -> tuple[Caller, Tenant | None]:
    """Return the caller, and the tenant if the caller has a portal token. Raises ApiProblem (`not_authenticated`)."""
    authorization = request.header("authorization") or ""
    if not authorization.lower().startswith(_SCHEME):
        raise ApiProblem("not_authenticated", _MISSING)
    text = authorization[len(_SCHEME) :].strip()
    if text.startswith(credentials.TOKEN_PREFIX):
        return await _portal_caller(service, text)
    return await _key_caller(service, text), None


async def _key_caller(service: Service, text: str) -> KeyCaller:
    """Return the caller with this API key. Raises ApiProblem (`not_authenticated`)."""
    presented = credentials.read_api_key(text)
    found = await service.directory.read(ApiKey, API_KEYS, presented.id) if presented else None
    if presented is None or found is None:
        raise ApiProblem("not_authenticated", _UNKNOWN)
    now = service.clock.now()
    key, _ = found
    # All digests are compared, so that the time of the reply does not tell which of them matches.
    matches = [
        hmac.compare_digest(digest, presented.digest) and (until is None or now < until)
        for digest, until in key.digests
    ]
    if not any(matches):
        raise ApiProblem("not_authenticated", _UNKNOWN)
    return KeyCaller(key.id, frozenset(key.scopes))


async def _portal_caller(service: Service, text: str) -> tuple[PortalCaller, Tenant]:
    """Return the caller with this portal token, and the caller's tenant. Raises ApiProblem (`not_authenticated`)."""
    token = credentials.read_portal_token(text, await service.keyring.portal_keys())
    now = service.clock.now()
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


def _is_revoked(token: credentials.PortalToken, session: Session, tenant: Tenant) -> bool:
    """Return whether the token, its session or all tokens of the tenant are revoked."""
    is_revoked_with_all = token.issued_at <= tenant.tokens_valid_from
    # A token that is older than its tenant was issued for a deleted tenant, which had the same id.
    is_of_former_tenant = token.issued_at < tenant.created_at
    return session.is_revoked or is_revoked_with_all or is_of_former_tenant


@dataclass(frozen=True, slots=True)
class Access:
    """The permission that a route requires.

    scope       the scope that an API key must have; None if no API key may use the route
    capability  the capability that a portal token must have; None if no portal token may use the route
    """

    scope: Scope | None
    capability: Capability | None

    def verify(self, caller: Caller, tenant: str | None) -> None:
        """Verify that the caller may use the route for the tenant, or for no tenant if it is None.

        Raises ApiProblem: `not_found` if a portal token is used for another tenant, and `not_allowed` without the
        scope or the capability. `not_found` comes first, so that a tenant learns nothing about another one.
        """
        if isinstance(caller, KeyCaller):
            self._verify_key(caller)
            return
        if tenant is not None and tenant != caller.tenant:
            raise not_found("tenant")
        if self.capability is None:
            raise ApiProblem("not_allowed", "this is for API keys of the operator")
        if not caller.capabilities & _SUFFICIENT_CAPABILITIES[self.capability]:
            raise ApiProblem("not_allowed", f"this needs a portal token with the capability {self.capability!r}")

    def _verify_key(self, caller: KeyCaller) -> None:
        if self.scope is None:
            raise ApiProblem("not_allowed", "this needs a portal token")
        if not caller.scopes & _SUFFICIENT_SCOPES[self.scope]:
            raise ApiProblem("not_allowed", f"this needs an API key with the scope {self.scope!r}")

    def allows(self, caller: Caller) -> bool:
        """Return whether the caller has the permission. A portal token has it only for its own tenant."""
        try:
            self.verify(caller, None)
        except ApiProblem:
            return False
        return True


REVEAL: Final = Access("admin", "reveal_secret")
"""The permission to see the secret of an endpoint."""
