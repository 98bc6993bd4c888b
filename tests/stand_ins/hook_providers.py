"""Stand-ins for the providers' APIs for hooks, by their published descriptions, for tests of `hookchain hooks`."""

import json
import re
import time
import typing
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

import jwt
import stripe
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jsonschema import Draft202012Validator
from stripe.params import WebhookEndpointCreateParams, WebhookEndpointUpdateParams

from shared.errors import Unanswered
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, mapping_at, value_at
from shared.outgoing.guarded_fetch import verified_target
from shared.times import rfc3339

TOKEN: Final = "the operator's token, long and random"
_DESCRIPTIONS: Final = Path(__file__).with_name("hook_descriptions.json")
Answer = tuple[int, Json]


@cache
def descriptions() -> JsonObject:
    document: JsonObject = json.loads(_DESCRIPTIONS.read_text(encoding="utf-8"))
    return document


def verify(schema: Json, value: Json) -> None:
    assert isinstance(schema, dict), schema
    faults = [error.message for error in Draft202012Validator(schema).iter_errors(value)]
    assert not faults, faults


class HookProvider:
    """An API with hooks by id.

    calls       each request, as `METHOD path`
    loses       methods whose next answer is lost, after the API has acted on the request
    fails       by method, the status with which the next request is answered, without any other effect
    fault       a text in the messages of those answers
    on_request  is called with the method of each request before it is answered
    """

    host = ""

    def __init__(self) -> None:
        self.hooks: dict[str, JsonObject] = {}
        self.calls: list[str] = []
        self.loses: list[str] = []
        self.fails: dict[str, int] = {}
        self.fault = TOKEN
        self.on_request: Callable[[str], None] = lambda _: None
        self._next_id = 100

    async def fetch(self, request: Outgoing) -> Fetched:
        verified_target(request)
        url = urlsplit(request.url)
        assert f"{url.scheme}://{url.netloc}" == self.host
        self.calls.append(f"{request.method} {url.path}")
        self.on_request(request.method)
        if status := self.fails.pop(request.method, None):
            return self._answer(status, {"message": f"no, {self.fault}"})
        if not self.is_authorized(request):
            return self._answer(401, {"message": "Bad credentials"})
        status, document = self.act(request, url.path)
        if request.method in self.loses:
            self.loses.remove(request.method)
            raise Unanswered("host_unreachable", f"{url.netloc} did not answer within 10 s")
        return self._answer(status, document)

    def is_authorized(self, request: Outgoing) -> bool:
        return dict(request.headers).get("Authorization") == f"Bearer {TOKEN}"

    def act(self, request: Outgoing, path: str) -> Answer:
        raise NotImplementedError

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def changes(self) -> list[str]:
        return [call for call in self.calls if not call.startswith("GET")]

    def _answer(self, status: int, document: Json) -> Fetched:
        body = b"" if document is None else json.dumps(document).encode()
        return Fetched(status, (("content-type", "application/json"),), body)


class GitHub(HookProvider):
    """Hooks of one repository or organization, whose path is `base`."""

    host = "https://api.github.com"

    def __init__(self, base: str = "/repos/acme/shop") -> None:
        super().__init__()
        self.base = base

    def act(self, request: Outgoing, path: str) -> Answer:
        name, _, id = path.removeprefix(f"{self.base}/hooks").partition("/")
        if not path.startswith(f"{self.base}/hooks") or name or (id and id not in self.hooks):
            return 404, {"message": "Not Found"}
        kind = "/repos/{owner}/{repo}/hooks" if self.base.startswith("/repos/") else "/orgs/{org}/hooks"
        operation = f"{request.method} {kind}{'/{hook_id}' if id else ''}"
        described = mapping_at(descriptions(), "github", "operations", operation)
        assert described, operation
        body = json.loads(request.body) if request.body else None
        if described["body"]:
            verify(described["body"], body)
        status, document = getattr(self, f"_{request.method.lower()}")(id, body)
        if status < 300:
            answers = mapping_at(described, "answers")
            assert str(status) in answers
            if answers[str(status)]:
                verify(answers[str(status)], document)
        return status, document

    def _get(self, id: str, body: Json) -> Answer:
        return 200, self._shown(self.hooks[id]) if id else [self._shown(each) for each in self.hooks.values()]

    def _post(self, id: str, body: JsonObject) -> Answer:
        if self._is_taken(body, ""):
            return 422, {"message": "Validation Failed", "errors": [{"message": "Hook already exists"}]}
        new = self.new_id()
        url = f"{self.host}{self.base}/hooks/{new}"
        links: JsonObject = {
            "url": url,
            "ping_url": f"{url}/pings",
            "test_url": f"{url}/test",
            "deliveries_url": f"{url}/d",
        }
        times: JsonObject = dict.fromkeys(("created_at", "updated_at"), rfc3339(time.time()))
        last: JsonObject = {"code": None, "status": "unused", "message": None}
        own: JsonObject = {"type": "Repository", "id": new, "last_response": last, **links, **times}
        self.hooks[str(new)] = {**own, **body}
        return 201, self._shown(self.hooks[str(new)])

    def _patch(self, id: str, body: JsonObject) -> Answer:
        """Replace `config` as a whole: a secret that it does not have is removed."""
        if self._is_taken({**self.hooks[id], **body}, id):
            return 422, {"message": "Validation Failed"}
        self.hooks[id] |= body
        return 200, self._shown(self.hooks[id])

    def _delete(self, id: str, body: Json) -> Answer:
        del self.hooks[id]
        return 204, None

    def _is_taken(self, body: JsonObject, id: str) -> bool:
        """Return whether another hook has the same configuration and an event in common."""
        return any(
            value_at(each, "config", "url") == value_at(body, "config", "url")
            and bool({*typing.cast(list[str], each["events"])} & {*typing.cast(list[str], body["events"])})
            for key, each in self.hooks.items()
            if key != id
        )

    def _shown(self, hook: JsonObject) -> JsonObject:
        config = mapping_at(hook, "config")
        shown = {name: "********" if name == "secret" else value for name, value in config.items()}
        return {**hook, "config": shown}

    def add(self, url: str, *events: str) -> None:
        """Make a hook as a person did a day ago."""
        own: JsonObject = {"url": url, "secret": "theirs"}
        _, hook = self._post("", {"name": "web", "active": True, "events": [*events], "config": own})
        self.hooks[str(mapping_at(hook)["id"])]["created_at"] = "2026-11-30T00:00:00Z"

    def secret(self, id: str) -> Json:
        return value_at(self.hooks[id], "config", "secret")


@cache
def _app_key() -> RSAPrivateKey:
    """Return the key of every app, because to make one takes longer than most tests of hooks."""
    return generate_private_key(65_537, 2048)


class GitHubApp(HookProvider):
    """The hook of an App, which is the only one in `hooks`. A person selects its event types, and can delete it."""

    host = "https://api.github.com"
    client_id = "Iv23liAbCdEf"

    def __init__(self) -> None:
        super().__init__()
        self._key = _app_key()
        self.private_key = self._key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ).decode()
        self.events: Json = ["push"]

    def is_authorized(self, request: Outgoing) -> bool:
        token = dict(request.headers)["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, self._key.public_key(), algorithms=["RS256"])
        return bool(claims["iss"] == self.client_id and 0 < claims["exp"] - claims["iat"] <= 600)

    def act(self, request: Outgoing, path: str) -> Answer:
        described = mapping_at(descriptions(), "github", "operations", f"{request.method} {path}")
        if request.method == "PATCH":
            body: JsonObject = json.loads(request.body)
            verify(described["body"], body)
            self.hooks["app"] = {**self.hooks.get("app", {}), **body}
        document = self._app() if path == "/app" else self._shown(self.hooks.get("app", {}))
        verify(mapping_at(described, "answers")["200"], document)
        return 200, document

    def _shown(self, config: JsonObject) -> JsonObject:
        return {name: "********" if name == "secret" else value for name, value in config.items()}

    def _app(self) -> JsonObject:
        names = ("avatar_url", "events_url", "followers_url", "following_url", "gists_url", "html_url")
        more = ("organizations_url", "received_events_url", "repos_url", "starred_url", "subscriptions_url", "url")
        links: JsonObject = dict.fromkeys((*names, *more), f"{self.host}/users/acme")
        owner: JsonObject = {"login": "acme", "id": 1, "node_id": "n", "gravatar_id": None, "type": "User", **links}
        times: JsonObject = dict.fromkeys(("created_at", "updated_at"), "2026-11-30T00:00:00Z")
        about: JsonObject = {"id": 37, "node_id": "n", "name": "acme", "description": None, "permissions": {}}
        urls: JsonObject = dict.fromkeys(("external_url", "html_url"), "https://github.com/apps/acme")
        return {**about, **times, **urls, "owner": {**owner, "site_admin": False}, "events": self.events}


class Stripe(HookProvider):
    """Webhook endpoints. The fields are those of the installed library, whose types come from Stripe's description."""

    host = "https://api.stripe.com"

    def act(self, request: Outgoing, path: str) -> Answer:
        found = re.fullmatch(r"/v1/webhook_endpoints(?:/(\w+))?", path)
        assert found
        id = found[1] or ""
        if id and id not in self.hooks:
            return 404, {"error": {"message": f"No such webhook endpoint: '{id}'"}}
        form = parse_qs(request.body.decode(), strict_parsing=True) if request.body else {}
        if request.method == "GET":
            return 200, {"object": "list", "data": [*map(self._shown, self.hooks.values())], "has_more": False}
        if request.method == "DELETE":
            del self.hooks[id]
            return 200, {"id": id, "object": "webhook_endpoint", "deleted": True}
        params = WebhookEndpointUpdateParams if id else WebhookEndpointCreateParams
        fields: JsonObject = {
            name.removesuffix("[]"): [*values] if name.endswith("[]") else values[0] for name, values in form.items()
        }
        if unknown := self._unknown_value(params, fields):
            return 400, {"error": {"message": f"Invalid enabled_events: {unknown}"}}
        if id:
            is_disabled = fields.pop("disabled", None)
            if is_disabled is not None:
                fields["status"] = "disabled" if is_disabled == "true" else "enabled"
            self.hooks[id] |= fields
            return 200, self._shown(self.hooks[id])
        new = f"we_{self.new_id()}"
        application = "ca_1" if fields.pop("connect", None) == "true" else None
        fixed: JsonObject = {
            "id": new,
            "object": "webhook_endpoint",
            "status": "enabled",
            "livemode": False,
            "created": int(time.time()),
        }
        own: JsonObject = {**fixed, "secret": f"whsec_{new}_long_and_random_0123456789"}
        self.hooks[new] = {
            **own,
            "api_version": None,
            "application": application,
            "metadata": {},
            **fields,
        }
        assert {*self.hooks[new]} <= {*typing.get_type_hints(stripe.WebhookEndpoint)}
        return 200, self.hooks[new]

    def _unknown_value(self, params: type, fields: JsonObject) -> str:
        annotations = params.__annotations__
        assert {*fields} <= {*annotations}, fields
        for name, value in fields.items():
            text = str(annotations[name])
            assert isinstance(value, list) == ("List[" in text), (name, text)
            for each in value if isinstance(value, list) else ():
                if repr(each) not in text:
                    return str(each)
        return ""

    def _shown(self, hook: JsonObject) -> JsonObject:
        return {name: value for name, value in hook.items() if name != "secret"}


class GitLab(HookProvider):
    """Hooks of one project or group, whose path is `base`, with the fields that python-gitlab sends."""

    host = "https://gitlab.com"

    def __init__(self, base: str = "/api/v4/projects/acme%2Fshop") -> None:
        super().__init__()
        self.base = base

    def is_authorized(self, request: Outgoing) -> bool:
        return dict(request.headers).get("PRIVATE-TOKEN") == TOKEN

    def act(self, request: Outgoing, path: str) -> Answer:
        name, _, id = path.removeprefix(f"{self.base}/hooks").partition("/")
        if not path.startswith(f"{self.base}/hooks") or name or (id and id not in self.hooks):
            return 404, {"message": "404 Not found"}
        if request.method == "GET":
            return 200, [*map(self._shown, self.hooks.values())]
        if request.method == "DELETE":
            del self.hooks[id]
            return 204, None
        body: JsonObject = json.loads(request.body)
        kind = "project" if "/projects/" in self.base else "group"
        fields = mapping_at(descriptions(), "gitlab", f"{kind}_{'update' if id else 'create'}_attrs")
        assert {"url"} <= {*body} <= {*_texts(fields["required"]), *_texts(fields["optional"])}
        if id and body["url"] != self.hooks[id]["url"]:
            self.hooks[id].pop("token", None)
        new = id or str(self.new_id())
        defaults: JsonObject = {
            "id": int(new),
            "push_events": True,
            "alert_status": "executable",
            "disabled_until": None,
            "created_at": rfc3339(time.time()),
        }
        self.hooks[new] = {**defaults, **self.hooks.get(new, {}), **body}
        return 200 if id else 201, self._shown(self.hooks[new])

    def _shown(self, hook: JsonObject) -> JsonObject:
        return {name: value for name, value in hook.items() if name != "token"}


class Telegram(HookProvider):
    """The webhook of a bot, which is the only one in `hooks`."""

    host = "https://api.telegram.org"

    def is_authorized(self, request: Outgoing) -> bool:
        return urlsplit(request.url).path.startswith(f"/bot{quote(TOKEN, safe=':')}/")

    def act(self, request: Outgoing, path: str) -> Answer:
        method = path.rpartition("/")[2]
        body: JsonObject = json.loads(request.body) if request.body else {}
        if method == "getWebhookInfo":
            hook = self.hooks.get("webhook", {"url": "", "has_custom_certificate": False, "pending_update_count": 0})
            shown = {name: value for name, value in hook.items() if name != "secret_token"}
            assert {*shown} <= {*_texts(mapping_at(descriptions(), "telegram")["WebhookInfo"])}
            return 200, {"ok": True, "result": shown}
        assert {*body} <= {*_texts(mapping_at(descriptions(), "telegram")[method])}
        if method == "deleteWebhook":
            self.hooks.clear()
            return 200, {"ok": True, "result": True}
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", str(body["secret_token"])):
            return 400, {"ok": False, "description": "Bad Request: secret token contains unallowed characters"}
        updates = _texts(body.pop("allowed_updates", self.hooks.get("webhook", {}).get("allowed_updates")))
        assert {*updates} <= {*_texts(mapping_at(descriptions(), "telegram")["updates"])}
        shown_updates: JsonObject = {"allowed_updates": [*updates]} if updates else {}
        self.hooks["webhook"] = {"has_custom_certificate": False, "pending_update_count": 0, **body, **shown_updates}
        return 200, {"ok": True, "result": True}


class Twilio(HookProvider):
    """The messages of a number, with the fields of the library. A number without a URL has no entry in `hooks`."""

    host = "https://api.twilio.com"
    account = f"AC{'0' * 32}"
    number = f"PN{'0' * 32}"

    def is_authorized(self, request: Outgoing) -> bool:
        return dict(request.headers).get("Authorization") == f"Basic {b64encode(TOKEN.encode()).decode()}"

    def act(self, request: Outgoing, path: str) -> Answer:
        if path != f"/2010-04-01/Accounts/{self.account}/IncomingPhoneNumbers/{self.number}.json":
            return 404, {"code": 20404, "message": "The requested resource was not found", "status": 404}
        described = mapping_at(descriptions(), "twilio")
        if request.method == "POST":
            form = {name: values[-1] for name, values in parse_qs(request.body.decode(), True).items()}
            assert {*form} <= {*_texts(described["request"])}
            changed = {re.sub("(?<!^)([A-Z])", r"_\1", name).lower(): value for name, value in form.items()}
            self.hooks["messages"] = {**self.hooks.get("messages", {}), **changed}
            if not self.hooks["messages"]["sms_url"]:
                del self.hooks["messages"]
        empty: JsonObject = {"sms_url": "", "sms_method": "POST", "sms_application_sid": ""}
        shown: JsonObject = {"sid": self.number, **empty, **self.hooks.get("messages", {})}
        assert {*shown} <= {*_texts(described["answer"])}
        return 200, shown


class Square(HookProvider):
    """Webhook subscriptions, with the fields of the library."""

    host = "https://connect.squareup.com"

    def act(self, request: Outgoing, path: str) -> Answer:
        found = re.fullmatch(r"/v2/webhooks/subscriptions(?:/(\w+))?", path)
        assert found
        id = found[1] or ""
        if id and id not in self.hooks:
            return 404, {"errors": [{"category": "INVALID_REQUEST_ERROR", "code": "NOT_FOUND", "detail": "not found"}]}
        if request.method == "GET":
            assert urlsplit(request.url).query == "include_disabled=true"
            listed: Json = [*map(self._shown, self.hooks.values())]
            return 200, {"subscriptions": listed} if listed else {}
        if request.method == "DELETE":
            del self.hooks[id]
            return 200, {}
        fields = mapping_at(json.loads(request.body), "subscription")
        assert {*fields} <= {*_texts(mapping_at(descriptions(), "square")["request"])}
        new = id or f"wbhk_{self.new_id()}"
        created_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        key = f"{new}-long-and-random-0123456789"
        own: JsonObject = {"id": new, "signature_key": key, "created_at": created_at}
        self.hooks[new] = {**own, **self.hooks.get(new, {}), **fields}
        assert {*self.hooks[new]} <= {*_texts(mapping_at(descriptions(), "square")["answer"])}
        return 200, {"subscription": self._shown(self.hooks[new]) if id else self.hooks[new]}

    def _shown(self, hook: JsonObject) -> JsonObject:
        return {name: value for name, value in hook.items() if name != "signature_key"}


class Linear(HookProvider):
    """Webhooks by GraphQL, with the fields of the library's types."""

    host = "https://api.linear.app"

    def is_authorized(self, request: Outgoing) -> bool:
        return dict(request.headers).get("Authorization") == TOKEN

    def act(self, request: Outgoing, path: str) -> Answer:
        assert (request.method, path) == ("POST", "/graphql")
        body: JsonObject = json.loads(request.body)
        query, variables = str(body["query"]), mapping_at(body, "variables")
        fields = mapping_at(variables, "input")
        id = str(variables.get("id", ""))
        if id and id not in self.hooks:
            return 200, {"errors": [{"message": "Entity not found: Webhook"}]}
        described = mapping_at(descriptions(), "linear")
        if "webhooks(" in query:
            nodes: Json = [self._shown(each) for each in self.hooks.values()]
            return 200, {"data": {"webhooks": {"nodes": nodes, "pageInfo": {"hasNextPage": False}}}}
        if "webhookDelete(" in query:
            del self.hooks[id]
            return 200, {"data": {"webhookDelete": {"success": True}}}
        is_new = "webhookCreate(" in query
        assert {*fields} <= {*_texts(described["WebhookCreateInput" if is_new else "WebhookUpdateInput"])}
        assert fields["resourceTypes"]
        new = id or f"hook-{self.new_id()}"
        self.hooks[new] = {"id": new, "createdAt": rfc3339(time.time()), **self.hooks.get(new, {}), **fields}
        if not is_new:
            return 200, {"data": {"webhookUpdate": {"success": True}}}
        return 200, {"data": {"webhookCreate": {"success": True, "webhook": self._shown(self.hooks[new])}}}

    def _shown(self, hook: JsonObject) -> JsonObject:
        names = ("id", "url", "enabled", "resourceTypes", "allPublicTeams", "createdAt")
        shown = {name: hook[name] for name in names}
        assert {*shown} <= {*_texts(mapping_at(descriptions(), "linear")["Webhook"])}
        return shown


class Airtable(HookProvider):
    """Webhooks of a base, with the fields of the library. They end after seven days."""

    host = "https://api.airtable.com"
    base = "/v0/bases/appAbCdEfGhIjKlMn/webhooks"

    def __init__(self) -> None:
        super().__init__()
        self.ends_at = "2126-12-01T00:00:00.000Z"

    def act(self, request: Outgoing, path: str) -> Answer:
        id, _, verb = path.removeprefix(self.base).removeprefix("/").partition("/")
        if not path.startswith(self.base) or (id and id not in self.hooks):
            return 404, {"error": {"type": "NOT_FOUND", "message": "Could not find what you are looking for"}}
        body: JsonObject = json.loads(request.body) if request.body else {}
        described = mapping_at(descriptions(), "airtable")
        match request.method, verb:
            case "GET", "":
                return 200, {"webhooks": [self._shown(each) for each in self.hooks.values()]}
            case "DELETE", "":
                del self.hooks[id]
                return 200, None
            case "POST", "enableNotifications":
                assert body.keys() == {"enable"}
                self.hooks[id]["areNotificationsEnabled"] = body["enable"]
                return 200, None
            case "POST", "refresh":
                self.hooks[id]["expirationTime"] = self.ends_at
                return 200, {"expirationTime": self.ends_at}
        assert not id
        assert {*body} <= {*_texts(described["CreateWebhook"])}
        new = f"ach{self.new_id()}"
        flags: JsonObject = {"areNotificationsEnabled": True, "isHookEnabled": True, "cursorForNextPayload": 1}
        self.hooks[new] = {
            "id": new,
            "expirationTime": self.ends_at,
            **flags,
            **body,
            "secret": f"{new}IsTheSecret+/A==",
        }
        answer: JsonObject = {"id": new, "macSecretBase64": self.hooks[new]["secret"], "expirationTime": self.ends_at}
        assert answer.keys() == {*_texts(described["CreateWebhookResponse"])}
        return 200, answer

    def _shown(self, hook: JsonObject) -> JsonObject:
        shown = {name: value for name, value in hook.items() if name != "secret"}
        assert {*shown} <= {*_texts(mapping_at(descriptions(), "airtable")["Webhook"])}
        return shown


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
