"""`hookchain inspect --platform gcp`: the page on this machine over the journal of an emulated Google Cloud."""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from shared.jsontext import Json, JsonObject, objects_at
from tests.functional.test_inspector_views import choose
from tests.gcloud.stub import install
from tests.gcp.deployment import PROJECT, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore
from tests.running.chromium import Page, chromium_or_skip, chromium_page
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, Request, started, wait_for
from tests.stand_ins.google_apis import standing_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

JSON: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Inspected:
    deployed: Deployed
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, path: str, body: JsonObject | None = None, headers: Mapping[str, str] = JSON
    ) -> tuple[int, JsonObject]:
        data = None if body is None else json.dumps(body).encode()
        authorized = {**headers, "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + path, data, authorized)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                document: Json = json.loads(answer.read())
                return answer.status, document if isinstance(document, dict) else {}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {}

    def rows(self, name: str, path: str) -> list[JsonObject]:
        return objects_at(self.ask(path)[1], name)

    def status(self, event_id: str) -> str:
        return str(self.ask(f"/api/events/{event_id}")[1].get("status", ""))


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspected]:
    folder = tmp_path_factory.mktemp("cloud")
    gcloud = install(folder / "bin")
    gcloud.answers("auth print-access-token", "ya29.token\n")
    with deploy(folder, MemoryStore()) as deployed, standing_in() as google:
        google.answers(f"/monitoring/v3/projects/{PROJECT}/timeSeries", {})
        port = free_port()
        command = [sys.executable, "-m", "deploy.cli", "inspect", "--platform", "gcp", "--project", PROJECT]
        environ = {**deployed.environ, **google.environ, "PATH": gcloud.path}
        ready = Request("/", b"", {})
        with started([*command, "--port", str(port)], environ, port, ready, ready="open") as running:
            wait_for(lambda: "shows hookchain in a-project" in running.output())
            [token] = re.findall(r"/\?token=(\S+) shows", running.output())
            yield Inspected(deployed, port, token)


async def test_an_event_is_shown_whole_and_found(inspected: Inspected) -> None:
    event_id = inspected.deployed.post(id="1", name="Ada Lovelace")
    wait_for(lambda: inspected.status(event_id) == "delivered")
    status, record = inspected.ask(f"/api/events/{event_id}")
    assert (status, record["passes"], record["requests"], record["mails"]) == (200, 1, [], {})
    assert [row["id"] for row in inspected.rows("events", "/api/events?text=lovelace&status=delivered")] == [event_id]
    assert inspected.rows("events", "/api/events?text=babbage") == []
    assert [row["event_id"] for row in inspected.rows("deliveries", "/api/deliveries?state=delivered")] == [event_id]


async def test_the_map_is_shown_and_longer_spans_come_from_the_metrics(inspected: Inspected) -> None:
    status, found = inspected.ask("/api/map")
    assert (status, isinstance(found["svg"], str)) == (200, True)
    status, charts = inspected.ask("/api/charts?span=hour")
    assert (status, charts["delivered"], charts["destinations"]) == (200, [0] * 60, [])
    assert "no time to delivery" in str(charts["missing"])


async def test_an_event_is_replayed_from_the_page(inspected: Inspected) -> None:
    event_id = inspected.deployed.post(id="again")
    wait_for(lambda: inspected.status(event_id) == "delivered")
    assert inspected.ask("/api/replay", {"id": event_id, "force": True})[0] == 200
    wait_for(lambda: inspected.deployed.mails().count("Order again") == 2)


async def test_a_dead_letter_is_dropped_from_the_page(inspected: Inspected) -> None:
    event_id = inspected.deployed.post(id="refused", to="eve@elsewhere.example")
    wait_for(lambda: len(inspected.rows("dead_letters", "/api/dead-letters")) == 1)
    assert inspected.status(event_id) == "dead_lettered"
    [letter] = inspected.rows("dead_letters", "/api/dead-letters")
    assert inspected.ask("/api/dead-letters/drop", {"ids": [letter["id"]]}) == (200, {"dropped": 1})
    assert inspected.rows("dead_letters", "/api/dead-letters") == []


async def test_a_release_from_the_page_counts_what_was_held(inspected: Inspected) -> None:
    inspected.deployed.emulation.ask("POST", "/emulator/faults", {"mail": {"next": [{"kind": "403", "count": 1}]}})
    event_id = inspected.deployed.post(id="held")
    wait_for(lambda: inspected.status(event_id) == "held")
    assert inspected.ask("/api/release/inbox", {}) == (200, {"released": 1})


@pytest.mark.parametrize("path", ["/api/mail", "/api/mail/1", "/api/mail-sink"])
async def test_what_only_the_emulation_has_is_not_there(inspected: Inspected, path: str) -> None:
    assert inspected.ask(path)[0] == 404


@pytest_asyncio.fixture(loop_scope="module")
async def page(inspected: Inspected, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with chromium_page(chromium_or_skip(), tmp_path_factory.mktemp("profile")) as made:
        await made.look(1400, 900)
        await made.open(f"{inspected.url}/?token={inspected.token}")
        yield made
        assert made.faults == []


async def test_the_page_says_which_bundle_it_shows_and_follows_it(inspected: Inspected, page: Page) -> None:
    await page.until_shown("hookchain in a-project", "#cloud")
    await page.until_shown("Live")
    inspected.deployed.post(id="live", event="seen.live")
    await page.until_shown("seen.live", ".rows")
    local_tabs = "#tabs [data-name=mail], #tabs [data-name=rejected], #tabs [data-name=sheets]"
    await page.until(f"[...document.querySelectorAll('{local_tabs}')].every((tab) => tab.hidden)")
    await page.until("document.getElementById('sink').hidden")
    await choose(page, "Span of the plots", "Last hour")
    await page.until_shown("no time to delivery", ".faint[role=status]")
    assert "Time to delivery" not in await page.text(".plots")
    await page.click(".rows a", "seen.live")
    await page.until_shown("Its request is in receive's log", ".stage")
