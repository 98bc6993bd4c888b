"""Square's webhook subscriptions: https://developer.squareup.com/reference/square/webhook-subscriptions-api"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, Wanted, time_in_text
from shared.jsontext import JsonObject, list_at, value_at


def make_body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the subscription. A change does not send its name and its API version."""
    subscription: JsonObject = {}
    if operation == "create":
        kept = wanted.existing.kept if wanted.existing else {}
        subscription = {**kept, "name": f"Hookchain source {wanted.source}"}
    subscription |= {
        "enabled": wanted.is_enabled,
        "event_types": list(wanted.events or ()),
        "notification_url": wanted.url,
    }
    return {"subscription": subscription}


def read_hook(each: JsonObject) -> Hook:
    return Hook(
        id=str(each["id"]),
        url=str(each["notification_url"]),
        events=tuple(sorted(str(name) for name in list_at(each, "event_types"))),
        inactive="" if each.get("enabled") is True else "it is disabled",
        created_at=time_in_text(each.get("created_at")),
        kept={"api_version": each["api_version"]} if each.get("api_version") else {},
    )


KIND: Final = HookKind(
    title="Square",
    api_url="https://connect.squareup.com",
    rights="a personal access token of the application, as its developer console shows it",
    operations={
        "list": "GET /v2/webhooks/subscriptions?include_disabled=true",
        "create": "POST /v2/webhooks/subscriptions",
        "change": "PUT /v2/webhooks/subscriptions/{id}",
        "delete": "DELETE /v2/webhooks/subscriptions/{id}",
    },
    make_body=make_body,
    read_hook=read_hook,
    list_path=("subscriptions",),
    created_path=("subscription",),
    omits_empty_list=True,
    read_secret=lambda answer: str(value_at(answer, "subscription", "signature_key") or ""),
    can_have_all_events=False,
    can_disable=True,
    has_more=lambda answer: bool(value_at(answer, "cursor")),
    signs_url=True,
)
