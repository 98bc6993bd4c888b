"""What a sender is told. A refusal says its code and, of what only the rightful sender may know, nothing."""

from functions.receive.admission import MethodRefused
from functions.receive.receive import Accepted
from shared.errors import HookchainError, Rejected
from shared.http import Reply, json_reply, problem

RETRY_AFTER_SECONDS = 5
_CLOSE = ("connection", "close")


def accepted_reply(accepted: Accepted) -> Reply:
    return json_reply(200, {"id": accepted.event.id})


def refusal_reply(error: HookchainError) -> Reply:
    if not isinstance(error, Rejected):
        retry_after = ("retry-after", str(RETRY_AFTER_SECONDS))
        return problem(503, "unavailable", "The event is not confirmed. Send it again later.", retry_after)
    if isinstance(error, MethodRefused):
        return problem(error.status, error.code, error.detail, ("allow", ", ".join(error.allowed)), _CLOSE)
    if error.status == 401:
        challenge = ("www-authenticate", 'Basic realm="hookchain"')
        return problem(401, error.code, "The request is not authenticated.", challenge, _CLOSE)
    return problem(error.status, error.code, error.detail, _CLOSE)
