"""Linear's webhooks of all public teams: https://linear.app/developers/webhooks"""

from collections.abc import Mapping
from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, Wanted, event_name, time_in_text
from shared.jsontext import Json, JsonObject, list_at, value_at

MAX_HOOKS: Final = 250
"""The most hooks that one request lists."""
_HOOK: Final = "{ id url enabled resourceTypes allPublicTeams createdAt }"
_QUERIES: Final[Mapping[Operation, str]] = {
    "list": f"query {{ webhooks(first: {MAX_HOOKS}) {{ nodes {_HOOK} pageInfo {{ hasNextPage }} }} }}",
    "create": "mutation ($input: WebhookCreateInput!) {"
    f" webhookCreate(input: $input) {{ success webhook {_HOOK} }} }}",
    "change": "mutation ($id: String!, $input: WebhookUpdateInput!) {"
    " webhookUpdate(id: $id, input: $input) { success } }",
    "delete": "mutation ($id: String!) { webhookDelete(id: $id) { success } }",
}


def make_body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the query with its variables. All operations, the list too, are a POST to one URL."""
    fields: JsonObject = {"url": wanted.url, "secret": wanted.secret, "enabled": True}
    fields |= {"resourceTypes": list(wanted.events or ())}
    hook_id: JsonObject = {"id": wanted.existing.id} if wanted.existing else {}
    variables: dict[Operation, JsonObject] = {
        "list": {},
        "create": {"input": {**fields, "label": f"Hookchain source {wanted.source}", "allPublicTeams": True}},
        "change": {**hook_id, "input": fields},
        "delete": hook_id,
    }
    return {"query": _QUERIES[operation], "variables": variables[operation]}


def read_hook(each: JsonObject) -> Hook | None:
    """Return the hook. Those of applications have no URL."""
    if not each["url"]:
        return None
    return Hook(
        id=str(each["id"]),
        url=str(each["url"]),
        events=tuple(sorted(str(name) for name in list_at(each, "resourceTypes"))),
        inactive="" if each["enabled"] is True else "it is not enabled",
        created_at=time_in_text(each.get("createdAt")),
        limit="" if each["allPublicTeams"] is True else "gets the events of one team only",
    )


def read_fault(answer: Json) -> str:
    """Return the error in the answer; empty if there is none. GraphQL reports errors with the status 200."""
    if message := value_at(answer, "errors", 0, "message"):
        return str(message)
    names = ("webhookCreate", "webhookUpdate", "webhookDelete")
    return "no success" if any(value_at(answer, "data", name, "success") is False for name in names) else ""


KIND: Final = HookKind(
    title="Linear",
    api_url="https://api.linear.app",
    rights="an API key of an administrator of the workspace",
    headers={"Authorization": "{token}"},
    operations=dict.fromkeys(_QUERIES, "POST /graphql"),
    make_body=make_body,
    read_hook=read_hook,
    list_path=("data", "webhooks", "nodes"),
    created_path=("data", "webhookCreate", "webhook"),
    name_event=event_name,
    read_fault=read_fault,
    can_have_all_events=False,
    has_more=lambda answer: value_at(answer, "data", "webhooks", "pageInfo", "hasNextPage") is True,
)
