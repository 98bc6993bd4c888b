"""Stripe's events that it could not deliver: https://docs.stripe.com/webhooks/process-undelivered-events

The list also has events that are still pending, and events that failed at another endpoint of the account.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from functions.notify.recovery.kind import ApiRequest, MissedEvent, RecoveryKind, Window
from shared.fetch import Fetched
from shared.jsontext import from_json, list_at, to_json, value_at
from shared.recovered import RecoveredRequest
from shared.times import rfc3339, unix_seconds

PAGE_SIZE: Final = 100
_WEBHOOK_HEADERS: Final = (("content-type", "application/json; charset=utf-8"),)


def first_requests(window: Window) -> Iterator[ApiRequest]:
    created = f"created[gte]={int(window.since)}&created[lte]={int(window.until)}"
    first_page = f"/v1/events?limit={PAGE_SIZE}&delivery_success=false&{created}"
    yield ApiRequest(first_page, "events", {"path": first_page})


def read_answer(request: ApiRequest, answer: Fetched, window: Window) -> Iterator[MissedEvent | ApiRequest]:
    document = from_json(answer.body)
    last_id = ""
    for event in list_at(document, "data"):
        last_id = _text(value_at(event, "id"))
        event_type = _text(value_at(event, "type"))
        created = value_at(event, "created")
        if not isinstance(created, int):
            raise TypeError("an event without a time")
        if window.wants(event_type):
            created_at = unix_seconds(rfc3339(created))  # raises for a number that is not a time
            webhook_request = RecoveredRequest(window.source, _WEBHOOK_HEADERS, to_json(event))
            yield MissedEvent(last_id, event_type, created_at, webhook_request=webhook_request)
    if value_at(document, "has_more") is True and last_id:
        first_page = str(request.context["path"])
        yield ApiRequest(f"{first_page}&starting_after={quote(last_id, safe='')}", "events", {"path": first_page})


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError("an event without an id or a type")
    return value


KIND: Final = RecoveryKind(
    title="Stripe",
    api="https://api.stripe.com",
    rights="a restricted key with read access to Events",
    authentication="listed",
    kept_seconds=30 * 86_400.0,
    first_requests=first_requests,
    read_answer=read_answer,
    lists_all=True,
)
