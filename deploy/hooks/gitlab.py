"""GitLab's webhooks of projects and groups: https://docs.gitlab.com/api/project_webhooks/"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, PlaceForm, Wanted, event_name, time_in_text
from shared.jsontext import JsonObject

EVENTS: Final = {
    "Push Hook": "push_events",
    "Tag Push Hook": "tag_push_events",
    "Issue Hook": "issues_events",
    "Confidential Issue Hook": "confidential_issues_events",
    "Note Hook": "note_events",
    "Confidential Note Hook": "confidential_note_events",
    "Merge Request Hook": "merge_requests_events",
    "Wiki Page Hook": "wiki_page_events",
    "Pipeline Hook": "pipeline_events",
    "Job Hook": "job_events",
    "Deployment Hook": "deployment_events",
    "Release Hook": "releases_events",
}
"""The settings that projects and groups both have, by the event type."""


def make_body(_: Operation, wanted: Wanted) -> Body | None:
    """Return the body, with all settings for a change too: GitLab removes the token of a hook whose URL changes."""
    selected = EVENTS.values() if wanted.events is None else wanted.events
    switches: JsonObject = {name: name in selected for name in EVENTS.values()}
    return {"url": wanted.url, "token": wanted.secret, "enable_ssl_verification": True, **switches}


def read_hook(each: JsonObject) -> Hook:
    events = tuple(sorted(name for name in EVENTS.values() if each.get(name) is True))
    status = each.get("alert_status") or "executable"
    until = f" until {each['disabled_until']}" if each.get("disabled_until") else ""
    is_unverified = each.get("enable_ssl_verification") is False
    return Hook(
        id=str(each["id"]),
        url=str(each["url"]),
        events=None if len(events) == len(EVENTS) else events,
        faults=("it does not verify the certificate of the URL",) if is_unverified else (),
        note="" if status == "executable" else f"GitLab reports {status}{until}; send a test event there",
        step="send a test event: GitLab has disabled the hook after failures" if status == "disabled" else "",
        created_at=time_in_text(each.get("created_at")),
    )


def name_event(pattern: str) -> str | None:
    """Return the setting of `Issue Hook` or `Issue Hook.open`. Raises ValueError if none selects the event type."""
    name = event_name(pattern)
    if name is not None and name not in EVENTS:
        raise ValueError(f"GitLab's API cannot select the event type {name!r}: set its hook up by hand")
    return EVENTS[name] if name else None


KIND: Final = HookKind(
    title="GitLab",
    api_url="https://gitlab.com/api/v4",
    rights="the scope `api` and the role Maintainer of the project or Owner of the group",
    headers={"PRIVATE-TOKEN": "{token}"},
    places=(
        PlaceForm(r"projects/(?P<project>[\w./-]+)", "/projects/{project}", "projects/acme/shop"),
        PlaceForm(r"groups/(?P<group>[\w./-]+)", "/groups/{group}", "groups/acme"),
    ),
    operations={
        "list": "GET {at}/hooks",
        "create": "POST {at}/hooks",
        "change": "PUT {at}/hooks/{id}",
        "delete": "DELETE {at}/hooks/{id}",
    },
    make_body=make_body,
    read_hook=read_hook,
    name_event=name_event,
    variant="token",
    all_events=f"all that projects and groups both have: {', '.join(EVENTS)}",
    is_paged=True,
)
