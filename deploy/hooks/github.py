"""GitHub's webhooks of repositories and organizations: https://docs.github.com/rest/repos/webhooks"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, Place, Wanted, event_name
from shared.jsontext import JsonObject, list_at, mapping_at, value_at

_OWNER: Final = r"[A-Za-z0-9][\w.-]{0,99}"
_REPOSITORY: Final = r"(?!\.\.?$)[\w.-]{1,100}"
"""Its first character may be a dot, as in `acme/.github`."""


def body(_: Operation, wanted: Wanted) -> Body | None:
    """Return the whole `config` for a change too: GitHub removes a secret that a change does not have."""
    config: JsonObject = {"url": wanted.url, "content_type": "json", "insecure_ssl": "0", "secret": wanted.secret}
    return {"name": "web", "active": True, "events": list(wanted.events or ("*",)), "config": config}


def hook(each: JsonObject) -> Hook:
    config = mapping_at(each, "config")
    events = tuple(sorted(str(name) for name in list_at(each, "events")))
    code = value_at(each, "last_response", "code")
    message = value_at(each, "last_response", "message")
    is_unverified = str(config.get("insecure_ssl", "0")) != "0"
    return Hook(
        id=str(each["id"]),
        url=str(config.get("url", "")),
        events=None if "*" in events else events,
        inactive="" if each.get("active") else "it is not active",
        faults=("it does not verify the certificate of the URL",) if is_unverified else (),
        has_secret="secret" in config,
        note=f"its last delivery failed: {code} {message}" if isinstance(code, int) and code >= 400 else "",
    )


KIND: Final = HookKind(
    title="GitHub",
    api="https://api.github.com",
    rights="the permission Webhooks: read and write, or the classic scope admin:repo_hook or admin:org_hook",
    headers={
        "Authorization": "Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    },
    places=(
        Place(rf"(?P<owner>{_OWNER})/(?P<repository>{_REPOSITORY})", "/repos/{owner}/{repository}", "acme/shop"),
        Place(rf"(?P<organization>{_OWNER})", "/orgs/{organization}", "acme"),
    ),
    operations={
        "list": "GET {at}/hooks",
        "create": "POST {at}/hooks",
        "change": "PATCH {at}/hooks/{id}",
        "delete": "DELETE {at}/hooks/{id}",
    },
    body=body,
    hook=hook,
    event=event_name,
    is_paged=True,
)
