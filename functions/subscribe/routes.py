"""The table of the API's routes: each method and path, who may use it, and the handler that answers it."""

from typing import Final

from functions.subscribe.access import REVEAL, Access
from functions.subscribe.handlers import deliveries, endpoints, event_types, messages, sending_again, tenants
from functions.subscribe.route import MAX_IMPORT_BYTES, Route

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
    Route("GET", TENANTS, OPERATOR_READS, tenants.list_tenants),
    Route("GET", TENANT, VIEW, tenants.get_tenant),
    Route("PUT", TENANT, OPERATOR_WRITES, tenants.put_tenant),
    Route("DELETE", TENANT, OPERATOR_WRITES, tenants.delete_tenant),
    Route("GET", ENDPOINTS, VIEW, endpoints.list_endpoints),
    Route("POST", ENDPOINTS, MANAGE, endpoints.create_endpoint, status=201, has_etag=True),
    Route("GET", ENDPOINT, VIEW, endpoints.get_endpoint, has_etag=True),
    Route("PATCH", ENDPOINT, MANAGE, endpoints.change_endpoint, is_conditional=True, has_etag=True),
    Route("DELETE", ENDPOINT, MANAGE, endpoints.delete_endpoint, is_conditional=True),
    Route("POST", f"{ENDPOINT}/enable", MANAGE, endpoints.enable_endpoint, has_etag=True),
    Route("POST", f"{ENDPOINT}/disable", MANAGE, endpoints.disable_endpoint, has_etag=True),
    Route("POST", f"{ENDPOINT}/verify", MANAGE, endpoints.verify_endpoint, is_limited=True, has_etag=True),
    Route("POST", f"{ENDPOINT}/test", MANAGE, sending_again.send_test, status=202, is_limited=True),
    Route("GET", f"{ENDPOINT}/secret", REVEAL, endpoints.reveal_secret),
    Route("POST", f"{ENDPOINT}/secret/rotate", MANAGE, endpoints.rotate_secret),
    Route("GET", f"{ENDPOINT}/deliveries", VIEW, deliveries.list_endpoint_deliveries),
    Route("POST", f"{ENDPOINT}/recover", RESEND, sending_again.recover_endpoint, is_limited=True),
    Route("POST", f"{ENDPOINT}/replay", RESEND, sending_again.replay_endpoint, is_limited=True),
    Route("GET", f"{TENANT}/deliveries", VIEW, deliveries.list_tenant_deliveries),
    Route("GET", DELIVERY, VIEW, deliveries.get_delivery),
    Route("POST", f"{DELIVERY}/resend", RESEND, sending_again.resend_delivery, status=202, is_limited=True),
    Route("GET", MESSAGES, VIEW, messages.list_messages),
    Route("GET", f"{MESSAGES}/{{message}}", VIEW, messages.get_message),
    Route("POST", f"{TENANT}/portal-tokens", PORTAL_LINKS, tenants.create_token, status=201),
    Route("DELETE", SESSIONS, PORTAL_LINKS, tenants.revoke_sessions),
    Route("DELETE", f"{SESSIONS}/{{session}}", PORTAL_LINKS, tenants.revoke_session),
    Route("GET", "/v1/portal-info", PORTAL_ONLY, tenants.get_portal_info),
    Route("GET", TYPES, VIEW, event_types.list_event_types),
    Route("GET", f"{TYPES}/export", VIEW, event_types.export_event_types),
    Route("POST", f"{TYPES}/import", OPERATOR_WRITES, event_types.import_event_types, max_body_bytes=MAX_IMPORT_BYTES),
    Route("GET", TYPE, VIEW, event_types.get_event_type),
    Route("PUT", TYPE, OPERATOR_WRITES, event_types.put_event_type),
    Route("DELETE", TYPE, OPERATOR_WRITES, event_types.delete_event_type),
    Route("GET", KEYS, ADMIN, tenants.list_keys),
    Route("POST", KEYS, ADMIN, tenants.create_key, status=201),
    Route("POST", f"{KEY}/rotate", ADMIN, tenants.rotate_key),
    Route("DELETE", KEY, ADMIN, tenants.delete_key),
)
