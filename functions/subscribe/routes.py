"""The table of the API's routes: each method and path, who may use it, and what it takes and gives."""

from typing import Final

from functions.subscribe.caller import REVEAL, Access
from functions.subscribe.handlers import (
    api_keys,
    deliveries,
    endpoints,
    event_types,
    messages,
    portal,
    secrets,
    sending_again,
    tenants,
    testing,
)
from functions.subscribe.models.access import (
    ApiKeyCreated,
    ApiKeyInput,
    ApiKeyView,
    PortalInfo,
    PortalTokenCreated,
    PortalTokenInput,
)
from functions.subscribe.models.base import ListQuery, NoBody, NoQuery, Page
from functions.subscribe.models.deliveries import (
    DeliveryDetail,
    DeliveryQuery,
    DeliveryView,
    MessageQuery,
    MessageView,
    RecoverInput,
    Replayed,
    ReplayInput,
    Resent,
)
from functions.subscribe.models.endpoints import (
    EndpointChange,
    EndpointCreated,
    EndpointInput,
    EndpointView,
    SecretRotation,
    SecretView,
    TestInput,
    TestSent,
)
from functions.subscribe.models.event_types import (
    EventTypeInput,
    EventTypeQuery,
    EventTypeView,
    Exported,
    ExportQuery,
    Imported,
    ImportInput,
)
from functions.subscribe.models.tenants import TenantInput, TenantView
from functions.subscribe.route import MAX_IMPORT_BYTES, Route, route

OPERATOR_READS: Final = Access("read", None)
OPERATOR_WRITES: Final = Access("write", None)
ADMIN: Final = Access("admin", None)
PORTAL_LINKS: Final = Access("portal", None)
VIEW: Final = Access("read", "view")
MANAGE: Final = Access("write", "manage")
RESEND: Final = Access("write", "resend")
PORTAL_ONLY: Final = Access(None, "view")

TENANTS: Final = "/v1/tenants"
TENANT: Final = "/v1/tenants/{tenant}"
ENDPOINTS: Final = f"{TENANT}/endpoints"
ENDPOINT: Final = f"{ENDPOINTS}/{{endpoint}}"
DELIVERY: Final = f"{TENANT}/deliveries/{{delivery}}"
MESSAGES: Final = f"{TENANT}/messages"
TYPES: Final = "/v1/event-types"
TYPE: Final = f"{TYPES}/{{type}}"
KEYS: Final = "/v1/api-keys"
KEY: Final = f"{KEYS}/{{key}}"
SESSIONS: Final = f"{TENANT}/portal-sessions"

ROUTES: Final[tuple[Route, ...]] = (
    route("GET", TENANTS, OPERATOR_READS, tenants.list_tenants, ListQuery, Page[TenantView]),
    route("GET", TENANT, VIEW, tenants.get_tenant, NoQuery, TenantView),
    route("PUT", TENANT, OPERATOR_WRITES, tenants.put_tenant, TenantInput, TenantView),
    route("DELETE", TENANT, OPERATOR_WRITES, tenants.delete_tenant, NoQuery, None),
    route("GET", ENDPOINTS, VIEW, endpoints.list_endpoints, ListQuery, Page[EndpointView]),
    route(
        "POST", ENDPOINTS, MANAGE, endpoints.create_endpoint, EndpointInput, EndpointCreated, status=201, has_etag=True
    ),
    route("GET", ENDPOINT, VIEW, endpoints.get_endpoint, NoQuery, EndpointView, has_etag=True),
    route(
        "PATCH",
        ENDPOINT,
        MANAGE,
        endpoints.change_endpoint,
        EndpointChange,
        EndpointView,
        is_conditional=True,
        has_etag=True,
    ),
    route("DELETE", ENDPOINT, MANAGE, endpoints.delete_endpoint, NoQuery, None, is_conditional=True),
    route("POST", f"{ENDPOINT}/enable", MANAGE, endpoints.enable_endpoint, NoBody, EndpointView, has_etag=True),
    route("POST", f"{ENDPOINT}/disable", MANAGE, endpoints.disable_endpoint, NoBody, EndpointView, has_etag=True),
    route(
        "POST",
        f"{ENDPOINT}/verify",
        MANAGE,
        endpoints.verify_endpoint,
        NoBody,
        EndpointView,
        is_limited=True,
        has_etag=True,
    ),
    route("POST", f"{ENDPOINT}/test", MANAGE, testing.send_test, TestInput, TestSent, status=202, is_limited=True),
    route("GET", f"{ENDPOINT}/secret", REVEAL, secrets.reveal_secret, NoQuery, SecretView),
    route("POST", f"{ENDPOINT}/secret/rotate", MANAGE, secrets.rotate_secret, SecretRotation, SecretView),
    route(
        "GET", f"{ENDPOINT}/deliveries", VIEW, deliveries.list_endpoint_deliveries, DeliveryQuery, Page[DeliveryView]
    ),
    route(
        "POST", f"{ENDPOINT}/recover", RESEND, sending_again.recover_endpoint, RecoverInput, Replayed, is_limited=True
    ),
    route("POST", f"{ENDPOINT}/replay", RESEND, sending_again.replay_endpoint, ReplayInput, Replayed, is_limited=True),
    route("GET", f"{TENANT}/deliveries", VIEW, deliveries.list_tenant_deliveries, DeliveryQuery, Page[DeliveryView]),
    route("GET", DELIVERY, VIEW, deliveries.get_delivery, NoQuery, DeliveryDetail),
    route(
        "POST", f"{DELIVERY}/resend", RESEND, sending_again.resend_delivery, NoBody, Resent, status=202, is_limited=True
    ),
    route("GET", MESSAGES, VIEW, messages.list_messages, MessageQuery, Page[MessageView]),
    route("GET", f"{MESSAGES}/{{message}}", VIEW, messages.get_message, NoQuery, MessageView),
    route(
        "POST",
        f"{TENANT}/portal-tokens",
        PORTAL_LINKS,
        portal.create_token,
        PortalTokenInput,
        PortalTokenCreated,
        status=201,
    ),
    route("DELETE", SESSIONS, PORTAL_LINKS, portal.revoke_sessions, NoQuery, None),
    route("DELETE", f"{SESSIONS}/{{session}}", PORTAL_LINKS, portal.revoke_session, NoQuery, None),
    route("GET", "/v1/portal-info", PORTAL_ONLY, portal.get_portal_info, NoQuery, PortalInfo),
    route("GET", TYPES, VIEW, event_types.list_event_types, EventTypeQuery, Page[EventTypeView]),
    route("GET", f"{TYPES}/export", VIEW, event_types.export_event_types, ExportQuery, Exported),
    route(
        "POST",
        f"{TYPES}/import",
        OPERATOR_WRITES,
        event_types.import_event_types,
        ImportInput,
        Imported,
        max_body_bytes=MAX_IMPORT_BYTES,
    ),
    route("GET", TYPE, VIEW, event_types.get_event_type, NoQuery, EventTypeView),
    route("PUT", TYPE, OPERATOR_WRITES, event_types.put_event_type, EventTypeInput, EventTypeView),
    route("DELETE", TYPE, OPERATOR_WRITES, event_types.delete_event_type, NoQuery, None),
    route("GET", KEYS, ADMIN, api_keys.list_keys, ListQuery, Page[ApiKeyView]),
    route("POST", KEYS, ADMIN, api_keys.create_key, ApiKeyInput, ApiKeyCreated, status=201),
    route("POST", f"{KEY}/rotate", ADMIN, api_keys.rotate_key, NoBody, ApiKeyCreated),
    route("DELETE", KEY, ADMIN, api_keys.delete_key, NoQuery, None),
)
