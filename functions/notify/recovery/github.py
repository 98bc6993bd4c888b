"""GitHub's deliveries of a webhook: https://docs.github.com/rest/repos/webhooks

The list has every attempt, the newest first. All attempts of a delivery have the same GUID.
"""

import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from functions.notify.recovery.kind import Ask, Found, Missed, RecoveryKind, UnknownHook, Window
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject, from_json, list_at, mapping_at, objects_at, value_at
from shared.recovered import RecoveredRequest
from shared.times import unix_seconds

PAGE_SIZE: Final = 100
_NEXT: Final = re.compile(r'<[^>]*[?&]cursor=([^&>]+)[^>]*>; *rel="next"')
_NOT_REJECTED: Final = frozenset({408, 429})
"""Statuses of an overloaded platform, and not of receive."""


def first(window: Window) -> Iterator[Ask]:
    for place in window.places:
        yield Ask(f"{place}/hooks?per_page={PAGE_SIZE}", "hooks", {"place": place})


def read(ask: Ask, answer: Fetched, window: Window) -> Iterator[Found]:
    match ask.reads:
        case "hooks":
            yield from _hooks(str(ask.about["place"]), from_json(answer.body), window)
        case "deliveries":
            yield from _deliveries(ask, answer, window)
        case "attempt":
            yield _missed(ask, None)._replace(is_redelivered=True)
        case _:
            yield _missed(ask, _request(answer.body, window))


def _hooks(place: str, answer: Json, window: Window) -> Iterator[Ask]:
    found = [each for each in objects_at(answer) if window.is_of_source(str(value_at(each, "config", "url")))]
    if not found:
        has_url = f"has the URL {window.url}" if window.url else f"has a URL that ends with /{window.source}"
        raise UnknownHook(f"no webhook of {place} {has_url}. Correct `repositories` or `public_url`")
    if len(found) > 1 and not window.url:
        # The events of another deployment's webhook would become dead letters, because it has another secret.
        rule = f"{len(found)} webhooks of {place} have URLs that end with /{window.source}. Set `public_url`"
        raise UnknownHook(rule)
    for each in found:
        path = f"{place}/hooks/{int(str(each['id']))}/deliveries"
        yield Ask(f"{path}?per_page={PAGE_SIZE}", "deliveries", {"path": path, "settled": []})


def _deliveries(ask: Ask, answer: Fetched, window: Window) -> Iterator[Found]:
    """Yield the deliveries of which no attempt succeeded, and the next page.

    `settled` are the GUIDs of which a redelivery succeeded. It comes before its first attempt, which decides here.
    `repeated` has, by GUID, the newest redelivery and its status if it failed, where GitHub delivers again: it is asked
    to do so once more.
    """
    path = str(ask.about["path"])
    settled = [*list_at(ask.about, "settled")]
    repeated = {guid: each for guid, each in mapping_at(ask.about, "repeated").items() if isinstance(each, list)}
    is_complete = False
    for each in objects_at(from_json(answer.body)):
        guid, status, at = str(each["guid"]), int(str(each["status_code"])), unix_seconds(str(each["delivered_at"]))
        if at < window.since:
            is_complete = True
            break
        is_delivered = 200 <= status < 400
        if each["redelivery"] is True:
            settled += [guid] if is_delivered else []
            if window.redelivers and not is_delivered and guid not in settled:
                repeated.setdefault(guid, [int(str(each["id"])), status])
            continue
        event, action = str(each["event"]), value_at(each, "action")
        is_wanted = at <= window.until and window.wants(event, action if isinstance(action, str) else None)
        if is_wanted and not is_delivered and guid not in settled:
            redelivery, newest_status = repeated.get(guid, ("", status))
            id = f"{guid} {redelivery}".rstrip()
            rejected_status = _rejected_status(int(str(newest_status)))
            named: JsonObject = {"guid": id, "event": event, "at": at, "status": rejected_status}
            delivery = Ask(f"{path}/{int(str(each['id']))}", "delivery", named, is_of_event=True)
            attempt = Ask(f"{delivery.path}/attempts", "attempt", named, is_of_event=True, body={})
            yield Missed(id, event, at, rejected_status, ask=attempt if window.redelivers else delivery)
    cursor = _NEXT.search(answer.header("link") or "")
    if cursor and not is_complete:
        page = f"{path}?per_page={PAGE_SIZE}&cursor={quote(cursor[1], safe='%')}"
        yield Ask(page, "deliveries", {"path": path, "settled": settled, "repeated": dict(repeated)})


def _rejected_status(status: int) -> int | None:
    return status if 400 <= status < 500 and status not in _NOT_REJECTED else None


def _missed(ask: Ask, request: RecoveredRequest | None) -> Missed:
    status, at = ask.about["status"], ask.about["at"]
    assert isinstance(at, int | float)
    rejected_status = status if isinstance(status, int) else None
    return Missed(str(ask.about["guid"]), str(ask.about["event"]), at, rejected_status, request)


def _request(body: bytes, window: Window) -> RecoveredRequest:
    """Return the request of a delivery. The numbers in its payload stay as GitHub wrote them."""
    request = mapping_at(json.loads(body, parse_float=_Number, parse_int=_Number), "request")
    if not isinstance(request["payload"], dict):
        raise TypeError("no payload")
    headers = tuple((name.lower(), str(value)) for name, value in mapping_at(request, "headers").items())
    return RecoveredRequest(window.source, headers, _compact(request["payload"]))


class _Number(str):
    """A number as JSON text."""


def _compact(value: Json) -> str:
    """Return the value as JSON without white space, and with its numbers as they were read."""
    if isinstance(value, dict):
        members = ",".join([f"{_compact(name)}:{_compact(each)}" for name, each in value.items()])
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_compact, value))}]"
    return value if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


KIND: Final = RecoveryKind(
    title="GitHub",
    api="https://api.github.com",
    rights="the permission Webhooks: read, or the classic scope read:repo_hook, or admin:org_hook for an organization",
    write_rights="the permission Webhooks: read and write, or the classic scope write:repo_hook or admin:org_hook",
    authenticated="signature",
    kept_seconds=3 * 86_400.0,
    first=first,
    read=read,
    headers={
        "Authorization": "Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    },
    has_places=True,
)
