"""One request or message, answered and logged, for every platform's entry point.

Where the bus pushes over HTTP, `answer` acknowledges a push with 204, and a 503 asks the bus to send it again. Where
the platform hands over messages, it calls `take_event`. `/chains/<name>` converts a document.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from functions.transform import chain, step, transform
from shared import errors, logs, outcomes
from shared.http import ReadBody, Reply, Request, problem
from shared.jsontext import Json
from shared.push import MAX_PUSH_BYTES, Push, VerifyPush, parse_push, refuse_pages

_DUPLICATE: Final = (
    "an event with the same signed bytes came first; if the sender repeats bodies on purpose, set `dedupe: delivery_id`"
)
_Outcome: TypeAlias = outcomes.RequestOutcome | outcomes.EventOutcome | outcomes.RouteOutcome
ACKNOWLEDGED: Final = Reply(204, headers=())
AGAIN: Final = problem(503, "unavailable", "Not done. Send it again later.")


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that requests need. Callers that the platform lets in may call `/chains/`; only the bus may push.

    services    the services of steps that ask other systems; None if no step does
    type_words  for each configured source, the most words that a log may show of its events' types
    """

    transformer: transform.Transformer
    chains: chain.NamedChains
    services: step.Services | None
    verify_push: VerifyPush
    type_words: Mapping[str, int] = field(default_factory=dict)


async def answer(service: Service, head: Request, read_body: ReadBody) -> Reply:
    started = time.perf_counter()
    try:
        refuse_pages(head)
        if head.path.startswith(chain.CHAINS_PATH):
            return await _answer_chain(service, head, read_body, started)
        if head.method != "POST":
            raise errors.Rejected("method_not_allowed", "a push is a POST")
        await service.verify_push(head)
        push = parse_push(await read_body(MAX_PUSH_BYTES))
    except errors.Rejected as error:
        return _reject(error, started)
    except errors.Permanent as error:
        return _reject(errors.Rejected("malformed_body", error.detail), started)
    except Exception as error:
        _log_unavailable(error, started)
        return AGAIN
    return ACKNOWLEDGED if await take_event(service, push, started) else AGAIN


async def take_event(service: Service, push: Push, started: float) -> bool:
    """Transform the event in the message. Return False if the bus must bring it again.

    `started` is the time of `perf_counter` at which the message arrived.
    """
    spans = service.transformer.spans
    if spans is not None:
        spans.begin(push)
    transformed, fault = await _transform(service, push, started)
    if spans is not None:
        decision = None if transformed is None else transformed.decision
        is_duplicate = transformed is not None and transformed.duplicate_of is not None
        spans.end(decision, is_duplicate=is_duplicate, error=fault)
    is_acknowledged = fault is None or isinstance(fault, errors.Permanent)
    if service.services is not None and service.services.hosts is not None:
        # The bus gives more or fewer messages at once after each answer, and the gate has a place for each.
        service.services.hosts.gate.note_answer(is_acknowledged=is_acknowledged)
    return is_acknowledged


async def _transform(
    service: Service, push: Push, started: float
) -> tuple[transform.Transformed | None, Exception | None]:
    """Transform the event and log the outcome. Return the event and the fault, one of which is None.

    After a Permanent, the whole event is a dead letter, which the bus has confirmed. After any other fault, the bus
    must bring it again.
    """
    try:
        transformed = await service.transformer.take(push)
        _log_transformed(transformed, service.type_words, started)
    except errors.Permanent as error:
        _log("WARNING", "dead lettered", started, "dead_lettered", code=error.code, reason=error.detail)
        return None, error
    except Exception as error:
        _log_unavailable(error, started)
        return None, error
    return transformed, None


async def _answer_chain(service: Service, head: Request, read_body: ReadBody, started: float) -> Reply:
    # Imported here, because it imports the formats of documents, which few deployments use.
    from functions.transform.answer_chain import answer_chain

    now = service.transformer.clock.now()
    reply, log_fields = await answer_chain(service.chains, service.services, head, read_body, now)
    _log("INFO" if reply.status < 400 else "WARNING", "chain", started, status=reply.status, **log_fields)
    return reply


def _reject(error: errors.Rejected, started: float) -> Reply:
    """Reject what does not come from the bus: the caller is misconfigured, and nothing was accepted."""
    _log("ERROR", "rejected", started, "rejected", code=error.code, detail=error.detail)
    return problem(error.status, error.code, error.detail)


def _log_unavailable(error: Exception, started: float) -> None:
    """Log what failed: a part of ours, or this code. The bus keeps the event and sends it again."""
    fault = errors.fault_of(error)
    _log("ERROR", "unavailable", started, "unavailable", code=fault.code, detail=fault.detail)


def _log_transformed(transformed: transform.Transformed, type_words: Mapping[str, int], started: float) -> None:
    event, decision = transformed.event, transformed.decision
    words = type_words.get(event.source_name)
    source = None if words is None else event.source_name
    event_type = logs.loggable_type(event.type, words or 1)
    names: dict[str, Json] = {"event_id": event.id, "source": source, "type": event_type}
    if event.recovered:
        names["recovered"] = 1
    if transformed.duplicate_of is not None:
        _log("WARNING", "transformed", started, "duplicate", reason="same_signed_bytes", detail=_DUPLICATE, **names)
        return
    for failed in decision.failed:
        fields: dict[str, Json] = {"route": failed.route, "code": failed.code, "reason": failed.reason}
        _log("WARNING", "dead lettered", started, "dead_lettered", **fields, **names)
    for route, waiting in decision.waiting:
        fields = {"route": route, "code": waiting.code, "reason": waiting.detail}
        _log("WARNING", "waiting", started, "waiting", **fields, **names)
    _log(
        "INFO",
        "transformed",
        started,
        decision.outcome,
        count=sum([len(owed.destinations) for owed in decision.owed]),
        reason=decision.reason or None,
        trace=event.trace_id,
        **names,
    )


def _log(severity: str, message: str, started: float, outcome: _Outcome | None = None, /, **fields: Json) -> None:
    logs.log(severity, message, started, function="transform", outcome=outcome, **fields)
