"""The operations on endpoints, and on what was sent to them."""

from collections.abc import Mapping, Sequence
from typing import cast

from .formats import Json
from .subscribers_calls import Calls, Listing, with_etag
from .subscribers_types import (
    Auth,
    Delivery,
    DeliveryDetail,
    Endpoint,
    EndpointCreated,
    Message,
    Replayed,
    Resent,
    Secret,
    State,
    TestSent,
)


class EndpointCalls(Calls):
    def list_endpoints(self, tenant: str, *, limit: int = 100, cursor: str = "") -> Listing[Endpoint]:
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
        auth: Auth | None = None,
        rate: str = "",
        enabled: bool = True,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> EndpointCreated:
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
        answer = self._api.request("POST", *path, body=body, idempotency_key=idempotency_key)
        return cast(EndpointCreated, with_etag(answer))

    def get_endpoint(self, tenant: str, endpoint: str) -> Endpoint:
        return cast(Endpoint, with_etag(self._api.request("GET", "tenants", tenant, "endpoints", endpoint)))

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
        auth: Auth | None = None,
        rate: str | None = None,
        enabled: bool | None = None,
        secret: str | None = None,
        if_match: str | None = None,
    ) -> Endpoint:
        """Replace what is given. With `if_match`, raises SubscribersError (`version_mismatch`) after another change."""
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
        return cast(Endpoint, with_etag(self._api.request("PATCH", *path, body=body, if_match=if_match)))

    def delete_endpoint(self, tenant: str, endpoint: str, *, if_match: str | None = None) -> None:
        self._api.request("DELETE", "tenants", tenant, "endpoints", endpoint, if_match=if_match)

    def enable_endpoint(self, tenant: str, endpoint: str, *, idempotency_key: str | None = None) -> Endpoint:
        return self._act_on_endpoint(tenant, endpoint, "enable", idempotency_key)

    def disable_endpoint(self, tenant: str, endpoint: str, *, idempotency_key: str | None = None) -> Endpoint:
        return self._act_on_endpoint(tenant, endpoint, "disable", idempotency_key)

    def verify_endpoint(self, tenant: str, endpoint: str, *, idempotency_key: str | None = None) -> Endpoint:
        return self._act_on_endpoint(tenant, endpoint, "verify", idempotency_key)

    def send_test(self, tenant: str, endpoint: str, *, type: str, idempotency_key: str | None = None) -> TestSent:
        path = "tenants", tenant, "endpoints", endpoint, "test"
        return cast(TestSent, self._post(*path, body={"type": type}, idempotency_key=idempotency_key))

    def reveal_secret(self, tenant: str, endpoint: str) -> Secret:
        return cast(Secret, self._get("tenants", tenant, "endpoints", endpoint, "secret"))

    def rotate_secret(
        self, tenant: str, endpoint: str, *, secret: str | None = None, idempotency_key: str | None = None
    ) -> Secret:
        path = "tenants", tenant, "endpoints", endpoint, "secret", "rotate"
        return cast(Secret, self._post(*path, body={"secret": secret}, idempotency_key=idempotency_key))

    # Deliveries and messages

    def list_endpoint_deliveries(
        self,
        tenant: str,
        endpoint: str,
        *,
        state: State | None = None,
        type: str | None = None,
        since: str | None = None,
        until: str | None = None,
        search: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> Listing[Delivery]:
        path = "tenants", tenant, "endpoints", endpoint, "deliveries"
        query = {"state": state, "type": type, "since": since, "until": until, "search": search}
        return self._listing(*path, query=query, limit=limit, cursor=cursor)

    def list_tenant_deliveries(
        self,
        tenant: str,
        *,
        state: State | None = None,
        type: str | None = None,
        since: str | None = None,
        until: str | None = None,
        search: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> Listing[Delivery]:
        query = {"state": state, "type": type, "since": since, "until": until, "search": search}
        return self._listing("tenants", tenant, "deliveries", query=query, limit=limit, cursor=cursor)

    def get_delivery(self, tenant: str, delivery: str) -> DeliveryDetail:
        return cast(DeliveryDetail, self._get("tenants", tenant, "deliveries", delivery))

    def resend_delivery(self, tenant: str, delivery: str, *, idempotency_key: str | None = None) -> Resent:
        path = "tenants", tenant, "deliveries", delivery, "resend"
        return cast(Resent, self._post(*path, idempotency_key=idempotency_key))

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
    ) -> Replayed:
        """Send again what failed or was never sent since a time."""
        path = "tenants", tenant, "endpoints", endpoint, "recover"
        body = {"since": since, "until": until, "dry_run": dry_run, "cursor": cursor}
        return cast(Replayed, self._post(*path, body=body, idempotency_key=idempotency_key))

    def replay_endpoint(
        self,
        tenant: str,
        endpoint: str,
        *,
        since: str,
        until: str | None = None,
        types: Sequence[str] = (),
        state: State | None = None,
        dry_run: bool = False,
        cursor: str = "",
        idempotency_key: str | None = None,
    ) -> Replayed:
        """Send again what was received in a time: of these types, in this state; without them all of it."""
        path = "tenants", tenant, "endpoints", endpoint, "replay"
        body = {
            "since": since,
            "until": until,
            "types": [*types],
            "state": state,
            "dry_run": dry_run,
            "cursor": cursor,
        }
        return cast(Replayed, self._post(*path, body=body, idempotency_key=idempotency_key))

    def list_messages(
        self,
        tenant: str,
        *,
        type: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> Listing[Message]:
        query = {"type": type, "since": since, "until": until}
        return self._listing("tenants", tenant, "messages", query=query, limit=limit, cursor=cursor)

    def get_message(self, tenant: str, message: str) -> Message:
        return cast(Message, self._get("tenants", tenant, "messages", message))

    def _act_on_endpoint(self, tenant: str, endpoint: str, action: str, key: str | None) -> Endpoint:
        path = "tenants", tenant, "endpoints", endpoint, action
        return cast(Endpoint, with_etag(self._api.request("POST", *path, body={}, idempotency_key=key)))
