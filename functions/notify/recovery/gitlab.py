"""GitLab's events of a webhook, which are its deliveries: https://docs.gitlab.com/api/project_webhooks/

The list has the newest first. GitLab stores `[REDACTED]` in place of each email address, and sends it again like this
too. The time of an event is in the list since GitLab exposes `created_at` (lib/api/entities/web_hook_log.rb).
"""

from collections.abc import Iterator
from typing import Final

from functions.notify.recovery import kind
from shared import fetch, jsontext, recovered, times

EVENTS_PER_PAGE: Final = 20
"""GitLab lists no more of them at once."""
FAILED: Final = "server_failure,client_failure"
"""Statuses from 400 on, and deliveries without a response."""
_CREDENTIALS: Final = frozenset({"x-gitlab-token", "webhook-signature"})


def read_answer(request: kind.ApiRequest, answer: fetch.Fetched, window: kind.Window) -> Iterator[kind.ListItem]:
    """Yield the missed events of a page and the request for the next one, or each webhook's request for its first page.

    Raises UnknownHook, and errors of UNKNOWN_FORM.
    """
    document = jsontext.from_json(answer.body)
    if request.answer_kind == "events":
        yield from _read_events(request, jsontext.list_at(document), window)
        return
    place = str(request.context["place"])
    urls_and_hooks = [(str(jsontext.value_at(hook, "url")), hook) for hook in jsontext.objects_at(document)]
    for hook in kind.own_hooks(window.settings, place, urls_and_hooks):
        yield _page_request(f"{place}/hooks/{int(str(hook['id']))}/events", 1)


def _page_request(path: str, page: int) -> kind.ApiRequest:
    query = f"status={FAILED}&per_page={EVENTS_PER_PAGE}&page={page}"
    return kind.ApiRequest(f"{path}?{query}", "events", {"path": path, "page": page})


def _read_events(request: kind.ApiRequest, events: list[jsontext.Json], window: kind.Window) -> Iterator[kind.ListItem]:
    is_last_page = len(events) < EVENTS_PER_PAGE
    for event, missed_event in zip(
        events, kind.read_each(events, lambda each: _missed_event(each, window)), strict=True
    ):
        if isinstance(missed_event, kind.UnreadableEvent):
            yield missed_event
            continue
        if missed_event.happened_at < window.since:
            is_last_page = True
            break
        if window.settings.wants(missed_event.type, _action(event)):
            yield missed_event
    if not is_last_page:
        yield _page_request(str(request.context["path"]), int(str(request.context["page"])) + 1)


def _missed_event(event: jsontext.Json, window: kind.Window) -> kind.MissedEvent:
    headers: jsontext.JsonObject = {
        name.lower(): str(value) for name, value in jsontext.mapping_at(event, "request_headers").items()
    }
    data = jsontext.mapping_at(event)["request_data"]
    if not isinstance(data, dict) or data == {"oversize": True}:
        raise TypeError("an event without its data")
    sent_headers = tuple((name, str(value)) for name, value in headers.items() if name not in _CREDENTIALS)
    status = kind.text_at(event, "response_status")
    return kind.MissedEvent(
        provider_id=kind.text_at(headers, "idempotency-key"),
        type=kind.text_at(headers, "x-gitlab-event"),
        happened_at=times.unix_seconds(kind.text_at(event, "created_at")),
        rejected_status=kind.rejected_status(int(status)) if status.isdecimal() else None,
        webhook_request=recovered.RecoveredRequest(window.settings.source, sent_headers, jsontext.to_json(data)),
    )


def _action(event: jsontext.Json) -> str | None:
    """Return the action as the catalogue finds it."""
    paths = (("object_attributes", "action"), ("action",), ("event_name",))
    actions = [jsontext.value_at(event, "request_data", *path) for path in paths]
    return next((each for each in actions if isinstance(each, str)), None)


KIND: Final = kind.RecoveryKind(
    title="GitLab",
    api="https://gitlab.com/api/v4",
    rights="the scope `read_api` and the role Maintainer of the project or Owner of the group",
    authentication="listed",
    kept_seconds=7 * 86_400.0,
    first_requests=kind.hook_requests,
    read_answer=read_answer,
    headers={"PRIVATE-TOKEN": "{token}"},
    places_key="at",
)
