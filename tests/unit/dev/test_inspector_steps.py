"""The effect of each step on an event, as the inspector shows it."""

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from deploy.dev.inspector.app import make_app, open_backend
from shared.claim_check import MAX_INLINE_BYTES, checked_in
from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.event import Event
from shared.journal import EventEntry
from shared.jsontext import Json, JsonObject, objects_at, to_json
from shared.settings import read_settings
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from tests.fakes.configurations import compile_text
from tests.unit.dev.inspected import AUTHORIZED, TOKEN

NOW: Final = 1_790_000_000.0
CONFIG: Final = """\
sources: {web: {auth: none}}
routes:
  - name: tell
    types: [signup.*]
    steps: [{drop: [data.password]}, {set: {data.team: north}}]
    to: list
  - {name: once, steps: [{deduplicate: data.name}], to: list}
  - {name: asks, steps: [{fetch: {url: "https://api.example.com/x", into: data.x}}], to: list}
  - {name: sealed, steps: [{encrypt: {secret: data-key}}], to: list}
  - {name: orders, types: [order.*], to: list}
destinations: {list: {email: {to: a@example.com, subject: x}}}
"""
EVENT: Final = Event(
    "e1", "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "00", {"name": "Ada", "password": "hunter2"}
)


@dataclass(frozen=True, slots=True)
class Page:
    client: "TestClient[Request, Application]"
    state: Path

    async def steps(self, event_id: str = "e1") -> tuple[int, list[JsonObject]]:
        async with self.client.get(f"/api/events/{event_id}/steps") as answer:
            document: Json = await answer.json() if answer.status == 200 else {}
        return answer.status, objects_at(document, "routes")

    def configure(self, text: str) -> None:
        folder, compiled = self.state / "slices", compile_text(text)
        folder.mkdir(exist_ok=True)
        for name in ("transform", "notify"):
            (folder / f"{name}.json").write_text(to_json(compiled[name]), encoding="utf-8")


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with open_backend(tmp_path, "127.0.0.1:9", read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"})) as parts:
        light, _ = await checked_in(
            Event("e2", "/sources/web", "signup.x", EVENT.receivedat, "00", {"text": "x" * MAX_INLINE_BYTES}),
            parts.blobs,
            "e2",
        )
        await parts.journal.record([EventEntry(EVENT, (), NOW), EventEntry(light, (), NOW)])
        async with TestClient(TestServer(make_app(parts, TOKEN)), headers=AUTHORIZED) as client:
            yield Page(client, tmp_path)


async def test_each_step_of_each_route_is_shown_with_what_it_changed(page: Page) -> None:
    page.configure(CONFIG)
    status, routes = await page.steps()

    assert status == 200
    assert [(route["route"], route["matched"], route["code"]) for route in routes] == [
        ("tell", True, None),
        ("once", True, None),
        ("asks", True, "offline"),
        ("sealed", True, "secret_unavailable"),
        ("orders", False, None),
    ]
    [dropped, _] = objects_at(routes[0], "steps")
    assert (dropped["label"], dropped["diff"]) == ("step 1 'drop'", ['- data.password: "hunter2"'])
    assert (
        to_json([routes[2], routes[3]]).count('"outcome":"not_computed"') == 2
    )  # the functions do have what they need
    assert routes[4]["reason"] == "type 'signup.created' does not match order.*"


async def test_looking_makes_no_event_the_owner_of_its_key_and_tells_who_is(page: Page) -> None:
    page.configure(CONFIG)
    await page.steps()
    assert not (page.state / "owners.db").exists()

    owners = DocumentOwners(LocalDocuments(page.state / "owners.db", "owners"))
    _, routes = await page.steps()
    assert "unchanged" in str(routes[1]["steps"])
    owners.close()


async def test_without_the_event_or_a_configuration_there_is_nothing_to_tell(page: Page) -> None:
    assert (await page.steps())[0] == 404
    page.configure(CONFIG)
    assert (await page.steps("e9"))[0] == 404


SUBSCRIBERS: Final = """\
sources: {web: {auth: none}}
routes: [{name: tell, to: customers}]
destinations: {customers: {subscribers: {tenant: data.name}}}
subscribers: {}
"""


async def test_the_endpoints_that_get_the_event_are_shown(page: Page) -> None:
    page.configure(SUBSCRIBERS)
    with closing(LocalDocuments(page.state / FILE_NAME)) as documents:
        await documents.write(TENANTS, "Ada", Tenant(id="Ada").text())
        endpoint = Endpoint(id=f"ep_{1:020}", tenant="Ada", url="https://a.example.com", types=("order.*",))
        await documents.write(endpoints_of("Ada"), endpoint.id, endpoint.text())
    _, [tell] = await page.steps()
    [fan_out] = objects_at(tell, "fan_outs")
    assert f"ep_{1:020} https://a.example.com: no, it takes the types order.*" in to_json(fan_out["lines"])
