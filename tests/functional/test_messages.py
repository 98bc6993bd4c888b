"""Messages and builds, and the requests that the recipes promise, through the engine to a stand-in of the services.

A request must be one that the service's published description has, where a package carries one: Google's discovery
documents for Google Chat and Cloud Build, and npm's @octokit/openapi for GitHub.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest

from deploy.config.compiler import compile_file, secrets_needed
from functions.notify.registry import read_destinations
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from tests.fakes.notifier import DELIVERY
from tests.gcp.description import Description
from tests.in_process.pipeline import Pipeline
from tests.stand_ins.kind_services import RUN, Asked, notifier, services

RECIPES: Final = Path("deploy/recipes")
WEBHOOK: Final = "https://hooks.slack.com/services/T1/B1/example-of-a-webhook"
CHAT_WEBHOOK: Final = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=example&token=example"


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


TOKEN: Final = "a-token-of-the-test"


@cache
def description_in(package: Path) -> JsonObject:
    """Return GitHub's description of its API."""
    return as_json(json.loads((package / "generated" / "api.github.com.json").read_bytes()))


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


async def test_the_same_event_a_hundred_times_at_once_is_one_workflow_run(
    node_package: Callable[[str], Path],
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
    verify_for_github(asked, description_in(node_package("@octokit/openapi")))
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert [attempt.answer for attempt in (await notify.row()).attempts] == [
        "200 run https://github.com/example-org/website/actions/runs/7"
    ]


async def test_a_repository_dispatch_is_as_github_describes_it(
    node_package: Callable[[str], Path],
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
    verify_for_github(asked, description_in(node_package("@octokit/openapi")))
    assert asked.json()["client_payload"] == {"event": {"name": "Ada"}, "by": "web"}


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
