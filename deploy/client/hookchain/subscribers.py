"""The subscribers' API: manage your users (tenants), and the endpoints where they receive your events.

from hookchain.subscribers import Subscribers

hooks = Subscribers("https://hooks.example.com", "hck_…")
hooks.put_tenant("acme", name="Acme", email="ops@acme.example")
print(hooks.create_token("acme")["url"])
"""

from collections.abc import Mapping, Sequence
from typing import cast

from . import subscribers_types as api_types
from .formats import Json
from .subscribers_api import Attempts, Calls, Listing, Page, SubscribersError, ValueFault, with_etag

__all__ = ["Attempts", "Listing", "Page", "Subscribers", "SubscribersError", "ValueFault"]


class Subscribers(Calls):
    """The API at a URL, called with an API key or a portal token.

    Each method is an operation of the API's OpenAPI document, with the same name. Each raises SubscribersError. An
    argument that is None is not sent. A list is read page by page, as you iterate over it.

    A POST is sent with a random idempotency key, so that the API does it only once if it is repeated after a lost
    response. To repeat it after a crash of your program, pass your own `idempotency_key` both times.
    """

    # Tenants

    def list_tenants(self, *, limit: int = 100, cursor: str = "") -> Listing[api_types.Tenant]:
        return self._listing("tenants", limit=limit, cursor=cursor)

    def get_tenant(self, tenant: str) -> api_types.Tenant:
        return cast(api_types.Tenant, self._get("tenants", tenant))

    def put_tenant(
        self, tenant: str, *, name: str = "", email: str = "", metadata: Mapping[str, str] | None = None
    ) -> api_types.Tenant:
        """Create the tenant, or replace all of its settings. What is left out becomes empty."""
        body = {"name": name, "email": email, "metadata": metadata}
        return cast(api_types.Tenant, self._request("PUT", ("tenants", tenant), body=body).value)

    def delete_tenant(self, tenant: str) -> None:
        self._delete("tenants", tenant)

    # The portal

    def create_token(
        self,
        tenant: str,
        *,
        capabilities: Sequence[api_types.Capability] | None = None,
        expires_in: int | None = None,
        idempotency_key: str | None = None,
    ) -> api_types.PortalToken:
        """Return a token and the portal's URL with it. `expires_in` is in seconds."""
        listed = None if capabilities is None else [*capabilities]
        body = {"capabilities": listed, "expires_in": expires_in}
        path = "tenants", tenant, "portal-tokens"
        return cast(api_types.PortalToken, self._post(*path, body=body, idempotency_key=idempotency_key))

    def revoke_sessions(self, tenant: str) -> None:
        self._delete("tenants", tenant, "portal-sessions")

    def revoke_session(self, tenant: str, session: str) -> None:
        self._delete("tenants", tenant, "portal-sessions", session)

    def get_portal_info(self) -> api_types.PortalInfo:
        return cast(api_types.PortalInfo, self._get("portal-info"))

    # Endpoints

    def list_endpoints(self, tenant: str, *, limit: int = 100, cursor: str = "") -> Listing[api_types.Endpoint]:
        return self._listing("tenants", tenant, "endpoints", limit=limit, cursor=cursor)

    def create_endpoint(
        self,
        tenant: str,
        *,
        url: str,
        description: str = "",
        types: Sequence[str] = (),
        filter: str = "",
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Json] | None = None,
        auth: api_types.Auth | None = None,
        rate: str = "",
        enabled: bool = True,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> api_types.EndpointCreated:
        """Create an endpoint and return it with its secret. Without `types`, it gets all events of the tenant."""
        body = {
            "url": url,
            "description": description,
            "types": [*types],
            "filter": filter,
            "headers": headers,
            "fields": fields,
            "auth": auth,
            "rate": rate,
            "enabled": enabled,
            "secret": secret,
        }
        path = "tenants", tenant, "endpoints"
        answer = self._request("POST", path, body=body, idempotency_key=idempotency_key)
        return cast(api_types.EndpointCreated, with_etag(answer))

    def get_endpoint(self, tenant: str, endpoint: str) -> api_types.Endpoint:
        return cast(api_types.Endpoint, with_etag(self._request("GET", ("tenants", tenant, "endpoints", endpoint))))

    def change_endpoint(
        self,
        tenant: str,
        endpoint: str,
        *,
        url: str | None = None,
        description: str | None = None,
        types: Sequence[str] | None = None,
        filter: str | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Json] | None = None,
        auth: api_types.Auth | None = None,
        rate: str | None = None,
        enabled: bool | None = None,
        secret: str | None = None,
        if_match: str | None = None,
    ) -> api_types.Endpoint:
        """Replace the given settings.

        With `if_match`, the ETag that you have read, it raises SubscribersError (`version_mismatch`) if somebody else
        has changed the endpoint since.
        """
        body = {
            "url": url,
            "description": description,
            "types": None if types is None else [*types],
            "filter": filter,
            "headers": headers,
            "fields": fields,
            "auth": auth,
            "rate": rate,
            "enabled": enabled,
            "secret": secret,
        }
        path = "tenants", tenant, "endpoints", endpoint
        return cast(api_types.Endpoint, with_etag(self._request("PATCH", path, body=body, if_match=if_match)))

    def delete_endpoint(self, tenant: str, endpoint: str, *, if_match: str | None = None) -> None:
        self._delete("tenants", tenant, "endpoints", endpoint, if_match=if_match)

    def enable_endpoint(self, tenant: str, endpoint: str, *, idempotency_key: str | None = None) -> api_types.Endpoint:
        return self._act_on_endpoint(tenant, endpoint, "enable", idempotency_key)

    def disable_endpoint(self, tenant: str, endpoint: str, *, idempotency_key: str | None = None) -> api_types.Endpoint:
        return self._act_on_endpoint(tenant, endpoint, "disable", idempotency_key)

    def verify_endpoint(self, tenant: str, endpoint: str, *, idempotency_key: str | None = None) -> api_types.Endpoint:
        return self._act_on_endpoint(tenant, endpoint, "verify", idempotency_key)

    def send_test(
        self, tenant: str, endpoint: str, *, type: str, idempotency_key: str | None = None
    ) -> api_types.TestSent:
        path = "tenants", tenant, "endpoints", endpoint, "test"
        return cast(api_types.TestSent, self._post(*path, body={"type": type}, idempotency_key=idempotency_key))

    def reveal_secret(self, tenant: str, endpoint: str) -> api_types.Secret:
        return cast(api_types.Secret, self._get("tenants", tenant, "endpoints", endpoint, "secret"))

    def rotate_secret(
        self, tenant: str, endpoint: str, *, secret: str | None = None, idempotency_key: str | None = None
    ) -> api_types.Secret:
        path = "tenants", tenant, "endpoints", endpoint, "secret", "rotate"
        return cast(api_types.Secret, self._post(*path, body={"secret": secret}, idempotency_key=idempotency_key))

    # Deliveries and messages

    def list_endpoint_deliveries(
        self,
        tenant: str,
        endpoint: str,
        *,
        state: api_types.State | None = None,
        type: str | None = None,
        since: str | None = None,
        until: str | None = None,
        search: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> Listing[api_types.Delivery]:
        """Return the deliveries to the endpoint that match. `since` and `until` are RFC 3339 times."""
        path = "tenants", tenant, "endpoints", endpoint, "deliveries"
        query = {"state": state, "type": type, "since": since, "until": until, "search": search}
        return self._listing(*path, query=query, limit=limit, cursor=cursor)

    def list_tenant_deliveries(
        self,
        tenant: str,
        *,
        state: api_types.State | None = None,
        type: str | None = None,
        since: str | None = None,
        until: str | None = None,
        search: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> Listing[api_types.Delivery]:
        query = {"state": state, "type": type, "since": since, "until": until, "search": search}
        return self._listing("tenants", tenant, "deliveries", query=query, limit=limit, cursor=cursor)

    def get_delivery(self, tenant: str, delivery: str) -> api_types.DeliveryDetail:
        return cast(api_types.DeliveryDetail, self._get("tenants", tenant, "deliveries", delivery))

    def resend_delivery(self, tenant: str, delivery: str, *, idempotency_key: str | None = None) -> api_types.Resent:
        path = "tenants", tenant, "deliveries", delivery, "resend"
        return cast(api_types.Resent, self._post(*path, idempotency_key=idempotency_key))

    def recover_endpoint(
        self,
        tenant: str,
        endpoint: str,
        *,
        since: str,
        until: str | None = None,
        dry_run: bool = False,
        cursor: str = "",
        idempotency_key: str | None = None,
    ) -> api_types.Replayed:
        """Send the messages since a time that failed or were never sent."""
        path = "tenants", tenant, "endpoints", endpoint, "recover"
        body = {"since": since, "until": until, "dry_run": dry_run, "cursor": cursor}
        return cast(api_types.Replayed, self._post(*path, body=body, idempotency_key=idempotency_key))

    def replay_endpoint(
        self,
        tenant: str,
        endpoint: str,
        *,
        since: str,
        until: str | None = None,
        types: Sequence[str] = (),
        state: api_types.State | None = None,
        dry_run: bool = False,
        cursor: str = "",
        idempotency_key: str | None = None,
    ) -> api_types.Replayed:
        """Send the messages of a period again: all of them, or only those of these types and in this state."""
        path = "tenants", tenant, "endpoints", endpoint, "replay"
        body = {"since": since, "until": until, "types": [*types], "state": state, "dry_run": dry_run, "cursor": cursor}
        return cast(api_types.Replayed, self._post(*path, body=body, idempotency_key=idempotency_key))

    def list_messages(
        self,
        tenant: str,
        *,
        type: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> Listing[api_types.Message]:
        query = {"type": type, "since": since, "until": until}
        return self._listing("tenants", tenant, "messages", query=query, limit=limit, cursor=cursor)

    def get_message(self, tenant: str, message: str) -> api_types.Message:
        return cast(api_types.Message, self._get("tenants", tenant, "messages", message))

    def _act_on_endpoint(self, tenant: str, endpoint: str, action: str, key: str | None) -> api_types.Endpoint:
        path = "tenants", tenant, "endpoints", endpoint, action
        return cast(api_types.Endpoint, with_etag(self._request("POST", path, body={}, idempotency_key=key)))

    # Event types

    def list_event_types(self, *, group: str = "", limit: int = 100, cursor: str = "") -> Listing[api_types.EventType]:
        return self._listing("event-types", query={"group": group}, limit=limit, cursor=cursor)

    def get_event_type(self, type: str) -> api_types.EventType:
        return cast(api_types.EventType, self._get("event-types", type))

    def put_event_type(
        self,
        type: str,
        *,
        description: str = "",
        group: str = "",
        schema: Mapping[str, Json] | None = None,
        examples: Sequence[Json] = (),
        deprecated: bool = False,
    ) -> api_types.EventType:
        body = {
            "description": description,
            "group": group,
            "schema": schema,
            "examples": [*examples],
            "deprecated": deprecated,
        }
        return cast(api_types.EventType, self._request("PUT", ("event-types", type), body=body).value)

    def delete_event_type(self, type: str) -> None:
        self._delete("event-types", type)

    def import_event_types(
        self, *, document: Mapping[str, Json], dry_run: bool = False, idempotency_key: str | None = None
    ) -> api_types.Imported:
        """Import an OpenAPI document with `webhooks`, a JSON Schema, or event types by name."""
        body = {"document": document, "dry_run": dry_run}
        return cast(api_types.Imported, self._post("event-types", "import", body=body, idempotency_key=idempotency_key))

    def export_event_types(self, *, group: str = "") -> dict[str, Json]:
        """Return an OpenAPI 3.1 document whose webhooks are the event types, all or of one group."""
        return cast("dict[str, Json]", self._get("event-types", "export", query={"group": group}))

    # API keys

    def list_keys(self, *, limit: int = 100, cursor: str = "") -> Listing[api_types.ApiKey]:
        return self._listing("api-keys", limit=limit, cursor=cursor)

    def create_key(
        self, *, scopes: Sequence[api_types.Scope], description: str = "", idempotency_key: str | None = None
    ) -> api_types.ApiKeyCreated:
        body = {"scopes": [*scopes], "description": description}
        return cast(api_types.ApiKeyCreated, self._post("api-keys", body=body, idempotency_key=idempotency_key))

    def rotate_key(self, key: str, *, idempotency_key: str | None = None) -> api_types.ApiKeyCreated:
        return cast(api_types.ApiKeyCreated, self._post("api-keys", key, "rotate", idempotency_key=idempotency_key))

    def delete_key(self, key: str) -> None:
        self._delete("api-keys", key)
