"""What came of sending an event, in words for people and in a code for programs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.requests.wire import Answer, NoAnswer
from shared.event import attribute_text
from shared.jsontext import Json

_REFUSALS: Final[Mapping[str, str]] = {
    "sig": "the signature does not match",
    "ts": "the signature's time is too far from the receiver's clock",
    "id": "the delivery id is not one that it takes",
    "password": "the password or token is missing or wrong",
    "address": "it takes nothing from this address",
    "unknown_source": "there is no source of that name",
    "method": "the source does not take this method",
    "slow": "the body took too long to arrive",
    "raw": "the body is too large",
    "decoded": "the body is too large",
    "content_type": "the source does not take this format",
    "schema": "the event breaks the source's schema",
}
_STATUSES: Final[Mapping[int, str]] = {
    401: "the password or signature is missing or wrong",
    403: "it is not allowed",
    404: "there is nothing at that path",
    405: "it does not take this method",
    413: "the body is too large",
    415: "it does not take this format",
    429: "too many requests; send it again later",
}
_UNKNOWN: Final = "it may or may not have arrived"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt.

    ok         the receiver confirmed it: a 2xx
    status     the HTTP status; None where there was no answer
    words      what happened, for people; never a secret, never a part of what was sent
    event_id   what a Hookchain calls the event, where it said so
    code       None where ok; else the receiver's own code (`sig`, `unavailable` …), `http` where it gave none, or:
               `unreachable`, `untrusted` (not sent), `timeout`, `cut`, `not_http` (it may have arrived)
    """

    ok: bool
    status: int | None
    words: str
    event_id: str | None = None
    code: str | None = None


def outcome_of(answer: Answer | NoAnswer, timeout_seconds: float) -> Outcome:
    if isinstance(answer, NoAnswer):
        return Outcome(False, None, _words_without_answer(answer, timeout_seconds), code=answer.code)
    fields = _fields(answer.body)
    if 200 <= answer.status < 300:
        event_id = fields.get("id") or None
        words = f"accepted as event {event_id}" if event_id else f"accepted ({answer.status})"
        return Outcome(True, answer.status, words, event_id)
    code = fields.get("code") or None
    return Outcome(False, answer.status, _refusal(answer.status, code, fields.get("title")), code=code or "http")


def _words_without_answer(failure: NoAnswer, timeout_seconds: float) -> str:
    match failure.code:
        case "untrusted":
            return f"not sent: the receiver's certificate is not trusted: {failure.reason}"
        case "unreachable":
            return f"not sent: no connection: {failure.reason}"
        case "timeout":
            return f"no answer within {timeout_seconds:g} s: {_UNKNOWN}"
        case "not_http":
            return f"the answer is not HTTP: {_UNKNOWN}"
        case _:
            return f"the connection broke off before an answer: {_UNKNOWN}"


def _refusal(status: int, code: str | None, title: str | None) -> str:
    shown = f"({status} {code})" if code else f"({status})"
    if status >= 500:
        return f"not confirmed: {_UNKNOWN}; send it again later {shown}"
    if 300 <= status < 400:
        return f"refused: the receiver points to another URL; send to that one {shown}"
    reason = _REFUSALS.get(code or "") or (title if code else None) or _STATUSES.get(status) or "it gives no reason"
    return f"refused: {reason.removesuffix('.')} {shown}"


def _fields(body: bytes) -> dict[str, str]:
    """The texts at the top of a JSON answer, cut to what is fit to be shown."""
    try:
        document: Json = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    fields = document if isinstance(document, dict) else {}
    return {name: attribute_text(value) for name, value in fields.items() if isinstance(value, str)}
