"""The routes of the API: the table of them, and the router that finds one by method and path.

The table has each method and path, the permission that it requires, and the handler that answers. The handlers are slow
to import, so a process imports this module at its first request to the API.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from functions.subscribe.access import REVEAL, Access
from functions.subscribe.handlers import api_keys, deliveries, endpoints, event_types, messages, sending_again, tenants
from functions.subscribe.problems import MethodRejected, not_found
from functions.subscribe.route import MAX_IMPORT_BYTES, PARAMS, Route

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
    Route("GET", KEYS, ADMIN, api_keys.list_keys),
    Route("POST", KEYS, ADMIN, api_keys.create_key, status=201),
    Route("POST", f"{KEY}/rotate", ADMIN, api_keys.rotate_key),
    Route("DELETE", KEY, ADMIN, api_keys.delete_key),
)


class Matched(NamedTuple):
    """The routes of a path by method, and the parameters in it."""

    routes: Mapping[str, Route]
    params: Mapping[str, str]

    @property
    def allowed(self) -> str:
        """Return the value of `Allow`."""
        methods = {*self.routes, "OPTIONS"} | ({"HEAD"} if "GET" in self.routes else set())
        return ", ".join(sorted(methods))

    def route_for(self, method: str) -> Route:
        """Return the route of a method. Raises MethodRejected if the path has none."""
        route = self.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodRejected(self.allowed)
        return route


class Router:
    """The routes by path. A literal segment is preferred to a parameter: `export` to `{type}`."""

    def __init__(self, routes: Sequence[Route]) -> None:
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for path in by_path:
            segments = tuple(path.split("/"))
            self._by_length.setdefault(len(segments), []).append((segments, by_path[path]))
        for paths in self._by_length.values():
            # Literals come first.
            paths.sort(key=lambda path_routes: [_is_parameter(segment) for segment in path_routes[0]])

    def find(self, path: str) -> Matched:
        """Return the routes of a path and its parameters, all of which are valid.

        Raises ApiProblem (`not_found`). If only a parameter is at fault, it says which rule is broken.
        """
        texts = [_decoded(segment) for segment in path.split("/")]
        rule = ""
        for segments, routes in self._by_length.get(len(texts), ()):
            params = _params(segments, texts)
            if params is None:
                continue
            invalid = next((PARAMS[name] for name, text in params.items() if not PARAMS[name].is_valid(text)), None)
            if invalid is None:
                return Matched(routes, params)
            rule = f": {invalid.rule}"
        raise not_found(f"path{rule}")


def _decoded(segment: str) -> str:
    """Return a percent-decoded segment. A path has one character for each byte."""
    if segment.isascii() and "%" not in segment:
        return segment
    return unquote_to_bytes(segment.encode("latin-1", "replace")).decode("utf-8", "replace")


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _params(segments: Sequence[str], texts: Sequence[str]) -> dict[str, str] | None:
    """Return the parameters in a path's segments; None if it is another path."""
    params: dict[str, str] = {}
    for segment, text in zip(segments, texts, strict=True):
        if _is_parameter(segment):
            params[segment[1:-1]] = text
        elif segment != text:
            return None
    return params
