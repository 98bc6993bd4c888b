"""Posting the test event as its source asks: the way, the secret, the URL."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from deploy.commands.operator_command import CannotTell
from deploy.commands.send_source import auth_of, with_token
from deploy.commands.smoke_event import TestEvent
from deploy.commands.source_example import can_sign
from deploy.local.supervisor.sources import ways_of
from deploy.sending.send import Outcome, send
from shared.jsontext import Json, JsonObject

SEND_SECONDS = 15.0
_PASSWORDS = frozenset({"basic", "header", "bearer"})
_TOKENS = frozenset({"path", "query"})


@dataclass(frozen=True, slots=True)
class Posting:
    """`way` is the source's; `secret_of` answers a secret's newest value."""

    url: str
    source: str
    way: JsonObject
    secret_of: Callable[[str], str]


def usable_way(source: Json) -> JsonObject | None:
    """The first of the source's ways that can be gone here."""
    return next((way for way in ways_of(source) if _is_usable(way)), None)


def _is_usable(way: JsonObject) -> bool:
    return way["scheme"] in {"none", *_PASSWORDS, *_TOKENS} or can_sign(way)


def post(posting: Posting, event: TestEvent, mark: str) -> Outcome:
    """Raises CannotTell for what could not even be sent."""
    way, url = posting.way, posting.url
    secret = None if way["scheme"] == "none" else posting.secret_of(str(way["secret"]))
    if way["scheme"] in _TOKENS and secret is not None:
        url = with_token(url, posting.source, way, secret)
    if event.query:
        url += ("&" if "?" in url else "?") + urlencode(event.query)
    is_in_request = way["scheme"] not in {"none", *_TOKENS}
    try:
        return send(
            url,
            event.data,
            secret=secret if is_in_request else None,
            auth=auth_of(way) if is_in_request else None,
            format=event.form,
            headers={"User-Agent": "hookchain-smoke", **event.headers},
            delivery_id=mark,
            timeout_seconds=SEND_SECONDS,
        )
    except ValueError as error:
        raise CannotTell(str(error)) from error
