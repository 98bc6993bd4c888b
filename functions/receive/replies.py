"""The outcomes of a request and the replies to it.

A rejection contains its code, and no reason if only the authenticated sender may know it.
"""

from typing import Final, NamedTuple

from functions.receive.admission import MethodRejected
from functions.receive.source import Source
from shared.errors import HookchainError, Rejected
from shared.event import Event
from shared.http import Reply, Request, json_reply, problem

RETRY_AFTER_SECONDS: Final = 5
_CLOSE: Final = ("connection", "close")


class Accepted(NamedTuple):
    """A request whose events the bus confirmed: one event, or one for each item of a batch, which may have none.

    `note` is for the log: what the operator may have expected otherwise.
    """

    source: Source
    events: tuple[Event, ...]
    note: str | None = None


class Answered(NamedTuple):
    """A request that was answered and makes no event, such as a handshake. `reason` is for the log."""

    source: Source
    reply: Reply
    reason: str


class DeadLettered(NamedTuple):
    """A message of a bus that can never be an event. The bus has confirmed its dead letter, so it is acknowledged."""

    source: Source
    error: Rejected


def accepted_reply(accepted: Accepted, request: Request) -> Reply:
    source = accepted.source
    if source.respond:
        reply = source.respond.reply(accepted.events)
    elif len(accepted.events) == 1:
        reply = Reply(200, b'{"id":"%b"}' % accepted.events[0].id.encode())  # hex digits
    else:
        reply = json_reply(200, {"ids": [event.id for event in accepted.events]})
    if request.method == "GET":
        reply = reply._replace(headers=(*reply.headers, ("cache-control", "no-store")))
    return source.form.reply(request, reply) if source.form else reply


def rejection_reply(error: HookchainError, source: Source | None = None) -> Reply:
    """Return the reply to a request that was rejected, or whose event could not be confirmed."""
    if not isinstance(error, Rejected):
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        return problem(503, "unavailable", "The event is not confirmed. Send it again later.", retry_after)
    if isinstance(error, MethodRejected):
        return problem(error.status, error.code, error.detail, ("allow", ", ".join(error.allowed)), _CLOSE)
    if error.status == 401:
        # If the source accepts no password, a browser that opened a link must not ask a person for one.
        asks_password = source is None or any(auth.scheme == "basic" for auth in source.auth)
        challenge = f'{"Basic" if asks_password else "Bearer"} realm="hookchain"'
        return problem(401, error.code, "The request is not authenticated.", ("www-authenticate", challenge), _CLOSE)
    return problem(error.status, error.code, error.detail, _CLOSE)
