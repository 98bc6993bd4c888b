"""One request, answered and logged: the function that every platform's entry point calls."""

import time
from typing import Final

from functions.subscribe.api import MethodRejected, answer_api
from functions.subscribe.pages import answer_page
from functions.subscribe.problems import ApiProblem, problem_reply
from functions.subscribe.route import Route
from functions.subscribe.service import Service
from shared.errors import HookchainError, Rejected, Temporary, place_of
from shared.http import MAX_HEADER_BYTES, Headers, ReadBody, Reply, Request
from shared.jsontext import Json
from shared.logs import log
from shared.outcomes import RequestOutcome

RETRY_AFTER_SECONDS: Final = 5
NOSNIFF: Final = ("x-content-type-options", "nosniff")
_ANSWERED: Final[RequestOutcome] = "answered"
_REJECTED: Final[RequestOutcome] = "rejected"
_AGAIN: Final = "It may be done or not. Send it again later."
_UNAVAILABLE: Final[RequestOutcome] = "unavailable"


async def answer(service: Service, head: Request, read_body: ReadBody) -> Reply:
    """Answer a request: 2xx once it is done, 4xx for one that is at fault, 503 where the caller must try again."""
    started = time.perf_counter()
    routes: list[Route] = []
    try:
        if sum([len(name) + len(value) for name, value in head.headers]) > MAX_HEADER_BYTES:
            raise Rejected("headers_too_large", f"the headers have more than {MAX_HEADER_BYTES} bytes")
        reply = await answer_page(service, head)
        if reply is None:
            reply = await answer_api(service, head, read_body, routes.append)
    except ApiProblem as error:
        reply = problem_reply(error.status, error.code, error.detail, error.errors, _headers_of(error))
        _log("WARNING", _REJECTED, head, routes, reply, started, error.code, _loggable(error))
    except Rejected as error:
        allowed: Headers = (("allow", error.allowed),) if isinstance(error, MethodRejected) else ()
        reply = problem_reply(error.status, error.code, error.detail, headers=(*allowed, ("connection", "close")))
        _log("WARNING", _REJECTED, head, routes, reply, started, error.code, error.detail)
    except Exception as error:
        fault = error if isinstance(error, HookchainError) else Temporary("internal_error", place_of(error))
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        reply = problem_reply(503, "unavailable", _AGAIN, headers=(retry_after,))
        _log("ERROR", _UNAVAILABLE, head, routes, reply, started, fault.code, fault.detail)
    else:
        _log("INFO", _ANSWERED, head, routes, reply, started)
    return reply._replace(headers=(*reply.headers, NOSNIFF))


def _headers_of(error: ApiProblem) -> Headers:
    if error.code == "not_authenticated":
        return (("www-authenticate", 'Bearer realm="hookchain"'),)
    return (("retry-after", str(error.retry_after_seconds)),) if error.retry_after_seconds else ()


def _loggable(error: ApiProblem) -> str | None:
    """Return the detail, but for a value that is at fault: its path may be what a caller wrote."""
    return None if error.errors else error.detail


def _log(
    severity: str,
    outcome: RequestOutcome,
    head: Request,
    routes: list[Route],
    reply: Reply,
    started: float,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    """Write the line. The route is its pattern: a path may hold anything."""
    fields: dict[str, Json] = {"route": routes[0].path if routes else None, "code": code, "detail": detail}
    log(
        severity,
        outcome,
        started,
        function="subscribe",
        outcome=outcome,
        method=head.method if head.method.isalpha() and len(head.method) < 10 else "other",
        status=reply.status,
        **fields,
    )
