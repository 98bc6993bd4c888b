"""One request, answered and logged. The entry point of every platform calls `answer`.

A push is acknowledged with 204. A 503 asks the bus to send it again. `/chains/<name>` converts a document.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from functions.transform.answer_chain import CHAINS_PATH, answer_chain
from functions.transform.chain import NamedChains
from functions.transform.step import Services
from functions.transform.transform import Transformed, Transformer
from shared.errors import Permanent, Rejected, Temporary, place_of
from shared.http import ReadBody, Reply, Request, problem
from shared.jsontext import Json
from shared.logs import log, loggable_type
from shared.push import MAX_PUSH_BYTES, Push, parse_push, refuse_pages
from shared.push_identity import VerifyPush

_DUPLICATE: Final = (
    "an event with the same signed bytes came first; if the sender repeats bodies on purpose, set `dedupe: delivery_id`"
)
ACKNOWLEDGED: Final = Reply(204, headers=())


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that requests need. Callers that the platform lets in may call `/chains/`; only the bus may push.

    services    None if no step asks
    type_words  for each configured source, how many words of its events' types a log may hold
    """

    transformer: Transformer
    chains: NamedChains
    services: Services | None
    verify_push: VerifyPush
    type_words: Mapping[str, int] = field(default_factory=dict)


async def answer(service: Service, head: Request, read_body: ReadBody) -> Reply:
    started = time.perf_counter()
    try:
        refuse_pages(head)
        if head.path.startswith(CHAINS_PATH):
            return await _answer_chain(service, head, read_body, started)
        transformed = await service.transformer.take(await _read_push(service, head, read_body))
        _log_transformed(transformed, service.type_words, started)
    except Rejected as error:  # not from the bus: the caller is set up wrongly, and nothing was taken
        _log("ERROR", "not a push", started, code=error.code, detail=error.detail)
        return problem(error.status, error.code, error.detail)
    except Permanent as error:
        _log("WARNING", "dead letter", started, code=error.code, reason=error.detail)
    except Temporary as error:
        return _unavailable(error, started)
    except Exception as error:  # a defect of this code: the bus keeps the event and sends it again
        return _unavailable(Temporary("internal_error", place_of(error)), started)
    return ACKNOWLEDGED


async def _answer_chain(service: Service, head: Request, read_body: ReadBody, started: float) -> Reply:
    now = service.transformer.clock.now()
    reply, fields = await answer_chain(service.chains, service.services, head, read_body, now)
    _log("INFO" if reply.status < 400 else "WARNING", "chain", started, status=reply.status, **fields)
    return reply


async def _read_push(service: Service, head: Request, read_body: ReadBody) -> Push:
    """Raises Rejected for a request that is no push."""
    if head.method != "POST":
        raise Rejected("method_not_allowed", "a push is a POST")
    await service.verify_push(head)
    try:
        return parse_push(await read_body(MAX_PUSH_BYTES))
    except Permanent as error:
        raise Rejected("malformed_body", error.detail) from error


def _unavailable(error: Temporary, started: float) -> Reply:
    _log("ERROR", "not done, to come again", started, code=error.code, detail=error.detail)
    return problem(503, "unavailable", "Not done. Send it again later.")


def _log_transformed(transformed: Transformed, type_words: Mapping[str, int], started: float) -> None:
    event, decision = transformed.event, transformed.decision
    source = event.source_name if event.source_name in type_words else None
    event_type = loggable_type(event.type, type_words.get(event.source_name, 1))
    names: dict[str, Json] = {"event_id": event.id, "source": source, "type": event_type}
    if transformed.duplicate_of is not None:
        reason: dict[str, Json] = {"outcome": "duplicate", "reason": "same_signed_bytes", "detail": _DUPLICATE}
        _log("WARNING", "transformed", started, **reason, **names)
        return
    for failed in decision.failed:
        _log("WARNING", "dead letter", started, route=failed.route, code=failed.code, reason=failed.reason, **names)
    count = sum(len(owed.destinations) for owed in decision.owed)
    names = {**names, "reason": decision.reason or None, "trace": event.trace_id}
    _log("INFO", "transformed", started, outcome=decision.outcome, count=count, **names)


def _log(severity: str, message: str, started: float, **fields: Json) -> None:
    duration_ms = round((time.perf_counter() - started) * 1000, 2)
    log(severity, message, function="transform", duration_ms=duration_ms, **fields)
