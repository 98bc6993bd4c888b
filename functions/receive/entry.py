"""One request or message, received and logged, for every platform's entry point.

`answer` receives a request, and `take_message` a message of a queue. Each writes one line to the log: an accepted
request, an answered one, a dead letter, or a failure. The line of a failure has the names of the request's headers and,
if the cause can be guessed, a diagnosis. The sender sees neither.
"""

import time
from typing import TYPE_CHECKING, Final, TypeAlias

from functions.receive import facts, receive
from functions.receive.admission import source_name
from functions.receive.settings_hints import missing_fact_hint, settings_hint
from functions.receive.source import Source, source_of
from shared import errors, logs
from shared.event import Event
from shared.http import ReadBody, Reply, Request
from shared.jsontext import Json
from shared.outcomes import EventOutcome, RequestOutcome

if TYPE_CHECKING:
    from shared.push import Push

_DIAGNOSED: Final[frozenset[errors.ProblemCode]] = frozenset(
    {
        "unknown_source",
        "method_not_allowed",
        "address_not_allowed",
        "signature_mismatch",
        "timestamp_out_of_range",
        "password_mismatch",
    }
)
"""The codes of rejections whose cause is looked for."""
_NOT_DIAGNOSED: Final = (
    "The cause was not looked for, because many requests are rejected: `hookchain explain --source {}` prints it, given"
    " the request's body and headers"
)

MAX_LOGGED_HEADERS: Final = 40
"""The most headers whose names a log line has."""
MAX_LENGTH_DIGITS: Final = 7
"""The most digits of a logged content length, so those of bodies below 10 MB. A sender could write any number there."""

_Outcome: TypeAlias = receive.Accepted | receive.Answered | receive.DeadLettered


async def answer(receiver: receive.Receiver, head: Request, read_body: ReadBody) -> Reply:
    """Return the reply to a request, and log the outcome. Raises nothing.

    200 or as the source's settings say  the bus has confirmed the events
    204                                  a message that a bus pushed became a dead letter, which is confirmed
    4xx                                  the request was rejected
    503                                  the events are not confirmed: the sender must send the request again

    A request that makes no event, such as a handshake, has a reply of its own.
    """
    started = time.perf_counter()
    try:
        outcome = await receiver.receive(head, read_body)
        reply = _reply(outcome, head)
    except errors.HookchainError as error:
        source = _readable_source(receiver, head)
        # Logging a request takes as long as accepting one. If each request of a flood were logged, no time would be
        # left for other sources.
        is_logged = error.code != "queue_full" or receiver.queue_full_lines.take(receiver.clock.now())
        if is_logged:
            diagnosis = await _diagnosis(receiver, source, head, error)
            _log_failure(source, head, error, started, diagnosis)
        reply = receive.rejection_reply(error, source)
        return source.form.adapt_rejection(head, reply) if source and source.form else reply
    except Exception as error:  # a fault in this program: the sender keeps the event and sends it again
        fault = errors.fault_of(error)
        _log_failure(_readable_source(receiver, head), head, fault, started)
        return receive.rejection_reply(fault)
    _log_outcome(outcome, head, reply.status, started)
    return reply


def _reply(outcome: _Outcome, head: Request) -> Reply:
    match outcome:
        case receive.Accepted():
            return receive.accepted_reply(outcome, head)
        case receive.Answered():
            return outcome.reply
        case receive.DeadLettered():
            return Reply(204, headers=())


def _readable_source(receiver: receive.Receiver, head: Request) -> Source | None:
    """Return the request's source; None if it is unknown, or if the fault is that its settings cannot be read."""
    try:
        return receiver.sources.get(source_name(head.path))
    except Exception:  # this is the fault that `answer` logs
        return None


async def take_message(receiver: receive.Receiver, queue_arn: str, prefix: str, push: "Push") -> bool:
    """Take a message of a queue, and log the outcome. Return False if the queue must deliver it again. Raises nothing.

    `prefix` is the prefix of the deployment's own names. The log line has the method and the status of a request, as
    for a message that Pub/Sub pushes.
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
    _log_outcome(outcome, head, 200, started)
    return True


async def _diagnosis(
    receiver: receive.Receiver, source: Source | None, request: Request, error: errors.HookchainError
) -> str | None:
    """Return a sentence with the likely cause of a rejection, for the log only; None if none is known.

    If many requests are rejected, the sentence says instead how the operator finds the cause.
    """
    if error.code not in _DIAGNOSED:
        return None
    if not receiver.explanations.take(receiver.clock.now()):
        return _NOT_DIAGNOSED.format(source.name if source else "NAME")
    # Imported here, because it is needed only after a rejection.
    from functions.receive.diagnosis.diagnose import diagnose

    try:
        cause = await diagnose(error.code, request, source, receiver)
    except Exception as fault:  # whatever becomes of the diagnosis, the rejection stands
        cause = f"the diagnosis failed: {errors.place_of(fault)}"
    return f"Why: {cause}" if cause else None


def _log_outcome(outcome: _Outcome, head: Request, status: int, started: float) -> None:
    """Log what became of a request or message. `status` is that of the reply."""
    source = outcome.source.name
    match outcome:
        case receive.Accepted():
            _log_accepted(outcome, head, status, started)
        case receive.Answered(reason=reason):
            _log("INFO", "answered", started, method=head.method, status=status, source=source, reason=reason)
        case receive.DeadLettered(error=error):
            _log("WARNING", "dead_lettered", started, source=source, code=error.code, detail=error.detail)


def _log_accepted(accepted: receive.Accepted, head: Request, status: int, started: float) -> None:
    """Log an accepted request. The line of a batch has its first event and the number of events."""
    source, events = accepted
    first = events[0] if events else None
    _log(
        "INFO",
        "accepted",
        started,
        method=head.method,
        status=status,
        source=source.name,
        count=len(events) if len(events) != 1 else None,
        type=_loggable_type(first, source, head) if first else None,
        event_id=first.id if first else None,
        trace=first.trace_id if first else None,
        recovered=sum([each.recovered for each in events]) or None,
        detail=settings_hint(source, events) or missing_fact_hint(source, events, head),
    )


def _loggable_type(event: Event, source: Source, head: Request) -> str:
    """Return the event's type if it can be logged, otherwise `other`.

    A type from a header may have as many words as the source allows, such as GitLab's `Push Hook`. A type from the body
    could be any text, so it must be one word.
    """
    max_words = 1
    if source.type_words > 1 and " " in event.type:
        header_choices = [
            locations
            for locations in source.fact_locations.type
            if all(location.kind == "header" for location in locations)
        ]
        # Only the head is looked at, so this item has no data.
        if facts.fact(tuple(header_choices), facts.Item(head, data=None, body=None)) == event.type:
            max_words = source.type_words
    return logs.loggable_type(event.type, max_words)


def _log_failure(
    source: Source | None, head: Request, error: errors.HookchainError, started: float, diagnosis: str | None = None
) -> None:
    """Log a rejection, or a failure of ours (503).

    The line names only a configured source, as any other path may have a token in it.
    """
    is_rejected = isinstance(error, errors.Rejected)
    _log(
        "WARNING" if is_rejected else "ERROR",
        "rejected" if is_rejected else "unavailable",
        started,
        method=head.method,
        status=error.status if isinstance(error, errors.Rejected) else 503,
        source=source.name if source else None,
        code=error.code,
        detail=f"{error.detail}. {diagnosis}" if diagnosis else error.detail,
        bytes=_content_length(head),
        headers=_header_names(head) if head.headers else None,
    )


def _log(severity: str, outcome: RequestOutcome | EventOutcome, started: float, /, **fields: Json) -> None:
    """Write a log line, whose message is the outcome. `started` is a time of `time.perf_counter`."""
    logs.log(severity, outcome.replace("_", " "), started, function="receive", outcome=outcome, **fields)


def _content_length(head: Request) -> int | None:
    """Return the length of the body that the head announces; None if it announces none, or no number to be logged."""
    text = head.header("content-length") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_LENGTH_DIGITS else None


def _header_names(head: Request) -> str:
    """Return the names of the headers, without their values. A name that could be a secret is written as `other`."""
    names = [name if logs.is_loggable_name(name) else logs.OTHER_TYPE for name, _ in head.headers[:MAX_LOGGED_HEADERS]]
    return ", ".join(dict.fromkeys(names))
