"""One request or message, answered and logged, for every platform's entry point.

Where the bus pushes over HTTP, `answer` acknowledges with 204 and asks for a redelivery with 503. Where the platform
hands over messages, it calls `take_delivery`, `take_dead_letter` and `sweep`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from functions.notify.dead_letters import keep_dead_letter, letter_of_body, letter_of_message
from functions.notify.notifier import Acknowledged, Notifier
from functions.notify.notify import notify
from functions.notify.waiting.sweep import Sweeper
from shared import errors, http, jsontext, logs, outcomes
from shared.delivery import Delivery
from shared.journal import DeadLetter, Journal
from shared.push import MAX_PUSH_BYTES, Push, VerifyPush, refuse_pages
from shared.subscribers.names import SEPARATOR

if TYPE_CHECKING:
    from functions.notify.alerts.publisher import AlertPublisher
    from functions.notify.waiting.levels import SweepLevels

ACKNOWLEDGED: Final = http.Reply(204, headers=())
AGAIN: Final = http.problem(503, "unavailable", "Not done. Send it again later.")
REJECTED: Final[outcomes.RequestOutcome] = "rejected"
UNAVAILABLE: Final[outcomes.RequestOutcome] = "unavailable"

_WARNINGS: Final[frozenset[outcomes.DeliveryOutcome]] = frozenset(
    {"dead_lettered", "held", "retry_scheduled", "unknown"}
)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts behind the paths: deliveries at `/`, `/sweep`, and the keeper of `/dead-letters`.

    `alerts`: None if nobody gets any. `levels`: None if no metrics are sent.
    """

    notifier: Notifier
    sweeper: Sweeper
    journal: Journal | None
    verify_push: VerifyPush
    alerts: "AlertPublisher | None" = None
    levels: "SweepLevels | None" = None


MakeService = Callable[[], Service]
"""Returns the service of this process, which it makes at the first call. It is called where a failure is answered and
logged: a part that cannot be made is a part of ours that failed."""


async def answer(make_service: MakeService, head: http.Request, read_body: http.ReadBody) -> http.Reply:
    """Answer a push: a delivery at `/`, a call of the scheduler at `/sweep`, a dead letter at `/dead-letters`.

    The reply is 204 if the bus may forget the message, 200 after a sweep, a 4xx for a caller that may not push, and 503
    in any other case: the push must be sent again.
    """
    started = time.perf_counter()
    try:
        service = make_service()
        refuse_pages(head)
        if head.method != "POST":
            raise errors.Rejected("method_not_allowed", "a push is a POST")
        path = head.path.rstrip("/")
        if path not in ("", "/sweep", "/dead-letters"):
            raise errors.Rejected("unknown_source", "notify serves /, /sweep and /dead-letters")
        await service.verify_push(head)
        if path == "/sweep":
            return http.json_reply({"published": await sweep(service, started)})
        body = await read_body(MAX_PUSH_BYTES)
        if path == "/dead-letters":
            await _keep(service, letter_of_body(body, service.notifier.clock.now()), started)
            return ACKNOWLEDGED
        return ACKNOWLEDGED if await _deliver(service, body, started) else AGAIN
    except errors.Rejected as error:
        # Neither Pub/Sub nor the scheduler sends this: the caller is misconfigured, and nothing was accepted.
        _log("ERROR", "rejected", started, outcome=REJECTED, code=error.code, detail=error.detail)
        return http.problem(error.status, error.code, error.detail)
    except Exception as error:
        log_unavailable(error, started)
        return AGAIN


async def take_delivery(make_service: MakeService, push: Push, started: float) -> bool:
    """Deliver what the message holds. Return False if the bus must bring it again.

    `started` is the time of `perf_counter` at which the message arrived.
    """
    try:
        return await _deliver(make_service(), push, started)
    except Exception as error:
        log_unavailable(error, started)
        return False


async def take_dead_letter(make_service: MakeService, push: Push, started: float, given_up: str | None = None) -> bool:
    """Keep a dead letter, or a message that the bus gave up on for the reason `given_up`. As `take_delivery`."""
    try:
        service = make_service()
        await _keep(service, letter_of_message(push, service.notifier.clock.now(), given_up), started)
    except Exception as error:
        log_unavailable(error, started)
        return False
    return True


async def sweep(service: Service, started: float) -> int:
    """Sweep the ledger once, and log and measure the backlogs. Return how many deliveries were published.

    Raises Temporary.
    """
    spans = service.notifier.spans
    work = service.sweeper.sweep()
    count = await (work if spans is None else spans.sweep(work))
    if count:
        _log("INFO", "swept", started, count=count)
    backlogs = service.sweeper.backlog()
    if service.levels is not None:
        await service.levels.note(backlogs)
    for destination, backlog in backlogs.items():
        oldest_seconds = round(backlog.oldest_seconds)
        _log("INFO", "backlog", started, destination=destination, count=backlog.due, oldest_seconds=oldest_seconds)
    return count


async def _keep(service: Service, letter: DeadLetter, started: float) -> None:
    """Store the dead letter, log it, and publish the alert about it. Raises Temporary."""
    await keep_dead_letter(letter, service.journal)
    _log(
        "WARNING",
        "dead letter kept",
        started,
        code=letter.code,
        reason=letter.reason,
        topic=letter.topic,
        event_id=letter.event_id or None,
        route=letter.route or None,
        destination=letter.destination or None,
    )
    if service.alerts is not None:
        # Where this fails, the bus brings the dead letter again: it is kept, and keeping it again changes nothing.
        await service.alerts.publish_for(letter)


async def _deliver(service: Service, pushed: bytes | Push, started: float) -> bool:
    """Deliver what the message holds, and log the result. Return False if the bus must bring it again.

    Raises Temporary.
    """
    result = await notify(pushed, service.notifier)
    logs.log(
        "WARNING" if result.outcome in _WARNINGS else "INFO",
        result.outcome.replace("_", " "),
        started,
        function="notify",
        outcome=result.outcome,
        code=result.code,
        reason=result.reason,
        attempt_number=result.attempt_number,
        attempt_ms=None if result.attempt_seconds is None else round(result.attempt_seconds * 1000, 2),
        **(_delivery_fields(result.delivery) if result.delivery else {}),
    )
    return isinstance(result, Acknowledged)


def _delivery_fields(delivery: Delivery) -> jsontext.JsonObject:
    # An endpoint's name is destination:tenant:endpoint. A log has the destination apart, to filter by it.
    destination, _, endpoint = delivery.destination.partition(SEPARATOR)
    return {
        "delivery_id": delivery.id,
        "event_id": delivery.event.id,
        "route": delivery.route,
        "destination": destination or None,
        "endpoint": endpoint or None,
        "trace": delivery.event.trace_id,
    }


def log_unavailable(error: Exception, started: float) -> None:
    """Log what failed: a part of ours, or this code. The bus keeps the message and sends it again."""
    fault = errors.fault_of(error)
    _log("ERROR", "unavailable", started, outcome=UNAVAILABLE, code=fault.code, detail=fault.detail)


def _log(severity: str, message: str, started: float, **fields: jsontext.Json) -> None:
    logs.log(severity, message, started, function="notify", **fields)
