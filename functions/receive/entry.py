"""One request, answered and logged: what every platform's entry point calls."""

import time
from dataclasses import replace
from typing import Final

from functions.receive.admission import source_name
from functions.receive.locations import Seen, text_of
from functions.receive.outcomes import Accepted, Answered
from functions.receive.receive import Receiver
from functions.receive.replies import accepted_reply, refusal_reply
from functions.receive.sources import Source
from shared.errors import HookchainError, Rejected, Temporary, place_of
from shared.event import Event
from shared.http import ReadBody, Reply, Request
from shared.logs import log, loggable_type

DIAGNOSED: Final = frozenset({"sig", "ts", "password"})


async def answer(receiver: Receiver, head: Request, read_body: ReadBody) -> Reply:
    started = time.perf_counter()
    body = b""

    async def kept(max_bytes: int) -> bytes:
        nonlocal body
        body = await read_body(max_bytes)
        return body

    try:
        outcome = await receiver.receive(head, kept)
        reply = outcome.reply if isinstance(outcome, Answered) else accepted_reply(outcome, head)
    except HookchainError as error:
        _log_refusal(receiver, head, error, started, await _why(receiver, replace(head, body=body), error))
        return _refused(receiver, head, error)
    except Exception as error:  # a fault of ours: the sender keeps the event and sends it again
        refusal = Temporary("fault", place_of(error))
        _log_refusal(receiver, head, refusal, started)
        return refusal_reply(refusal)
    if isinstance(outcome, Answered):
        _log_answered(head, outcome, started)
    else:
        _log_accepted(head, outcome, reply, started)
    return reply


async def _why(receiver: Receiver, request: Request, error: HookchainError) -> str | None:
    """What the operator is told besides, and the sender never is; not of every refusal where many come."""
    source = receiver.sources.get(source_name(request.path))
    if error.code not in DIAGNOSED or source is None or not receiver.diagnoses.take(receiver.clock.now()):
        return None
    from functions.receive.diagnosis.refusal import Refusal, why_it_was  # once something is refused

    try:
        return await why_it_was(Refusal(request, source, receiver.sources), receiver.secrets, receiver.clock.now())
    except Exception as fault:  # whatever becomes of the diagnosis, the refusal stands
        return f"cannot be told: {place_of(fault)}"


def _refused(receiver: Receiver, head: Request, error: HookchainError) -> Reply:
    """A script of a form's own page may read why its form was refused."""
    source = receiver.sources.get(source_name(head.path))
    reply = refusal_reply(error, source)
    return source.form.refusal(head, reply) if source and source.form else reply


def _log_accepted(head: Request, accepted: Accepted, reply: Reply, started: float) -> None:
    """A batch's line tells of its first event, and how many there are."""
    event = accepted.events[0] if accepted.events else None
    log(
        "INFO",
        "accepted",
        function="receive",
        method=head.method,
        status=reply.status,
        source=accepted.source.name,
        type=_logged_type(accepted.source, head, event) if event else None,
        event_id=event.id if event else None,
        count=None if len(accepted.events) == 1 else len(accepted.events),
        trace=event.trace_id if event else None,
        duration_ms=_milliseconds(started),
    )


def _logged_type(source: Source, head: Request, event: Event) -> str:
    """A provider's type may have several words where it comes from a header, as GitLab's `Push Hook`."""
    words = source.type_words
    if words > 1 and " " in event.type:
        headers = tuple(choice for choice in source.type if all(location.place == "header" for location in choice))
        words = words if text_of(headers, Seen(head, None, None)) == event.type else 1
    return loggable_type(event.type, words)


def _log_answered(head: Request, answered: Answered, started: float) -> None:
    log(
        "INFO",
        "answered",
        function="receive",
        method=head.method,
        status=answered.reply.status,
        source=answered.source.name,
        reason=answered.reason,
        duration_ms=_milliseconds(started),
    )


def _log_refusal(
    receiver: Receiver, head: Request, error: HookchainError, started: float, why: str | None = None
) -> None:
    """Only a configured source is named: a path that names none may hold a token or anything else."""
    refused = isinstance(error, Rejected)
    source = receiver.sources.get(source_name(head.path))
    log(
        "WARNING" if refused else "ERROR",
        "refused" if refused else "not confirmed",
        function="receive",
        method=head.method,
        status=error.status if isinstance(error, Rejected) else 503,
        source=source.name if source else None,
        code=error.code,
        detail=f"{error.detail}. Why: {why}" if why else error.detail,
        duration_ms=_milliseconds(started),
    )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
