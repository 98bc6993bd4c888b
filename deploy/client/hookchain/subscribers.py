"""The API for subscribers: your own users, and the endpoints where they take your events.

from hookchain.subscribers import Subscribers

hooks = Subscribers("https://hooks.example.com", "hck_…")
hooks.put_tenant("acme", name="Acme", email="ops@acme.example")
print(hooks.create_token("acme")["url"])
"""

from collections.abc import Mapping, Sequence
from typing import cast

from .formats import Json
from .subscribers_api import Attempts, SubscribersError, ValueFault
from .subscribers_calls import Listing, Page
from .subscribers_endpoints import EndpointCalls
from .subscribers_types import (
    ApiKey,
    ApiKeyCreated,
    Capability,
    EventType,
    Imported,
    PortalInfo,
    PortalToken,
    Scope,
    Tenant,
)

__all__ = ["Attempts", "Listing", "Page", "Subscribers", "SubscribersError", "ValueFault"]


class Subscribers(EndpointCalls):
    """The API at a URL, with an API key or a portal token.

    Each method is an operation of the API's OpenAPI document, with the same name. What is None is not sent. Each raises
    SubscribersError. A POST has an idempotency key, so that a repeat is not done twice; give one of your own to repeat
    it after a crash.
    """

    # Tenants

    def list_tenants(self, *, limit: int = 100, cursor: str = "") -> Listing[Tenant]:
        return self._listing("tenants", limit=limit, cursor=cursor)

    def get_tenant(self, tenant: str) -> Tenant:
        return cast(Tenant, self._get("tenants", tenant))

    def put_tenant(
        self, tenant: str, *, name: str = "", email: str = "", metadata: Mapping[str, str] | None = None
    ) -> Tenant:
        body = {"name": name, "email": email, "metadata": metadata}
        return cast(Tenant, self._api.request("PUT", "tenants", tenant, body=body).value)

    def delete_tenant(self, tenant: str) -> None:
        self._api.request("DELETE", "tenants", tenant)

    # The portal

    def create_token(
        self,
        tenant: str,
        *,
        capabilities: Sequence[Capability] | None = None,
        expires_in: int | None = None,
        idempotency_key: str | None = None,
    ) -> PortalToken:
        """Return a token and the portal's URL with it. `expires_in` is in seconds."""
        listed = None if capabilities is None else [*capabilities]
        body = {"capabilities": listed, "expires_in": expires_in}
        path = "tenants", tenant, "portal-tokens"
        return cast(PortalToken, self._post(*path, body=body, idempotency_key=idempotency_key))

    def revoke_sessions(self, tenant: str) -> None:
        self._api.request("DELETE", "tenants", tenant, "portal-sessions")

    def revoke_session(self, tenant: str, session: str) -> None:
        self._api.request("DELETE", "tenants", tenant, "portal-sessions", session)

    def get_portal_info(self) -> PortalInfo:
        return cast(PortalInfo, self._get("portal-info"))

    # Event types

    def list_event_types(self, *, group: str = "", limit: int = 100, cursor: str = "") -> Listing[EventType]:
        return self._listing("event-types", query={"group": group}, limit=limit, cursor=cursor)

    def get_event_type(self, type: str) -> EventType:
        return cast(EventType, self._get("event-types", type))

    def put_event_type(
        self,
        type: str,
        *,
        description: str = "",
        group: str = "",
        schema: Mapping[str, Json] | None = None,
        examples: Sequence[Json] = (),
        deprecated: bool = False,
    ) -> EventType:
        body = {
            "description": description,
            "group": group,
            "schema": schema,
            "examples": [*examples],
            "deprecated": deprecated,
        }
        return cast(EventType, self._api.request("PUT", "event-types", type, body=body).value)

    def delete_event_type(self, type: str) -> None:
        self._api.request("DELETE", "event-types", type)

    def import_event_types(
        self, *, document: Mapping[str, Json], dry_run: bool = False, idempotency_key: str | None = None
    ) -> Imported:
        """Import an OpenAPI document with `webhooks`, a JSON Schema, or event types by name."""
        body = {"document": document, "dry_run": dry_run}
        return cast(Imported, self._post("event-types", "import", body=body, idempotency_key=idempotency_key))

    def export_event_types(self, *, group: str = "") -> dict[str, Json]:
        """Return an OpenAPI 3.1 document whose webhooks are the event types, or those of a group."""
        return cast("dict[str, Json]", self._get("event-types", "export", query={"group": group}))

    # API keys

    def list_keys(self, *, limit: int = 100, cursor: str = "") -> Listing[ApiKey]:
        return self._listing("api-keys", limit=limit, cursor=cursor)

    def create_key(
        self, *, scopes: Sequence[Scope], description: str = "", idempotency_key: str | None = None
    ) -> ApiKeyCreated:
        body = {"scopes": [*scopes], "description": description}
        return cast(ApiKeyCreated, self._post("api-keys", body=body, idempotency_key=idempotency_key))

    def rotate_key(self, key: str, *, idempotency_key: str | None = None) -> ApiKeyCreated:
        return cast(ApiKeyCreated, self._post("api-keys", key, "rotate", idempotency_key=idempotency_key))

    def delete_key(self, key: str) -> None:
        self._api.request("DELETE", "api-keys", key)
