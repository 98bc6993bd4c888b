"""Stripe's webhook endpoints: https://docs.stripe.com/api/webhook_endpoints"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, Wanted, time_in_seconds
from shared.jsontext import JsonObject, list_at, value_at


def make_body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the form. The API version and the kind of events can be set only when an endpoint is created."""
    fields: JsonObject = {"url": wanted.url, "enabled_events[]": list(wanted.events or ("*",))}
    if operation == "create":
        kept = wanted.existing.kept if wanted.existing else {}
        return {**fields, **kept, "description": f"Hookchain source {wanted.source}"}
    return {**fields, "disabled": "false" if wanted.is_enabled else "true"}


def read_hook(each: JsonObject) -> Hook:
    """Return the endpoint. Only one for the events of connected accounts has an application."""
    version: JsonObject = {"api_version": each["api_version"]} if each.get("api_version") else {}
    connect: JsonObject = {"connect": "true"} if each.get("application") else {}
    events = tuple(sorted(str(name) for name in list_at(each, "enabled_events")))
    return Hook(
        id=str(each["id"]),
        url=str(each["url"]),
        events=None if "*" in events else events,
        inactive="" if each.get("status") == "enabled" else "it is disabled",
        created_at=time_in_seconds(each.get("created")),
        kept={**version, **connect},
    )


KIND: Final = HookKind(
    title="Stripe",
    api_url="https://api.stripe.com",
    rights="a restricted key with write access to Webhook Endpoints",
    operations={
        "list": "GET /v1/webhook_endpoints?limit=100",
        "create": "POST /v1/webhook_endpoints",
        "change": "POST /v1/webhook_endpoints/{id}",
        "delete": "DELETE /v1/webhook_endpoints/{id}",
    },
    make_body=make_body,
    read_hook=read_hook,
    list_path=("data",),
    read_secret=lambda answer: str(value_at(answer, "secret") or ""),
    sends_forms=True,
    all_events="all, except the few that Stripe sends only if they are selected by name",
    can_disable=True,
    has_more=lambda answer: value_at(answer, "has_more") is True,
)
