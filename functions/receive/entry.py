"""One request, answered and logged: the function that every platform's entry point calls."""

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from functions.receive import admission, facts, receive
from functions.receive.source import Source, source_of
from shared import errors, logs, outcomes
from shared.event import NO_TYPE, Event
from shared.http import ReadBody, Reply, Request
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from shared.push import Push

DIAGNOSED: Final[frozenset[errors.ProblemCode]] = frozenset(
    {
        *("unknown_source", "signature_mismatch", "timestamp_out_of_range", "password_mismatch"),
        *("method_not_allowed", "address_not_allowed"),
    }
)
_NOT_DIAGNOSED: Final = (
    "The cause was not looked for, because many requests are rejected: `hookchain explain --source {}` prints it, given"
    " the request's body and headers"
)

MAX_LOGGED_HEADERS: Final = 40
"""The most headers whose names a log line has."""
MAX_LENGTH_DIGITS: Final = 7
"""The most digits of a logged content length. No source accepts a longer body, so more digits could mean anything."""

_USUAL_FIELDS: Final = frozenset({"body", "data", "event", "json", "message", "payload"})
"""Fields in which senders put JSON."""
_LIKE_JSON: Final = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"])")
"""The beginning of an object, or of a list of objects, lists or texts."""

_ACKNOWLEDGED: Final = Reply(204, headers=())


async def answer(receiver: receive.Receiver, head: Request, read_body: ReadBody) -> Reply:
    """Return the reply to a request: 200 once its events are confirmed, 4xx for a bad request, 503 for a later retry.

    Logs the outcome. Raises nothing.
    """
    started = time.perf_counter()
    try:
        outcome = await receiver.receive(head, read_body)
        if isinstance(outcome, receive.DeadLettered):
            _log_dead_letter(outcome, started)
            return _ACKNOWLEDGED
        reply = outcome.reply if isinstance(outcome, receive.Answered) else receive.accepted_reply(outcome, head)
    except errors.HookchainError as error:
        source = _readable_source(receiver, head)
        # Logging a request takes as long as accepting one. If each request of a flood were logged, no time would be
        # left for other sources.
        if error.code != "queue_full" or receiver.queue_full_lines.take(receiver.clock.now()):
            diagnosis = await _diagnosis(receiver, source, head, error)
            _log_failure(source, head, error, started, diagnosis)
        reply = receive.rejection_reply(error, source)
        return source.form.adapt_rejection(head, reply) if source and source.form else reply
    except Exception as error:  # a fault in this program: the sender keeps the event and sends it again
        fault = errors.fault_of(error)
        _log_failure(_readable_source(receiver, head), head, fault, started)
        return receive.rejection_reply(fault)
    _log_outcome(outcome, head, reply, started)
    return reply


def _readable_source(receiver: receive.Receiver, head: Request) -> Source | None:
    """Return the request's source; None if it is unknown, or if the fault is that its settings cannot be read."""
    try:
        return receiver.sources.get(admission.source_name(head.path))
    except Exception:  # this is the fault that `answer` logs
        return None


async def take_message(receiver: receive.Receiver, queue_arn: str, prefix: str, push: "Push") -> bool:
    """Take a message of a queue. Return False if the queue must deliver it again.

    The log line has the method and the status of a request, as for a message that Pub/Sub pushes.
    """
    # Imported here, because few sources are connected to a bus.
    from functions.receive import messages

    started = time.perf_counter()
    head = Request("POST", "/")
    source = None
    try:
        source = source_of(receiver.sources, queue_arn, prefix)
        outcome = await messages.take(receiver, source, push)
    except Exception as error:
        _log_failure(source, head, errors.fault_of(error), started)
        return False
    if isinstance(outcome, receive.DeadLettered):
        _log_dead_letter(outcome, started)
    else:
        _log_outcome(outcome, head, Reply(200), started)
    return True


async def _diagnosis(
    receiver: receive.Receiver, source: Source | None, request: Request, error: errors.HookchainError
) -> str | None:
    """Return a sentence with the likely cause, for the log only; None if none is known."""
    if error.code not in DIAGNOSED:
        return None
    if not receiver.explanations.take(receiver.clock.now()):
        return _NOT_DIAGNOSED.format(source.name if source else "NAME")
    # Needed only after a rejection.
    from functions.receive.diagnosis.diagnose import address_cause, diagnose, handshake_cause, path_cause

    try:
        if source is None or error.code == "unknown_source":
            cause = path_cause(request.path, receiver.sources)
        elif error.code == "method_not_allowed":
            cause = handshake_cause(request, source)
        elif error.code == "address_not_allowed":
            cause = address_cause(request, source)
        else:
            cause = await diagnose(request, source, receiver.sources, receiver.secrets, receiver.clock.now())
    except Exception as fault:  # whatever becomes of the diagnosis, the rejection stands
        cause = f"the diagnosis failed: {errors.place_of(fault)}"
    return f"Why: {cause}" if cause else None


def _log_outcome(outcome: receive.Accepted | receive.Answered, head: Request, reply: Reply, started: float) -> None:
    """Log a request that was accepted or answered. The line of a batch has its first event and the number of events."""
    source = outcome.source
    if isinstance(outcome, receive.Answered):
        fields: JsonObject = {"method": head.method, "status": reply.status, "source": source.name}
        _log("INFO", "answered", started, "answered", **fields, reason=outcome.reason)
        return
    event = outcome.events[0] if outcome.events else None
    type_words = _type_words(source, head, event) if event and " " in event.type else 1  # most types are one word
    _log(
        "INFO",
        "accepted",
        started,
        "accepted",
        method=head.method,
        status=reply.status,
        source=source.name,
        count=len(outcome.events) if len(outcome.events) != 1 else None,
        type=logs.loggable_type(event.type, type_words) if event else None,
        event_id=event.id if event else None,
        trace=event.trace_id if event else None,
        recovered=sum([each.recovered for each in outcome.events]) or None,
        detail=settings_hint(source, outcome.events),
    )


def settings_hint(source: Source, events: Sequence[Event]) -> str | None:
    """Return a hint that the source's settings seem to miss a batch or packed JSON; None if they fit."""
    if not events or events[0].item:  # a batch, as the settings say
        return None
    data = events[0].data
    if source.batch:
        rule = f"the body has no list at data.{'.'.join(source.batch)} (`batch`), so it is one event"
        return f"{rule}; it is itself a list, whose items are `batch: data.*`" if isinstance(data, list) else rule
    field = packed_field(data) if events[0].type == NO_TYPE else None
    if field is None:
        return None
    # A log line contains no part of a body, so any other name stays out of it.
    return packed_hint(field) if field in _USUAL_FIELDS else "no type was found, and a field holds JSON (`unpack`)"


def packed_field(data: Json) -> str | None:
    """Return the first field of the data that holds JSON as text; None if there is none."""
    fields = data.items() if isinstance(data, dict) else ()
    return next((name for name, text in fields if isinstance(text, str) and _LIKE_JSON.match(text)), None)


def packed_hint(field: str) -> str:
    return f"no type was found, and the field {field!r} holds JSON: set `unpack: data.{field}`"


def _log_dead_letter(outcome: receive.DeadLettered, started: float) -> None:
    fields: JsonObject = {"source": outcome.source.name, "code": outcome.error.code, "detail": outcome.error.detail}
    _log("WARNING", "dead lettered", started, "dead_lettered", **fields)


def _type_words(source: Source, head: Request, event: Event) -> int:
    """Return the number of words that a logged type may have: several only for one that comes from a header.

    Such a type is GitLab's `Push Hook`. A type in the body could be any text.
    """
    choices_in_headers = tuple(
        joined for joined in source.fact_locations.type if all(place.kind == "header" for place in joined)
    )
    type_in_headers = facts.fact(choices_in_headers, facts.Item(head, None, None))
    return source.type_words if type_in_headers == event.type else 1


def _log_failure(
    source: Source | None, head: Request, error: errors.HookchainError, started: float, diagnosis: str | None = None
) -> None:
    """Log a rejection, or a failure of ours (503).

    The line names only a configured source, as any other path may have a token in it.
    """
    is_rejected = isinstance(error, errors.Rejected)
    word: outcomes.RequestOutcome = "rejected" if is_rejected else "unavailable"
    _log(
        "WARNING" if is_rejected else "ERROR",
        word,
        started,
        word,
        method=head.method,
        status=error.status if isinstance(error, errors.Rejected) else 503,
        source=source.name if source else None,
        code=error.code,
        detail=f"{error.detail}. {diagnosis}" if diagnosis else error.detail,
        bytes=_content_length(head),
        headers=_header_names(head) if head.headers else None,
    )


def _log(
    severity: str,
    message: str,
    started: float,
    outcome: outcomes.RequestOutcome | outcomes.EventOutcome,
    /,
    **fields: Json,
) -> None:
    logs.log(severity, message, started, function="receive", outcome=outcome, **fields)


def _content_length(head: Request) -> int | None:
    text = head.header("content-length") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_LENGTH_DIGITS else None


def _header_names(head: Request) -> str:
    """Return the names of the headers, without their values. A name that could be a secret is written as `other`."""
    names = [name if logs.is_loggable_name(name) else logs.OTHER_TYPE for name, _ in head.headers[:MAX_LOGGED_HEADERS]]
    return ", ".join(dict.fromkeys(names))
