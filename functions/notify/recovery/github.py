"""GitHub's deliveries of a webhook: https://docs.github.com/rest/repos/webhooks

The list has every attempt, the newest first. All attempts of a delivery have the same GUID: the first attempt, and
redeliveries, which come before it in the list, maybe on an earlier page. An event is missed if its first attempt failed
and no redelivery succeeded.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote

from functions.notify.recovery import kind
from shared import fetch, jsontext, recovered, times

HEADERS: Final = {
    "Authorization": "Bearer {token}",
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
}
PAGE_SIZE: Final = 100
"""The most that GitHub lists in one answer."""
_NEXT_CURSOR: Final = re.compile(r'<[^>]*[?&]cursor=([^&>]+)[^>]*>; *rel="next"')


def read_answer(request: kind.ApiRequest, answer: fetch.Fetched, window: kind.Window) -> Iterator[kind.ListItem]:
    """Yield what follows from an answer, by its kind. Raises UnknownHook, and errors of UNKNOWN_FORM.

    hooks       the requests for the deliveries of the source's webhooks
    deliveries  the missed events, each with its request, and the request for the next page
    attempt     the event, which GitHub has agreed to deliver again
    delivery    the event with its webhook request
    """
    match request.answer_kind:
        case "hooks":
            yield from _read_hooks(str(request.context["place"]), jsontext.from_json(answer.body), window)
        case "deliveries":
            yield from _read_deliveries(request, answer, window)
        case "attempt":
            yield _missed_event(request.context)._replace(is_redelivered=True)
        case _:  # delivery
            yield _missed_event(request.context)._replace(webhook_request=_webhook_request(answer.body, window))


def _read_hooks(place: str, hooks: jsontext.Json, window: kind.Window) -> Iterator[kind.ApiRequest]:
    """Yield the request for the deliveries of each webhook of the source."""
    urls_and_hooks = [(str(jsontext.value_at(hook, "config", "url")), hook) for hook in jsontext.objects_at(hooks)]
    for hook in kind.own_hooks(window.settings, place, urls_and_hooks):
        path = f"{place}/hooks/{int(str(hook['id']))}/deliveries"
        yield kind.ApiRequest(f"{path}?per_page={PAGE_SIZE}", "deliveries", {"path": path, "settled": []})


class _Attempt(NamedTuple):
    """An attempt to deliver an event, as the list has it. The time is in Unix seconds."""

    id: int
    guid: str
    status: int
    attempted_at: float
    is_redelivery: bool
    event_type: str
    action: str | None

    @property
    def is_delivered(self) -> bool:
        return 200 <= self.status < 300


def _read_attempt(listed: jsontext.Json) -> _Attempt:
    """Return an entry of the list. Raises errors of UNKNOWN_FORM."""
    action = jsontext.value_at(listed, "action")
    return _Attempt(
        id=int(str(jsontext.value_at(listed, "id"))),
        guid=kind.text_at(listed, "guid"),
        status=int(str(jsontext.value_at(listed, "status_code"))),
        attempted_at=times.unix_seconds(kind.text_at(listed, "delivered_at")),
        is_redelivery=jsontext.value_at(listed, "redelivery") is True,
        event_type=kind.text_at(listed, "event"),
        action=action if isinstance(action, str) else None,
    )


def _read_deliveries(request: kind.ApiRequest, answer: fetch.Fetched, window: kind.Window) -> Iterator[kind.ListItem]:
    """Yield the missed events of a page, and the request for the next page.

    The request's context has the redeliveries of the pages before:

    settled   the GUIDs with a successful redelivery
    repeated  by GUID, the id and the status of the newest failed redelivery; only where GitHub delivers again
    """
    path = str(request.context["path"])
    settled = [*jsontext.list_at(request.context, "settled")]
    repeated = dict(jsontext.mapping_at(request.context, "repeated"))
    for attempt in kind.read_each(jsontext.list_at(jsontext.from_json(answer.body)), _read_attempt):
        if isinstance(attempt, kind.UnreadableEvent):
            yield attempt
        elif attempt.attempted_at < window.since:
            return  # all that follow are older
        elif attempt.is_redelivery and attempt.is_delivered:
            settled.append(attempt.guid)
        elif attempt.is_delivered or attempt.guid in settled:
            continue  # the event has arrived
        elif attempt.is_redelivery:
            if window.settings.redelivers:
                repeated.setdefault(attempt.guid, [attempt.id, attempt.status])  # the list has the newest one first
        elif attempt.attempted_at <= window.until and window.settings.wants(attempt.event_type, attempt.action):
            missed_event = _missed_event_of(attempt, repeated.get(attempt.guid))
            yield missed_event._replace(api_request=_event_request(f"{path}/{attempt.id}", missed_event, window))
    cursor = _NEXT_CURSOR.search(answer.header("link") or "")
    if cursor:
        next_page = f"{path}?per_page={PAGE_SIZE}&cursor={quote(cursor[1], safe='%')}"
        yield kind.ApiRequest(next_page, "deliveries", {"path": path, "settled": settled, "repeated": repeated})


def _missed_event_of(attempt: _Attempt, failed_redelivery: jsontext.Json) -> kind.MissedEvent:
    """Return the event of a first attempt. If it has a failed redelivery, the status is that of the redelivery."""
    redelivery_id, status = failed_redelivery if isinstance(failed_redelivery, list) else ("", attempt.status)
    return kind.MissedEvent(
        provider_id=attempt.guid,
        type=attempt.event_type,
        happened_at=attempt.attempted_at,
        rejected_status=kind.rejected_status(int(str(status))),
        failed_redelivery_id=str(redelivery_id),
    )


def _event_request(delivery_path: str, missed_event: kind.MissedEvent, window: kind.Window) -> kind.ApiRequest:
    """Return the request that reads the delivery, or the one that makes GitHub attempt it again.

    Its context has the event, for `_missed_event`. There, `guid` is the event's id, which may consist of two ids.
    """
    context: jsontext.JsonObject = {
        "guid": missed_event.id,
        "event": missed_event.type,
        "at": missed_event.happened_at,
        "status": missed_event.rejected_status,
    }
    if window.settings.redelivers:
        return kind.ApiRequest(f"{delivery_path}/attempts", "attempt", context, is_for_event=True, body={})
    return kind.ApiRequest(delivery_path, "delivery", context, is_for_event=True)


def _missed_event(context: jsontext.JsonObject) -> kind.MissedEvent:
    """Return the event of a context that `_event_request` has made."""
    happened_at = context["at"]
    assert isinstance(happened_at, int | float)
    status = context["status"]
    guid, _, failed_redelivery_id = str(context["guid"]).partition(" ")
    return kind.MissedEvent(
        provider_id=guid,
        type=str(context["event"]),
        happened_at=happened_at,
        rejected_status=status if isinstance(status, int) else None,
        failed_redelivery_id=failed_redelivery_id,
    )


def _webhook_request(body: bytes, window: kind.Window) -> recovered.RecoveredRequest:
    """Return the request that GitHub recorded for a delivery.

    The numbers in its payload stay as GitHub wrote them, because its signature is verified.
    """
    recorded = jsontext.mapping_at(json.loads(body, parse_float=_Number, parse_int=_Number), "request")
    if not isinstance(recorded["payload"], dict):
        raise TypeError("no payload")
    headers = tuple((name.lower(), str(value)) for name, value in jsontext.mapping_at(recorded, "headers").items())
    return recovered.RecoveredRequest(window.settings.source, headers, _compact(recorded["payload"]))


class _Number(str):
    """A number as JSON text."""


def _compact(value: jsontext.Json) -> str:
    """Return the value as JSON without white space, and with its numbers as they were read."""
    if isinstance(value, dict):
        members = ",".join([f"{_compact(name)}:{_compact(each)}" for name, each in value.items()])
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_compact, value))}]"
    return value if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


KIND: Final = kind.RecoveryKind(
    title="GitHub",
    api="https://api.github.com",
    rights="the permission Webhooks: read, or the classic scope read:repo_hook, or admin:org_hook for an organization",
    write_rights="the permission Webhooks: read and write, or the classic scope write:repo_hook or admin:org_hook",
    authentication="signature",
    kept_seconds=3 * 86_400.0,
    first_requests=kind.hook_requests,
    read_answer=read_answer,
    headers=HEADERS,
    places_key="repositories",
)
