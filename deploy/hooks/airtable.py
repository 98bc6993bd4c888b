"""Airtable's webhooks of a base, which expire: https://airtable.com/developers/web/api/webhooks-overview"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, PlaceForm, Wanted
from shared import jsontext, times

DATA_TYPE: Final = "tableData"
"""Changes of records, but none of fields and tables."""


def make_body(operation: Operation, wanted: Wanted) -> Body | None:
    """Return the body. A hook that is replaced hands its specification on; no change can set another one."""
    if operation == "create":
        kept = wanted.existing.kept if wanted.existing else {}
        filters: jsontext.Json = {"dataTypes": [DATA_TYPE]}
        return {"notificationUrl": wanted.url, "specification": {"options": {"filters": filters}}, **kept}
    return {"enable": wanted.is_enabled} if operation == "change" else None


def read_hook(each: jsontext.JsonObject) -> Hook:
    """Return the hook. The answer to `create`, which has the secret, does not repeat the URL."""
    is_created = "macSecretBase64" in each
    is_active = is_created or (each["isHookEnabled"] is True and each["areNotificationsEnabled"] is True)
    expires_at = each.get("expirationTime")
    error = jsontext.value_at(each, "lastNotificationResult", "error", "message")
    return Hook(
        id=str(each["id"]),
        url=str(each.get("notificationUrl") or ""),
        events=None,
        inactive="" if is_active else "its notifications are disabled",
        expires_at=times.unix_seconds(str(expires_at)) if expires_at else None,
        note=f"its last delivery failed: {error}" if error else "",
        kept={"specification": each["specification"]} if each.get("specification") else {},
    )


KIND: Final = HookKind(
    title="Airtable",
    api_url="https://api.airtable.com/v0",
    rights="a personal access token with the scope webhook:manage",
    places=(PlaceForm(r"(?P<base>app\w{14})", "/bases/{base}/webhooks", "appAbCdEfGhIjKlMn"),),
    operations={
        "list": "GET {at}",
        "create": "POST {at}",
        "change": "POST {at}/{id}/enableNotifications",
        "extend": "POST {at}/{id}/refresh",
        "delete": "DELETE {at}/{id}",
    },
    make_body=make_body,
    read_hook=read_hook,
    list_path=("webhooks",),
    name_event=lambda _: None,
    read_secret=lambda answer: str(jsontext.value_at(answer, "macSecretBase64") or ""),
    is_fixed=True,
    can_disable=True,
    expiry_field="expirationTime",
)
