"""Square's events of an application: https://developer.squareup.com/reference/square/events-api/search-events

The list has every event, whether it was delivered or not. It is empty until somebody enables it for the application.
"""

from collections.abc import Iterator
from typing import Final

from functions.notify.recovery import kind
from shared import fetch, jsontext, recovered, times

PATH: Final = "/v2/events"
PAGE_SIZE: Final = 100
"""The most that Square lists in one answer."""
_WEBHOOK_HEADERS: Final = (("content-type", "application/json"),)


def first_requests(window: kind.Window) -> Iterator[kind.ApiRequest]:
    """Yield the request for the first page. The requests for the next pages repeat its body, with a cursor."""
    created_at: jsontext.JsonObject = {"start_at": times.rfc3339(window.since), "end_at": times.rfc3339(window.until)}
    yield _page_request({"limit": PAGE_SIZE, "query": {"filter": {"created_at": created_at}}})


def _page_request(body: jsontext.JsonObject) -> kind.ApiRequest:
    return kind.ApiRequest(PATH, "events", {}, body=body)


def read_answer(request: kind.ApiRequest, answer: fetch.Fetched, window: kind.Window) -> Iterator[kind.ListItem]:
    """Yield the wanted events of a page, and the request for the next page. Raises errors of UNKNOWN_FORM."""
    document = jsontext.from_json(answer.body)
    yield from kind.read_wanted(jsontext.list_at(document, "events"), _missed_event, window.settings)
    if cursor := jsontext.value_at(document, "cursor"):
        assert request.body is not None
        yield _page_request({**request.body, "cursor": cursor})


def _missed_event(event: jsontext.Json, source: str) -> kind.MissedEvent:
    created_at = times.unix_seconds(kind.text_at(event, "created_at"))
    webhook_request = recovered.RecoveredRequest(source, _WEBHOOK_HEADERS, jsontext.to_json(event))
    return kind.MissedEvent(
        provider_id=kind.text_at(event, "event_id"),
        type=kind.text_at(event, "type"),
        happened_at=created_at,
        webhook_request=webhook_request,
    )


KIND: Final = kind.RecoveryKind(
    title="Square",
    api="https://connect.squareup.com",
    rights="a personal access token of the application, as its developer console shows it",
    authentication="listed",
    kept_seconds=28 * 86_400.0,
    first_requests=first_requests,
    read_answer=read_answer,
    lists_all=True,
)
