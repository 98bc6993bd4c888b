"""The callers of the API, and the rules by which they may use a route."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from functions.subscribe.problems import ApiProblem, not_found
from shared.subscribers.model import Capability, Scope

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
