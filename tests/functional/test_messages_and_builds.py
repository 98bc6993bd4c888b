"""Messages and builds through the engine and a real connection to a stand-in of the services.

Each request must be one that the service's published description has, where a package carries one: npm's
@octokit/openapi for GitHub, Google's discovery documents for Google Chat.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest

from deploy.config.compiler import compile_file, secrets_needed
from functions.notify.registry import Destinations, read_destinations
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.fetch import GuardedFetch
from shared.ports import Fetched, Outgoing
from tests.fakes.destinations import a_context
from tests.fakes.notifier import DELIVERY, FakeNotifier, a_delivery
from tests.fakes.secrets import FakeSecrets
from tests.gcp.description import Description
from tests.pipeline import Pipeline

RECIPES: Final = Path("deploy/recipes")
WEBHOOK: Final = "https://hooks.slack.com/services/T1/B1/example-of-a-webhook"
CHAT_WEBHOOK: Final = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=example&token=example"
TELEGRAM_TOKEN: Final = "123456:AAHdqTcvCH1vGWJxfSeofSAs"
TOKEN: Final = "a-token-of-the-test"
RUN: Final[JsonObject] = {
    "workflow_run_id": 7,
    "run_url": "https://api.github.com/repos/example-org/website/actions/runs/7",
    "html_url": "https://github.com/example-org/website/actions/runs/7",
}


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonObject:
        value: JsonObject = json.loads(self.body)
        return value


@dataclass(slots=True)
class Services:
    """All services at one address. The answers are given one after another, and the last one is repeated."""

    url: str
    answers: list[tuple[int, Json, str]]
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, _ = first.split(" ")
        self.asked.append(Asked(method, path, headers, await reader.readexactly(int(headers["content-length"]))))
        status, body, header = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        content = body.encode() if isinstance(body, str) else to_json(body).encode() if body is not None else b""
        head = f"HTTP/1.1 {status} Answer\r\ncontent-length: {len(content)}\r\n{header}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def services(*answers: tuple[int, Json, str]) -> AsyncIterator[Services]:
    made = Services("", list(answers))
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@dataclass(frozen=True, slots=True)
class FetchFromStandIn:
    """The guarded way out, which leads to the stand-in in place of the services' hosts."""

    url: str

    async def fetch(self, request: Outgoing) -> Fetched:
        parts = urlsplit(request.url)
        assert parts.scheme == "https"
        assert not request.allow_private
        url = self.url + request.url.removeprefix(f"https://{parts.netloc}")
        return await GuardedFetch().fetch(request._replace(url=url, allow_private=True))


async def google_token(scope: str) -> str:
    assert scope == "https://www.googleapis.com/auth/cloud-platform"
    return "ya29.example"


def notifier(made: Services, kind: str, settings: JsonObject, secrets: dict[str, str]) -> FakeNotifier:
    """Return notify with this destination as `crm`, which is that of the tests' delivery."""
    fetch, identity = FetchFromStandIn(made.url), CloudIdentity(access_token=google_token)
    context = replace(a_context(), secrets=FakeSecrets(secrets), fetch=lambda: fetch, cloud=lambda: identity)
    crm: JsonObject = {
        "kind": kind,
        "settings": settings,
        "retry_seconds": [5, 300],
        "timeout_seconds": 15,
        "on_unknown": "resend",
    }
    return FakeNotifier(destinations=Destinations(read_destinations({"destinations": {"crm": crm}}), context))


@pytest.fixture(scope="module")
def github_description() -> Callable[[Callable[[str], Path]], JsonObject]:
    read: dict[str, JsonObject] = {}

    def description(node_package: Callable[[str], Path]) -> JsonObject:
        if "" not in read:
            file = node_package("@octokit/openapi") / "generated" / "api.github.com.json"
            read[""] = json.loads(file.read_bytes())
        return read[""]

    return description


def as_json(value: Json) -> JsonObject:
    assert isinstance(value, dict)
    return value


def verify_for_github(asked: Asked, description: JsonObject) -> None:
    """Raise an error unless GitHub's description has this path, and its schema takes the body."""
    template = asked.path.replace("/example-org/", "/{owner}/").replace("/website/", "/{repo}/")
    template = template.replace("/publish.yml/", "/{workflow_id}/")
    operation = as_json(as_json(as_json(description["paths"])[template])[asked.method.lower()])
    body = as_json(operation["requestBody"])
    schema = as_json(as_json(as_json(body["content"])["application/json"])["schema"])
    jsonschema.validate(asked.json(), {**schema, "additionalProperties": False})


async def test_a_slack_message_is_sent_again_after_the_wait_that_slack_asks_for() -> None:
    settings: JsonObject = {"secret": "slack-webhook", "text": "{{ data.name }} signed up"}
    async with services((429, "rate_limited", "retry-after: 120\r\n"), (200, "ok", "")) as made:
        notify = notifier(made, "slack", settings, {"slack-webhook": WEBHOOK})
        await notify.take()
        retry_at = (await notify.row()).retry_at
        assert retry_at is not None
        assert retry_at - notify.clock.now() >= 120
        notify.clock.advance(200)
        await notify.sweep_and_take()

    assert (await notify.row()).state == "delivered"
    assert Counter(asked.path for asked in made.asked) == {"/services/T1/B1/example-of-a-webhook": 2}
    assert made.asked[0].json()["text"] == "Ada signed up"


async def test_a_slack_webhook_that_is_gone_holds_what_is_owed_to_it() -> None:
    async with services((404, "no_service", "")) as made:
        notify = notifier(made, "slack", {"secret": "slack-webhook"}, {"slack-webhook": WEBHOOK})
        assert (await notify.take()).outcome == "held"
        assert (await notify.take(a_delivery(2))).outcome == "held"

    assert len(made.asked) == 1
    reason = (await notify.ledger.destination_state("crm")).disabled_reason
    assert reason is not None
    assert "create a new webhook" in reason


async def test_a_google_chat_message_is_as_google_describes_it_and_a_repeat_has_the_same_id() -> None:
    description = Description("chat", "v1")
    settings: JsonObject = {"secret": "chat-webhook", "thread": "{{ data.name }}", "link": "https://a.example.com"}
    async with services((503, {}, ""), (200, {"name": "spaces/AAAA/messages/B"}, "")) as made:
        notify = notifier(made, "google_chat", settings, {"chat-webhook": CHAT_WEBHOOK})
        await notify.take()
        notify.clock.advance(60)
        await notify.sweep_and_take()

    queries = []
    for asked in made.asked:
        parts = urlsplit(asked.path)
        query = dict(parse_qsl(parts.query))
        assert query.pop("token") == "example"  # of webhooks alone: the description has the API's parameters
        assert description.method(asked.method, parts.path, query, asked.json()).name.endswith("create")
        queries.append(query)
    assert [query["requestId"] for query in queries] == [DELIVERY.id, DELIVERY.id]


async def test_messages_for_discord_telegram_and_teams_go_out() -> None:
    async with services((200, {"ok": True}, "")) as made:
        for kind, settings, secret in (
            ("discord", {}, "https://discord.com/api/webhooks/1/example"),
            ("telegram", {"chat": "-5"}, TELEGRAM_TOKEN),
            ("teams", {}, "https://example.environment.api.powerplatform.com/workflows/1?sig=example"),
        ):
            notify = notifier(made, kind, {**settings, "secret": "the-secret"}, {"the-secret": secret})
            await notify.take()
            assert (await notify.row()).state == "delivered"

    assert [asked.path for asked in made.asked] == [
        "/api/webhooks/1/example?wait=true",
        f"/bot{TELEGRAM_TOKEN}/sendMessage",
        "/workflows/1?sig=example",
    ]


async def test_the_same_event_a_hundred_times_at_once_is_one_workflow_run(
    node_package: Callable[[str], Path],
    github_description: Callable[[Callable[[str], Path]], JsonObject],
) -> None:
    settings: JsonObject = {
        "repository": "example-org/website",
        "workflow": "publish.yml",
        "ref": "main",
        "inputs": {"name": "{{ data.name }}"},
        "secret": "github-token",
    }
    async with services((200, RUN, "")) as made:
        notify = notifier(made, "github", settings, {"github-token": TOKEN})
        await asyncio.gather(*[notify.take() for _ in range(100)])

    [asked] = made.asked
    verify_for_github(asked, github_description(node_package))
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert [attempt.answer for attempt in (await notify.row()).attempts] == [
        "200 run https://github.com/example-org/website/actions/runs/7"
    ]


async def test_a_repository_dispatch_is_as_github_describes_it(
    node_package: Callable[[str], Path],
    github_description: Callable[[Callable[[str], Path]], JsonObject],
) -> None:
    settings: JsonObject = {
        "repository": "example-org/website",
        "event_type": "signed-up",
        "payload": {"event": {"json": "{{ data }}"}, "by": "{{ source }}"},
        "secret": "github-token",
    }
    async with services((204, None, "")) as made:
        await notifier(made, "github", settings, {"github-token": TOKEN}).take()

    [asked] = made.asked
    verify_for_github(asked, github_description(node_package))
    assert asked.json()["client_payload"] == {"event": {"name": "Ada"}, "by": "web"}


async def test_a_pipeline_and_a_job_are_started_and_their_addresses_are_kept() -> None:
    pipeline = "https://gitlab.com/example-org/shop/-/pipelines/7"
    item = "https://jenkins.example.com/queue/item/7/"
    async with services((201, {"web_url": pipeline}, ""), (201, None, f"location: {item}\r\n")) as made:
        gitlab: JsonObject = {"project": "example-org/shop", "ref": "main", "secret": "the-secret"}
        jenkins: JsonObject = {
            "url": "https://jenkins.example.com",
            "job": "deploy",
            "username": "hooks",
            "secret": "the-secret",
            "parameters": {"NAME": "{{ data.name }}"},
        }
        answers = []
        for kind, settings in (("gitlab", gitlab), ("jenkins", jenkins)):
            notify = notifier(made, kind, settings, {"the-secret": TOKEN})
            await notify.take()
            answers += [attempt.answer for attempt in (await notify.row()).attempts]

    assert answers == [f"201 pipeline {pipeline}", f"201 queued {item}"]
    assert made.asked[0].json() == {"token": TOKEN, "ref": "main"}
    assert made.asked[1].body == b"NAME=Ada"


async def test_a_run_of_a_trigger_is_as_google_describes_it_and_its_log_is_kept() -> None:
    description = Description("cloudbuild", "v1")
    settings: JsonObject = {
        "project": "example-project",
        "trigger": "deploy",
        "ref": "v1",
        "ref_type": "tag",
        "substitutions": {"_NAME": "{{ data.name }}"},
    }
    log = "https://console.cloud.google.com/cloud-build/builds/7"
    operation: JsonObject = {"name": "operations/7", "metadata": {"build": {"id": "7", "logUrl": log}}}
    async with services((200, operation, "")) as made:
        notify = notifier(made, "cloud_build", settings, {})
        await notify.take()

    [asked] = made.asked
    method = description.method(asked.method, asked.path, {}, asked.json())
    assert method.name.endswith("triggers.run")
    description.check_answer(method, operation)
    assert asked.headers["authorization"] == "Bearer ya29.example"
    assert [attempt.answer for attempt in (await notify.row()).attempts] == [f"200 build {log}"]


HEADERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"push-to-slack": {"X-GitHub-Event": "push"}, "content-to-github-workflow": {}}
)
EXPECTED: Final[Mapping[str, Json]] = MappingProxyType(
    {
        "push-to-slack": {
            "text": "*ann-example* pushed to example-org/orchard:\n"
            "• Water the apple trees twice a day (Ann Example)\n"
            "<https://github.com/example-org/orchard/compare/6113728f27ae...0d1a26e67d8f|Compare>",
            "unfurl_links": False,
        },
        "content-to-github-workflow": {
            "ref": "main",
            "inputs": {"section": "news", "article": "summer-opening-hours"},
            "return_run_details": True,
        },
    }
)


@pytest.mark.parametrize("recipe", sorted(EXPECTED))
async def test_a_recipes_sample_becomes_the_request_it_promises(recipe: str) -> None:
    slices = compile_file(RECIPES / recipe / "hookchain.yaml", {})
    pipeline = Pipeline(slices, secrets_needed(slices), "a-secret-of-the-recipes-test")
    [source] = pipeline.sources
    headers = {"Content-Type": "application/json", **HEADERS[recipe]}
    [delivery] = await pipeline.deliveries(source, (RECIPES / recipe / "sample.json").read_bytes(), headers)
    configured = read_destinations(slices["notify"])[delivery.destination]
    async with services((200, RUN, "")) as made:
        assert isinstance(configured.settings, dict)
        secret = {str(configured.settings["secret"]): WEBHOOK}
        notify = notifier(made, configured.kind, configured.settings, secret)
        await notify.take(Delivery(delivery.event, delivery.route, "crm"))

    assert [asked.json() for asked in made.asked] == [EXPECTED[recipe]]
