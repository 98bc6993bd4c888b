"""Stripe's events that it could not deliver: https://docs.stripe.com/webhooks/process-undelivered-events

The list has the events that are still pending, too, and those that failed at another endpoint of the account.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from functions.notify.recovery.kind import Ask, Found, Missed, RecoveryKind, Window
from shared.fetch import Fetched
from shared.jsontext import from_json, list_at, to_json, value_at
from shared.recovered import RecoveredRequest
from shared.times import rfc3339, unix_seconds

_HEADERS: Final = (("content-type", "application/json; charset=utf-8"),)


def first(window: Window) -> Iterator[Ask]:
    created = f"created[gte]={int(window.since)}&created[lte]={int(window.until)}"
    path = f"/v1/events?limit=100&delivery_success=false&{created}"
    yield Ask(path, "events", {"path": path})


def read(ask: Ask, answer: Fetched, window: Window) -> Iterator[Found]:
    document = from_json(answer.body)
    id = ""
    for each in list_at(document, "data"):
        id, event_type = _text(value_at(each, "id")), _text(value_at(each, "type"))
        created = value_at(each, "created")
        if not isinstance(created, int):
            raise TypeError("an event without a time")
        if window.wants(event_type):
            created_at = unix_seconds(rfc3339(created))  # raises for what is no time
            request = RecoveredRequest(window.source, _HEADERS, to_json(each))
            yield Missed(id, event_type, created_at, request=request)
    if value_at(document, "has_more") is True and id:
        path = str(ask.about["path"])
        yield Ask(f"{path}&starting_after={quote(id, safe='')}", "events", {"path": path})


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError("an event without an id or a type")
    return value


KIND: Final = RecoveryKind(
    title="Stripe",
    api="https://api.stripe.com",
    rights="a restricted key with read access to Events",
    authenticated="listed",
    kept_seconds=30 * 86_400.0,
    first=first,
    read=read,
    lists_others=True,
)
