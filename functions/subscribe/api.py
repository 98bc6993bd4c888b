"""A request to the API, in the order of its checks: path, method, caller, access, tenant, rate, body; handler."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from functions.subscribe.authentication import authenticate
from functions.subscribe.bodies import read_body, read_input
from functions.subscribe.caller import Caller, KeyCaller, PortalCaller
from functions.subscribe.problems import not_found
from functions.subscribe.route import Call, Route
from functions.subscribe.router import Matched, router
from functions.subscribe.service import Service
from shared.errors import Rejected
from shared.http import ReadBody, Reply, Request
from shared.jsontext import to_json
from shared.subscribers.directory import TENANTS
from shared.subscribers.model import Tenant

if TYPE_CHECKING:
    from pydantic import BaseModel

IDEMPOTENCY_KEY: Final = "idempotency-key"
NO_STORE: Final = ("cache-control", "no-store")
_JSON: Final = ("content-type", "application/json")


class MethodRejected(Rejected):
    """A method that the path does not have."""

    def __init__(self, allowed: str) -> None:
        super().__init__("method_not_allowed", f"this path takes {allowed}")
        self.allowed = allowed


async def answer_api(service: Service, request: Request, read: ReadBody, note: Callable[[Route], None]) -> Reply:
    """Answer a request. `note` is told its route, for the log. Raises ApiProblem, Rejected and Temporary."""
    matched = router().find(request.path)
    if request.method == "OPTIONS":
        return Reply(204, headers=(("allow", matched.allowed), NO_STORE))
    route = _route_of(matched, request)
    note(route)
    caller, own_tenant = await authenticate(service, request)
    return await _answer(service, request, read, matched, caller, own_tenant)


async def answer_known(service: Service, request: Request, read: ReadBody, caller: Caller) -> Reply:
    """Answer a request whose caller is known without a key, as the operator's commands are. Raises as answer_api."""
    return await _answer(service, request, read, router().find(request.path), caller, None)


def _route_of(matched: Matched, request: Request) -> Route:
    """Raises MethodRejected."""
    route = matched.routes.get("GET" if request.method == "HEAD" else request.method)
    if route is None:
        raise MethodRejected(matched.allowed)
    return route


async def _answer(
    service: Service, request: Request, read: ReadBody, matched: Matched, caller: Caller, own_tenant: Tenant | None
) -> Reply:
    route = _route_of(matched, request)
    route.access.verify(caller, matched.params.get("tenant"))
    call = Call(service, request, caller, matched.params)
    call.tenant_document = own_tenant or await _tenant_of(service, caller, route, matched)
    if route.is_limited and isinstance(caller, PortalCaller) and service.request_rate is not None:
        await service.request_rate.verify(caller.tenant)
    await read_body(route, request, read)
    given = read_input(route, request)
    key = request.header(IDEMPOTENCY_KEY) if route.is_idempotent else None
    if key is None:
        return await run(route, call, given)
    from functions.subscribe.idempotency import answer_once

    return await answer_once(call, key, lambda: run(route, call, given))


async def _tenant_of(service: Service, caller: Caller, route: Route, matched: Matched) -> Tenant | None:
    """Return the tenant in the path. Raises ApiProblem (`not_found`) where there is none, unless one is made."""
    tenant = matched.params.get("tenant")
    if tenant is None or not isinstance(caller, KeyCaller):
        return None
    found = await service.directory.read(Tenant, TENANTS, tenant)
    if found is None and route.method != "PUT":
        raise not_found(f"tenant: {tenant}")
    return found[0] if found else None


async def run(route: Route, call: Call, given: "BaseModel") -> Reply:
    """Call the handler, and write what it gives."""
    found = await route.run(call, given)
    if found is None:
        return Reply(204, headers=(NO_STORE, *call.headers))
    text = to_json(found.model_dump(by_alias=True))
    return Reply(route.status, text.encode("utf-8", "backslashreplace"), (_JSON, NO_STORE, *call.headers))
