"""Answer a request to `subscribe`, for a page or for a route of the API, and write its log line.

A request to the API passes these checks in this order: its path, its method, who calls, what the caller may do, the
tenant in the path, the rate of requests, and the body or query. Then the route's handler runs.
"""

import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from functions.subscribe import access, pages, problems
from functions.subscribe.route import Call, Route
from functions.subscribe.service import Service
from shared import errors, jsontext, limits, logs, outcomes
from shared.config.values import fault_text
from shared.formats import json_body
from shared.formats.parse import media_type
from shared.http import MAX_HEADER_BYTES, Headers, ReadBody, Reply, Request
from shared.subscribers import json_pointer
from shared.subscribers.directory import TENANTS
from shared.subscribers.model import Tenant

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from functions.subscribe.routes import Router

MAX_QUERY_CHARACTERS: Final = 8_192
MAX_QUERY_FIELDS: Final = 30
"""More than any route takes. The rest of a longer query is not even split."""
LIMITS: Final = limits.Limits(max_depth=32, max_nodes=100_000, max_keys=2_000, max_key_characters=1_000)
"""The limits of a body."""
MAX_FAULTS: Final = 20
"""The most values at fault that a reply lists."""
_MAX_PATH_CHARACTERS: Final = 200
_MAX_RULE_CHARACTERS: Final = 500
"""The length of a fault's path and rule in a reply: both may have a caller's text."""
RETRY_AFTER_SECONDS: Final = 5
"""The wait that a caller is told with a 503."""

IDEMPOTENCY_KEY: Final = "idempotency-key"
NOSNIFF: Final = ("x-content-type-options", "nosniff")
NO_STORE: Final = ("cache-control", "no-store")
_JSON: Final = ("content-type", "application/json")
_JSON_FORMAT: Final = media_type("application/json")
_AGAIN: Final = "It may be done or not. Send it again later."


class LogEntry(NamedTuple):
    """The part of the log line that depends on how the request ended. `code` and `detail` are those of the fault."""

    severity: str
    outcome: outcomes.RequestOutcome
    code: str | None = None
    detail: str | None = None


async def answer(service: Service, head: Request, read_body: ReadBody) -> Reply:
    """Answer a request: 2xx once it is done, 4xx if the request is at fault, 503 if the caller must try again.

    A 503 means that a part of ours is unavailable, or that our code failed. In both cases, nobody can tell the caller
    whether the request is done.
    """
    started = time.perf_counter()
    route: Route | None = None
    entry = LogEntry("INFO", "answered")
    try:
        if sum([len(name) + len(value) for name, value in head.headers]) > MAX_HEADER_BYTES:
            raise errors.Rejected("headers_too_large", f"the headers have more than {MAX_HEADER_BYTES} bytes")
        reply = await pages.answer_page(service, head)
        if reply is None:
            matched = _router().find(head.path)
            if head.method == "OPTIONS":
                reply = Reply(204, headers=(("allow", matched.allowed), NO_STORE))
            else:
                route = matched.route_for(head.method)
                caller, own_tenant = await access.authenticate(service, head)
                reply = await _call_handler(
                    service, head, read_body, route, matched.params, caller=caller, own_tenant=own_tenant
                )
    except problems.ApiProblem as error:
        reply = problems.problem_reply(error.status, error.code, error.detail, error.errors, _headers_of(error))
        entry = LogEntry("WARNING", "rejected", error.code, _loggable(error))
    except errors.Rejected as error:
        allowed: Headers = (("allow", error.allowed),) if isinstance(error, problems.MethodRejected) else ()
        headers = (*allowed, ("connection", "close"))
        reply = problems.problem_reply(error.status, error.code, error.detail, headers=headers)
        entry = LogEntry("WARNING", "rejected", error.code, error.detail)
    except Exception as error:
        fault = errors.fault_of(error)
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        reply = problems.problem_reply(503, "unavailable", _AGAIN, headers=(retry_after,))
        entry = LogEntry("ERROR", "unavailable", fault.code, fault.detail)
    _log(entry, head, route, reply, started)
    return reply._replace(headers=(*reply.headers, NOSNIFF))


@cache
def _router() -> "Router":
    # Imported here, at the first request to the API, because the handlers are slow to import.
    from functions.subscribe.routes import ROUTES, Router

    return Router(ROUTES)


def _headers_of(error: problems.ApiProblem) -> Headers:
    """Return the headers that a reply to this problem must have."""
    if error.code == "not_authenticated":
        return (("www-authenticate", 'Bearer realm="hookchain"'),)
    return (("retry-after", str(error.retry_after_seconds)),) if error.retry_after_seconds else ()


def _loggable(error: problems.ApiProblem) -> str | None:
    """Return the detail for the log; None if it names values at fault, because their paths may be a caller's text."""
    return None if error.errors else error.detail


def _log(entry: LogEntry, head: Request, route: Route | None, reply: Reply, started: float) -> None:
    """Write the log line. It has the pattern of the route, such as `/v1/tenants/{tenant}`, and nothing of the path."""
    logs.log(
        entry.severity,
        entry.outcome,
        started,
        function="subscribe",
        outcome=entry.outcome,
        method=head.method if head.method.isalpha() and len(head.method) < 10 else "other",
        status=reply.status,
        route=route.path if route else None,
        code=entry.code,
        detail=entry.detail,
    )


async def answer_known(service: Service, request: Request, read: ReadBody, caller: access.Caller) -> Reply:
    """Answer a request to the API whose caller is known without a key, as the operator's commands are.

    It is not logged. Raises ApiProblem, Rejected and Temporary, which `answer` would turn into replies.
    """
    matched = _router().find(request.path)
    return await _call_handler(
        service, request, read, matched.route_for(request.method), matched.params, caller=caller, own_tenant=None
    )


async def _call_handler(
    service: Service,
    request: Request,
    read: ReadBody,
    route: Route,
    params: Mapping[str, str],
    *,
    caller: access.Caller,
    own_tenant: Tenant | None,
) -> Reply:
    """Make the checks that follow the caller's, and call the handler.

    `own_tenant` is the tenant of a portal token, which was read with it; None for any other caller. Raises ApiProblem,
    Rejected and Temporary.
    """
    tenant_id = params.get("tenant")
    route.access.verify(caller, tenant_id)
    call = Call(service, request, caller, params)
    if own_tenant is not None:
        call.tenant_document = own_tenant
    elif tenant_id is not None and isinstance(caller, access.KeyCaller):
        call.tenant_document = await _read_tenant(service, tenant_id, may_be_missing=route.method == "PUT")
    if route.is_limited and isinstance(caller, access.PortalCaller) and service.request_rate is not None:
        await service.request_rate.verify(caller.tenant)
    await _receive_body(route, request, read)
    values = read_input(route, request)
    key = request.header(IDEMPOTENCY_KEY) if route.is_idempotent else None
    if key is None:
        return await _run(route, call, values)
    # Imported here, because few requests have such a key.
    from functions.subscribe.idempotency import answer_once

    return await answer_once(call, key, lambda: _run(route, call, values))


async def _read_tenant(service: Service, tenant_id: str, *, may_be_missing: bool) -> Tenant | None:
    """Return the tenant; None if it is missing and may be, as before a PUT creates it.

    Raises ApiProblem (`not_found`).
    """
    found = await service.directory.read(Tenant, TENANTS, tenant_id)
    if found is not None:
        return found[0]
    if may_be_missing:
        return None
    raise problems.not_found(f"tenant: {tenant_id}")


async def _run(route: Route, call: Call, values: BaseModel) -> Reply:
    """Call the handler, and write its result as a reply; 204 if it returns nothing."""
    result = await route.handler(call, values)  # type: ignore[arg-type] # the model that it names
    if result is None:
        return Reply(204, headers=(NO_STORE, *call.headers))
    text = jsontext.to_json(result.model_dump(by_alias=True))
    return Reply(route.success_status, text.encode("utf-8", "backslashreplace"), (_JSON, NO_STORE, *call.headers))


async def _receive_body(route: Route, request: Request, read: ReadBody) -> None:
    """Set the request's body. Raises Rejected if it is too large, or not plain JSON by its headers."""
    if not route.takes_body:
        return
    request.body = await read(route.max_body_bytes)
    if request.body and not _is_json(request.header("content-type") or ""):
        raise errors.Rejected(
            "unsupported_content_type", "the body must be JSON, with `Content-Type: application/json`"
        )
    if request.header("content-encoding") not in (None, "", "identity"):
        raise errors.Rejected("unsupported_encoding", "the body must not be compressed")


def read_input(route: Route, request: Request) -> BaseModel:
    """Return the body or the query as the route's model. Raises ApiProblem, and Rejected if the body is not JSON."""
    value = _body_value(request.body) if route.takes_body else _query_value(request.query)
    try:
        return route.takes.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        prefix = "/" if route.takes_body else "?"
        raise problems.invalid_values([_fault(detail, prefix) for detail in details[:MAX_FAULTS]]) from None


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _body_value(body: bytes) -> jsontext.Json:
    """Return the value of the body; an empty body is an empty object. Raises Rejected."""
    return json_body.parse(body, _JSON_FORMAT, LIMITS) if body.strip() else {}


def _query_value(query: str) -> dict[str, str]:
    """Return the fields of the query. Raises ApiProblem (`invalid_value`), also for a field that comes twice."""
    if len(query) > MAX_QUERY_CHARACTERS:
        raise problems.ApiProblem("invalid_value", f"the query must have at most {MAX_QUERY_CHARACTERS} characters")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError as error:
        raise problems.ApiProblem(
            "invalid_value", "the query must be percent-encoded UTF-8, with few fields"
        ) from error
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise problems.invalid_values([(f"?{repeated}"[:_MAX_PATH_CHARACTERS], "must be given once")])
    return values


def _fault(detail: "ErrorDetails", prefix: str) -> problems.FaultAt:
    """Return the place of the fault, as a JSON pointer or as `?name`, and the rule."""
    # pydantic adds `[key]` to the place of a key that is at fault. It is not part of the request.
    names = [str(name) for name in detail["loc"] if name != "[key]"]
    is_in_query = prefix == "?"
    parameter = f"?{names[0]}" if names else ""
    path = parameter if is_in_query else json_pointer.pointer("", *names)
    return path[:_MAX_PATH_CHARACTERS], fault_text(detail, shows_value=False)[:_MAX_RULE_CHARACTERS]
