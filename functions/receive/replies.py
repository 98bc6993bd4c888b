"""What a sender is told. A refusal says its code and, of what only the rightful sender may know, nothing."""

from dataclasses import replace

from functions.receive.admission import MethodRefused
from functions.receive.outcomes import Accepted
from functions.receive.sources import Source
from shared.errors import HookchainError, Rejected
from shared.http import Reply, Request, json_reply, problem
from shared.jsontext import Json

RETRY_AFTER_SECONDS = 5
_CLOSE = ("connection", "close")


def accepted_reply(accepted: Accepted, request: Request) -> Reply:
    source = accepted.source
    reply = source.respond.reply(accepted.events) if source.respond else _usual_reply(accepted)
    if request.method == "GET":
        reply = replace(reply, headers=(*reply.headers, ("cache-control", "no-store")))
    return source.form.reply(request, reply) if source.form else reply


def _usual_reply(accepted: Accepted) -> Reply:
    ids: list[Json] = [event.id for event in accepted.events]
    return json_reply(200, {"id": ids[0]} if len(ids) == 1 else {"ids": ids})


def refusal_reply(error: HookchainError, source: Source | None = None) -> Reply:
    if not isinstance(error, Rejected):
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        return problem(503, "unavailable", "The event is not confirmed. Send it again later.", retry_after)
    if isinstance(error, MethodRefused):
        return problem(error.status, error.code, error.detail, ("allow", ", ".join(error.allowed)), _CLOSE)
    if error.status == 401:
        return problem(401, error.code, "The request is not authenticated.", _challenge(source), _CLOSE)
    return problem(error.status, error.code, error.detail, _CLOSE)


def _challenge(source: Source | None) -> tuple[str, str]:
    """Where no password is taken, a browser that opened a link is not to ask a person for one."""
    asks_password = source is None or any(way.scheme == "basic" for way in source.auth)
    return "www-authenticate", f'{"Basic" if asks_password else "Bearer"} realm="hookchain"'
