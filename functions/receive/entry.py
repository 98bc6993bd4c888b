"""One request, answered and logged: what every platform's entry point calls."""

import time

from functions.receive.admission import source_name
from functions.receive.receive import Accepted, Receiver
from functions.receive.replies import accepted_reply, refusal_reply
from shared.errors import HookchainError, Rejected, Temporary, place_of
from shared.event import attribute_text
from shared.http import ReadBody, Reply, Request
from shared.logs import log


async def answer(receiver: Receiver, head: Request, read_body: ReadBody) -> Reply:
    started = time.perf_counter()
    try:
        accepted = await receiver.receive(head, read_body)
    except HookchainError as error:
        _log_refusal(head, error, started)
        return refusal_reply(error)
    except Exception as error:  # a fault of ours: the sender keeps the event and sends it again
        refusal = Temporary("fault", place_of(error))
        _log_refusal(head, refusal, started)
        return refusal_reply(refusal)
    _log_accepted(head, accepted, started)
    return accepted_reply(accepted)


def _log_accepted(head: Request, accepted: Accepted, started: float) -> None:
    event = accepted.event
    log(
        "INFO",
        "accepted",
        function="receive",
        method=head.method,
        status=200,
        source=event.source_name,
        type=event.type,
        event_id=event.id,
        traceparent=event.traceparent,
        duration_ms=_milliseconds(started),
    )


def _log_refusal(head: Request, error: HookchainError, started: float) -> None:
    refused = isinstance(error, Rejected)
    log(
        "WARNING" if refused else "ERROR",
        "refused" if refused else "not confirmed",
        function="receive",
        method=head.method,
        status=error.status if isinstance(error, Rejected) else 503,
        source=attribute_text(source_name(head.path))[:64],
        code=error.code,
        detail=error.detail,
        duration_ms=_milliseconds(started),
    )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
