"""Airtable's payloads of a webhook: https://airtable.com/developers/web/api/list-webhook-payloads

A request of Airtable only says that something has changed. Its payload says what, and is only in the list. Each payload
has a number, by which a webhook counts them and which is never used again.
"""

from collections.abc import Iterator
from typing import Final

from functions.notify.recovery import kind
from shared import fetch, jsontext, recovered, times

PAGE_SIZE: Final = 50
"""The most that Airtable lists in one answer."""
TYPE: Final = "payload"
"""The type of the events, which tells them from Airtable's requests."""
_WEBHOOK_HEADERS: Final = (("content-type", "application/json"),)


def first_requests(window: kind.Window) -> Iterator[kind.ApiRequest]:
    """Yield the request for the webhooks of each place."""
    for place in window.settings.places:
        yield kind.ApiRequest(place, "webhooks", {"place": place})


def read_answer(request: kind.ApiRequest, answer: fetch.Fetched, window: kind.Window) -> Iterator[kind.ListItem]:
    if request.answer_kind == "payloads":
        yield from _read_payloads(request, jsontext.from_json(answer.body), window)
        return
    place = str(request.context["place"])
    urls_and_hooks = [
        (str(jsontext.value_at(hook, "notificationUrl")), hook)
        for hook in jsontext.objects_at(jsontext.from_json(answer.body), "webhooks")
    ]
    for hook in kind.own_hooks(window.settings, place, urls_and_hooks):
        path = f"{place}/{kind.text_at(hook, 'id')}/payloads"
        yield _page_request(path, _number_at(hook, "cursorForNextPayload"))


def _page_request(path: str, end: int) -> kind.ApiRequest:
    """Return the request for the page of payloads that ends before this number."""
    begin = max(1, end - PAGE_SIZE)
    return kind.ApiRequest(f"{path}?cursor={begin}&limit={PAGE_SIZE}", "payloads", {"path": path, "begin": begin})


def _read_payloads(request: kind.ApiRequest, document: jsontext.Json, window: kind.Window) -> Iterator[kind.ListItem]:
    """Yield the recent payloads of a page, and the requests for the rest of it and for the page before it.

    Only the request for the rest of a page that Airtable cut has an `end`.
    """
    path, begin = str(request.context["path"]), _number_at(request.context, "begin")
    is_rest = "end" in request.context
    end = _number_at(request.context, "end") if is_rest else begin + PAGE_SIZE
    payloads = jsontext.list_at(document, "payloads")
    next_number = _number_at(document, "cursor")
    if jsontext.value_at(document, "mightHaveMore") is True and next_number < end:
        if next_number <= begin:
            raise ValueError("a page without its payloads")
        rest: jsontext.JsonObject = {"path": path, "begin": next_number, "end": end}
        yield kind.ApiRequest(f"{path}?cursor={next_number}&limit={end - next_number}", "payloads", rest)
    first_number = next_number - len(payloads)
    numbered: list[jsontext.Json] = [[number, payload] for number, payload in enumerate(payloads, first_number)]
    is_first_recent = bool(payloads)
    for event in kind.read_each(numbered, lambda each: _missed_event(each, path, window.settings.source)):
        if isinstance(event, kind.MissedEvent) and event.happened_at < window.since:
            is_first_recent = False
        elif isinstance(event, kind.UnreadableEvent) or window.settings.wants(event.type):
            yield event
    if is_first_recent and begin > 1 and not is_rest:
        yield _page_request(path, begin)


def _missed_event(numbered: jsontext.Json, path: str, source: str) -> kind.MissedEvent:
    number, payload = jsontext.value_at(numbered, 0), jsontext.value_at(numbered, 1)
    _, _, base_id, _, webhook_id, _ = path.split("/")
    event_id = f"{webhook_id}:{number}"
    body: jsontext.JsonObject = {
        "id": event_id,
        "type": TYPE,
        "base": {"id": base_id},
        "webhook": {"id": webhook_id},
        "payload": payload,
    }
    webhook_request = recovered.RecoveredRequest(source, _WEBHOOK_HEADERS, jsontext.to_json(body))
    return kind.MissedEvent(
        provider_id=event_id,
        type=TYPE,
        happened_at=times.unix_seconds(kind.text_at(payload, "timestamp")),
        webhook_request=webhook_request,
    )


def _number_at(document: jsontext.Json, name: str) -> int:
    """Return the number of the field. Raises TypeError."""
    number = jsontext.value_at(document, name)
    if not isinstance(number, int):
        raise TypeError(f"no {name}")
    return number


KIND: Final = kind.RecoveryKind(
    title="Airtable",
    api="https://api.airtable.com/v0",
    rights="a personal access token with the scopes webhook:manage and data.records:read",
    authentication="listed",
    kept_seconds=7 * 86_400.0,
    first_requests=first_requests,
    read_answer=read_answer,
    lists_all=True,
    is_only_way=True,
    places_key="at",
)
