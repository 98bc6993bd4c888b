"""Stripe's events that it could not deliver: https://docs.stripe.com/webhooks/process-undelivered-events

The list also has events that are still pending, and events that failed at another endpoint of the account.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from functions.notify.recovery import kind
from shared import fetch, jsontext, recovered, times

PAGE_SIZE: Final = 100
"""The most that Stripe lists in one answer."""
_WEBHOOK_HEADERS: Final = (("content-type", "application/json; charset=utf-8"),)


def first_requests(window: kind.Window) -> Iterator[kind.ApiRequest]:
    """Yield the request for the first page. The requests for the next pages repeat its path, with the last id."""
    created = f"created[gte]={int(window.since)}&created[lte]={int(window.until)}"
    first_page = f"/v1/events?limit={PAGE_SIZE}&delivery_success=false&{created}"
    yield kind.ApiRequest(first_page, "events", {"path": first_page})


def read_answer(request: kind.ApiRequest, answer: fetch.Fetched, window: kind.Window) -> Iterator[kind.ListItem]:
    """Yield the wanted events of a page, and the request for the next page. Raises errors of UNKNOWN_FORM."""
    document = jsontext.from_json(answer.body)
    events = jsontext.list_at(document, "data")
    yield from kind.read_wanted(events, _missed_event, window.settings)
    if jsontext.value_at(document, "has_more") is True and events:
        first_page = str(request.context["path"])
        last_id = kind.text_at(events[-1], "id")
        yield kind.ApiRequest(f"{first_page}&starting_after={quote(last_id, safe='')}", "events", {"path": first_page})


def _missed_event(event: jsontext.Json, source: str) -> kind.MissedEvent:
    created = jsontext.value_at(event, "created")
    if not isinstance(created, int):
        raise TypeError("an event without a time")
    created_at = times.unix_seconds(times.rfc3339(created))  # raises for a number that is not a time
    webhook_request = recovered.RecoveredRequest(source, _WEBHOOK_HEADERS, jsontext.to_json(event))
    return kind.MissedEvent(
        provider_id=kind.text_at(event, "id"),
        type=kind.text_at(event, "type"),
        happened_at=created_at,
        webhook_request=webhook_request,
    )


KIND: Final = kind.RecoveryKind(
    title="Stripe",
    api="https://api.stripe.com",
    rights="a restricted key with read access to Events",
    authentication="listed",
    kept_seconds=30 * 86_400.0,
    first_requests=first_requests,
    read_answer=read_answer,
    lists_all=True,
)
