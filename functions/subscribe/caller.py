"""The callers of the API, and what each may do."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from functions.subscribe.problems import ApiProblem, not_found
from shared.subscribers.model import Capability, Scope

_INCLUDED: Final[dict[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read", "write", "admin"}),
    "write": frozenset({"write", "admin"}),
    "portal": frozenset({"portal", "admin"}),
    "admin": frozenset({"admin"}),
}
"""The scopes that allow what needs a scope."""
_CAPABLE: Final[dict[Capability, frozenset[Capability]]] = {
    "view": frozenset({"view", "manage", "resend"}),
    "manage": frozenset({"manage"}),
    "resend": frozenset({"resend"}),
    "reveal_secret": frozenset({"reveal_secret"}),
}
"""The capabilities that allow what needs a capability."""


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
    """The callers that may use a route: API keys with this scope, portal tokens with this capability; None: none."""

    scope: Scope | None
    capability: Capability | None

    def verify(self, caller: Caller, tenant: str | None) -> None:
        """Raises ApiProblem: `not_found` for another tenant, before anything else is said of the route."""
        if isinstance(caller, KeyCaller):
            if self.scope is None or not caller.scopes & _INCLUDED[self.scope]:
                needed = f"an API key with the scope {self.scope!r}" if self.scope else "a portal token"
                raise ApiProblem("not_allowed", f"this needs {needed}")
            return
        if tenant is not None and tenant != caller.tenant:
            raise not_found("tenant")
        if self.capability is None:
            raise ApiProblem("not_allowed", "this is for API keys of the operator")
        if not caller.capabilities & _CAPABLE[self.capability]:
            raise ApiProblem("not_allowed", f"this needs a portal token with the capability {self.capability!r}")

    def allows(self, caller: Caller) -> bool:
        """Return whether the caller may use it, for its own tenant."""
        try:
            self.verify(caller, None)
        except ApiProblem:
            return False
        return True


REVEAL: Final = Access("admin", "reveal_secret")
"""Of those who may see the secrets of endpoints."""
