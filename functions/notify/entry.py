"""One request, answered and logged, for every platform's entry point. 204 acknowledges, 503 asks for a redelivery."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from functions.notify.dead_letters import keep_dead_letter
from functions.notify.notify import notify
from functions.notify.sweep import Sweeper
from functions.notify.work import Acknowledged, Notifier, Result
from shared.errors import HookchainError, Rejected, place_of
from shared.http import ReadBody, Reply, Request, json_reply, problem
from shared.journal import Journal
from shared.jsontext import Json
from shared.logs import log
from shared.outcomes import DeliveryOutcome, RequestOutcome
from shared.push import MAX_PUSH_BYTES, refuse_pages
from shared.push_identity import VerifyPush

ACKNOWLEDGED: Final = Reply(204, headers=())
AGAIN: Final = problem(503, "unavailable", "Not done. Send it again later.")
REJECTED: Final[RequestOutcome] = "rejected"
UNAVAILABLE: Final[RequestOutcome] = "unavailable"

_WARNINGS: Final[frozenset[DeliveryOutcome]] = frozenset({"dead_lettered", "held", "retry_scheduled", "unknown"})


@dataclass(frozen=True, slots=True)
class Service:
    """The parts behind the paths: deliveries at `/`, `/sweep`, and the keeper of `/dead-letters`."""

    notifier: Notifier
    sweeper: Sweeper
    journal: Journal | None
    verify_push: VerifyPush


async def answer(service: Callable[[], Service], head: Request, read_body: ReadBody) -> Reply:
    """Answer one request. `service` is called in here: a part that cannot be made is a part of ours that failed."""
    started = time.perf_counter()
    try:
        return await _serve(service(), head, read_body, started)
    except Rejected as error:
        # Neither Pub/Sub nor the scheduler sends this: the caller is misconfigured, and nothing was accepted.
        _log("ERROR", "rejected", started, outcome=REJECTED, code=error.code, detail=error.detail)
        return problem(error.status, error.code, error.detail)
    except HookchainError as error:
        _log("ERROR", "unavailable", started, outcome=UNAVAILABLE, code=error.code, detail=error.detail)
    except Exception as error:  # a defect of this code: the bus keeps the message and sends it again
        _log("ERROR", "unavailable", started, outcome=UNAVAILABLE, code="internal_error", detail=place_of(error))
    return AGAIN


async def _serve(service: Service, head: Request, read_body: ReadBody, started: float) -> Reply:
    refuse_pages(head)
    if head.method != "POST":
        raise Rejected("method_not_allowed", "a push is a POST")
    path = head.path.rstrip("/")
    if path not in ("", "/sweep", "/dead-letters"):
        raise Rejected("unknown_source", "notify serves /, /sweep and /dead-letters")
    await service.verify_push(head)
    if path == "/sweep":
        return await _sweep(service, started)
    body = await read_body(MAX_PUSH_BYTES)
    if path == "/dead-letters":
        return await _keep(service, body, started)
    result = await notify(body, service.notifier)
    _log_result(result, started)
    return ACKNOWLEDGED if isinstance(result, Acknowledged) else AGAIN


async def _sweep(service: Service, started: float) -> Reply:
    count = await service.sweeper.sweep()
    if count:
        _log("INFO", "swept", started, count=count)
    return json_reply(200, {"published": count})


async def _keep(service: Service, body: bytes, started: float) -> Reply:
    letter = await keep_dead_letter(body, service.journal, service.notifier.clock.now())
    named = {"event_id": letter.event_id, "route": letter.route, "destination": letter.destination}
    known: dict[str, Json] = {name: value for name, value in named.items() if value}
    _log("WARNING", "dead letter kept", started, code=letter.code, reason=letter.reason, topic=letter.topic, **known)
    return ACKNOWLEDGED


def _log_result(result: Result, started: float) -> None:
    delivery = result.delivery
    log(
        "WARNING" if result.outcome in _WARNINGS else "INFO",
        result.outcome.replace("_", " "),
        function="notify",
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
        outcome=result.outcome,
        code=result.code,
        reason=result.reason,
        attempt_number=result.attempt_number,
        delivery_id=delivery.id if delivery else None,
        event_id=delivery.event.id if delivery else None,
        route=delivery.route if delivery else None,
        destination=delivery.destination if delivery else None,
        trace=delivery.event.trace_id if delivery else None,
    )


def _log(severity: str, message: str, started: float, **fields: Json) -> None:
    duration_ms = round((time.perf_counter() - started) * 1000, 2)
    log(severity, message, function="notify", duration_ms=duration_ms, **fields)
