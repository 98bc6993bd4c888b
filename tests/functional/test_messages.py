"""Messages, and the requests that the recipes promise, through the engine and a real connection to a stand-in.

A request must be one that the service's published description has, where a package carries one: Google's discovery
documents for Google Chat.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import pytest

from deploy.config.compiler import compile_file, secrets_needed
from functions.notify.read_destinations import read_destinations
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from tests.fakes.notifier import DELIVERY
from tests.gcp.description import Description
from tests.kind_services import RUN, notifier, services
from tests.pipeline import Pipeline

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
