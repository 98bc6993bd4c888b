"""GitHub's webhooks of repositories and organizations: https://docs.github.com/rest/repos/webhooks

A GitHub App has one webhook of its own: https://docs.github.com/rest/apps/webhooks
"""

from typing import Final

from deploy.hooks.kind import Body, Hook, HookKind, Operation, PlaceForm, Wanted, event_name, time_in_text
from functions.notify.recovery.github import HEADERS
from shared.jsontext import Json, JsonObject, list_at, mapping_at, value_at
from shared.outgoing.access_tokens import signed_jwt

_OWNER: Final = r"[A-Za-z0-9][\w.-]{0,99}"
_APP: Final = rf"apps/(?P<app>{_OWNER})"
"""No owner has the name `apps`: https://github.com/apps/NAME is the page of an App."""
_REPOSITORY: Final = r"(?!\.\.?$)[\w.-]{1,100}"
"""Its first character may be a dot, as in `acme/.github`."""
_ALWAYS_SENT: Final = ("github_app_authorization", "installation", "installation_repositories")
"""Each App gets these event types, which nobody can select (@octokit/openapi-webhooks 12.1.0)."""
_CLOCK_SECONDS: Final = 30
"""A token is valid from so long before now, because GitHub's clock may be behind ours."""
_TOKEN_SECONDS: Final = 600
"""GitHub accepts tokens of an App for 10 minutes at most."""


def make_body(_: Operation, wanted: Wanted) -> Body | None:
    """Return the body. A change also has the whole `config`, because GitHub removes a secret that is left out."""
    config: JsonObject = {**_config(wanted)}
    return {"name": "web", "active": True, "events": list(wanted.events or ("*",)), "config": config}


def _config(wanted: Wanted) -> Body:
    return {"url": wanted.url, "content_type": "json", "insecure_ssl": "0", "secret": wanted.secret}


def read_hook(each: JsonObject) -> Hook:
    config = mapping_at(each, "config")
    events = tuple(sorted(str(name) for name in list_at(each, "events")))
    code = value_at(each, "last_response", "code")
    message = value_at(each, "last_response", "message")
    return Hook(
        id=str(each["id"]),
        url=str(config.get("url", "")),
        events=None if "*" in events else events,
        inactive="" if each.get("active") else "it is not active",
        faults=_faults(config),
        has_secret="secret" in config,
        note=f"its last delivery failed: {code} {message}" if isinstance(code, int) and not 200 <= code < 300 else "",
        created_at=time_in_text(each.get("created_at")),
    )


def read_app_hook(config: JsonObject) -> Hook:
    """Return the hook of an App, whose event types another answer has. Without a URL, the App has no hook."""
    return Hook("app", str(config.get("url", "")), None, faults=_faults(config), has_secret="secret" in config)


def _faults(config: JsonObject) -> tuple[str, ...]:
    faults = {
        "its content type is not JSON": config.get("content_type", "json") != "json",
        "it does not verify the certificate of the URL": str(config.get("insecure_ssl", "0")) != "0",
    }
    return tuple(text for text, is_fault in faults.items() if is_fault)


def read_app_events(app: Json) -> tuple[str, ...]:
    events = mapping_at(app)["events"]
    if not isinstance(events, list):
        raise TypeError("no list of event types")
    return tuple(map(str, events))


def sign_app_token(at: str, private_key: str, now: float) -> str:
    """Return a token of the App whose ID is in the place. Raises ValueError."""
    issued_at = int(now) - _CLOCK_SECONDS
    claims: JsonObject = {"iss": at.removeprefix("apps/"), "iat": issued_at, "exp": issued_at + _TOKEN_SECONDS}
    return signed_jwt({"alg": "RS256", "typ": "JWT"}, claims, private_key)


KIND: Final = HookKind(
    title="GitHub",
    api_url="https://api.github.com",
    rights="the permission Webhooks: read and write, or the classic scope admin:repo_hook or admin:org_hook",
    headers=HEADERS,
    places=(
        PlaceForm(
            rf"(?!apps/)(?P<owner>{_OWNER})/(?P<repository>{_REPOSITORY})", "/repos/{owner}/{repository}", "acme/shop"
        ),
        PlaceForm(rf"(?P<organization>{_OWNER})", "/orgs/{organization}", "acme"),
    ),
    operations={
        "list": "GET {at}/hooks",
        "create": "POST {at}/hooks",
        "change": "PATCH {at}/hooks/{id}",
        "delete": "DELETE {at}/hooks/{id}",
    },
    make_body=make_body,
    read_hook=read_hook,
    name_event=event_name,
    is_paged=True,
)
APP_KIND: Final = HookKind(
    title="GitHub",
    api_url="https://api.github.com",
    rights="to be the private key of the App, in PEM",
    headers=HEADERS,
    places=(PlaceForm(_APP, "/app", "apps/Iv23liAbCdEf"),),
    operations={
        "list": "GET {at}/hook/config",
        "events": "GET {at}",
        "change": "PATCH {at}/hook/config",
    },
    make_body=lambda _, wanted: _config(wanted),
    read_hook=read_app_hook,
    name_event=event_name,
    read_selected_events=read_app_events,
    always_sent=_ALWAYS_SENT,
    sign_token=sign_app_token,
    is_single=True,
)
