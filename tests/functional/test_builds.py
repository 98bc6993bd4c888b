"""Builds and pipelines that an event starts, through the engine and a real connection to a stand-in of the services.

Each request to GitHub must be one that its published description has: npm's @octokit/openapi.
"""

import asyncio
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import jsonschema

from shared.jsontext import Json, JsonObject
from tests.gcp.description import Description
from tests.kind_services import RUN, Asked, notifier, services

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
