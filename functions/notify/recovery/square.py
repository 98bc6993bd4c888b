"""Square's events of an application: https://developer.squareup.com/reference/square/events-api/search-events

The list has every event, whether it was delivered or not. It is empty until somebody enables it for the application.
"""

from collections.abc import Iterator
from typing import Final

from functions.notify.recovery.kind import Ask, Found, Missed, RecoveryKind, Window
from shared.fetch import Fetched
from shared.jsontext import JsonObject, from_json, objects_at, to_json, value_at
from shared.recovered import RecoveredRequest
from shared.times import rfc3339, unix_seconds

_HEADERS: Final = (("content-type", "application/json"),)
PATH: Final = "/v2/events"


def first(window: Window) -> Iterator[Ask]:
    created: JsonObject = {"start_at": rfc3339(window.since), "end_at": rfc3339(window.until)}
    yield _page({"limit": 100, "query": {"filter": {"created_at": created}}})


def _page(body: JsonObject) -> Ask:
    return Ask(PATH, "events", {}, body=body)


def read(ask: Ask, answer: Fetched, window: Window) -> Iterator[Found]:
    document = from_json(answer.body)
    for each in objects_at(document, "events"):
        event_type, created_at = str(each["type"]), unix_seconds(str(each["created_at"]))
        if window.wants(event_type):
            request = RecoveredRequest(window.source, _HEADERS, to_json(each))
            yield Missed(str(each["event_id"]), event_type, created_at, request=request)
    if cursor := value_at(document, "cursor"):
        assert ask.body is not None
        yield _page({**ask.body, "cursor": cursor})


KIND: Final = RecoveryKind(
    title="Square",
    api="https://connect.squareup.com",
    rights="a personal access token of the application, as its developer console shows it",
    authenticated="listed",
    kept_seconds=28 * 86_400.0,
    first=first,
    read=read,
    lists_others=True,
)
