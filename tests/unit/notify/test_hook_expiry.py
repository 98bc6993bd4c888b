"""Webhooks that expire: renewed beside the sweep with the provider's token, and else an alert days before."""

import json
from typing import Final

import pytest

from deploy.hooks.comparison import RememberedHook
from deploy.hooks.row import Row, stored_document
from functions.notify.alerts.publisher import AlertPublisher, AlertSettings
from functions.notify.hook_expiry import PARTITION, RENEW_SECONDS, SOON_SECONDS, HookExpiry
from shared.fetch import Fetched
from shared.jsontext import JsonObject, mapping_at, mappings_at, value_at
from shared.ports import DELIVERIES
from shared.times import rfc3339
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.configurations import compile_text
from tests.fakes.documents import FakeDocuments
from tests.fakes.fetch import FakeFetch
from tests.fakes.records import FakeRecords
from tests.fakes.secrets import FakeSecrets

BASE: Final = "appAbCdEfGhIjKlMn"
URL: Final = f"https://api.airtable.com/v0/bases/{BASE}/webhooks/ach1/refresh"
TOKEN: Final = "a token that Airtable issued"
CONFIG: Final = f"""
sources:
  rows: {{provider: airtable, secret: rows-secret, hook: {{token: rows-token, at: {BASE}, renew: true}}}}
routes: [{{name: all, from: rows, to: people}}]
destinations: {{people: {{email: {{to: ann@example.com}}}}}}
alerts: {{to: people}}
"""


class World:
    """A source with one hook, which expires in `left` seconds. `lock` is that of the commands."""

    def __init__(
        self,
        config: str = CONFIG,
        left: float = RENEW_SECONDS - 1,
        lock: JsonObject | None = None,
        **remembered: object,
    ) -> None:
        self.clock = FakeClock()
        self.documents, self.records, self.bus = FakeDocuments(), FakeRecords(), FakeBus()
        self.secrets = FakeSecrets({"rows-token": TOKEN})
        self.new_expiry = self.clock.now() + 7 * 86_400
        answer = json.dumps({"expirationTime": rfc3339(self.new_expiry)}).encode()
        self.fetch = FakeFetch({URL: Fetched(200, (), answer)})
        settings = AlertSettings(("people",), {}, {"people": frozenset()})
        self.row = RememberedHook("ach1", "https://x.example/rows", is_made=True, expires_at=self.clock.now() + left)
        self.expiry = HookExpiry(
            mappings_at(compile_text(config)["notify"], "hooks"),
            self.documents,
            self.fetch,
            self.secrets,
            self.clock,
            AlertPublisher(settings, self.bus),
            lambda: self.records,
        )
        self.lock = lock or {}
        self.remembered = remembered

    async def check(self) -> None:
        hook = {**stored_document(self.row), **self.remembered}
        text = json.dumps({"hooks": {BASE: hook}, "lock": self.lock, "of a later version": 1})
        await self.documents.write(PARTITION, "rows", text)
        await self.expiry.check()

    async def expires_at(self) -> float:
        row = Row(self.documents, "rows", self.clock.now)
        await row.read()
        return row.hooks[BASE].expires_at

    @property
    def alerts(self) -> list[JsonObject]:
        events = [mapping_at(json.loads(message.data), "data", "event") for message in self.bus.on(DELIVERIES)]
        return [mapping_at(each, "data") for each in events]


async def test_a_hook_that_expires_in_days_is_renewed_and_its_new_expiry_remembered() -> None:
    world = World()
    await world.check()
    [request] = world.fetch.asked
    assert (request.method, request.url, dict(request.headers)) == (
        "POST",
        URL,
        {"Authorization": f"Bearer {TOKEN}"},
    )
    assert await world.expires_at() == world.new_expiry
    kept = json.loads(world.documents.kept[PARTITION, "rows"].text)
    assert kept["of a later version"] == 1
    assert {**kept["hooks"][BASE], "expires_at": 0} == {**stored_document(world.row), "known": [], "expires_at": 0}
    assert world.alerts == []


@pytest.mark.parametrize(
    "world",
    [
        World(left=RENEW_SECONDS + 1),
        World(id="", stage="creating"),
        World(expires_at=0.0),
        World(CONFIG.replace(", renew: true", "")),
        World(lock={"by": "another", "until": FakeClock().now() + 1}),
    ],
    ids=[
        "it expires later",
        "it is being created",
        "its expiry is not known",
        "without renew",
        "while a command changes it",
    ],
)
async def test_other_hooks_are_left_alone(world: World) -> None:
    before = world.remembered.get("expires_at", world.row.expires_at)
    await world.check()
    assert world.fetch.asked == []
    assert await world.expires_at() == before


async def test_a_hook_is_renewed_while_the_command_that_replaces_it_is_interrupted() -> None:
    world = World(stage="stored", new_id="ach2")
    await world.check()
    assert [request.url for request in world.fetch.asked] == [URL]
    assert await world.expires_at() == world.new_expiry


async def test_a_command_that_changed_the_row_meanwhile_wins() -> None:
    world = World()
    fetch = world.fetch.fetch

    async def change(request):  # type: ignore[no-untyped-def]
        await world.documents.write(PARTITION, "rows", json.dumps({"hooks": {}}))
        return await fetch(request)

    world.fetch.fetch = change  # type: ignore[method-assign]
    await world.check()
    assert json.loads(world.documents.kept[PARTITION, "rows"].text) == {"hooks": {}}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Fetched(401, (), b'{"error": "no"}'), f"{BASE}: the provider answered 401"),
        (Fetched(503, (), b""), f"{BASE}: the provider answered 503"),
        (Fetched(200, (), b"{}"), f"{BASE}: it has no expiry"),
        (Fetched(200, (), b"{"), f"{BASE}: it has no expiry"),
        (Fetched(200, (), b"[" * 100_000), f"{BASE}: it has no expiry"),
        (Fetched(200, (), b'{"expirationTime": "0001-01-01T00:00:00+23:59"}'), f"{BASE}: it has no expiry"),
        (
            Fetched(200, (), b'{"expirationTime": "2001-01-01T00:00:00Z"}'),
            f"{BASE}: the provider answered, but it still",
        ),
        (None, f"{BASE}: api.airtable.com refused the connection"),
    ],
)
async def test_a_renewal_that_fails_is_a_line_and_days_before_the_end_an_alert(
    answer: Fetched | None, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(left=SOON_SECONDS + 1)
    world.fetch.answers = {URL: answer} if answer else {}
    await world.check()
    line = capsys.readouterr().out
    assert "webhook not renewed" in line
    assert text in line
    assert TOKEN not in line
    assert world.alerts == []
    world.clock.advance(2)
    await world.check()
    await world.check()
    [alert] = world.alerts
    assert (alert["kind"], alert["source"]) == ("hook_expires", "rows")
    assert value_at(alert, "expires_at") == rfc3339(world.row.expires_at)
    assert alert["command"] == "hookchain hooks apply rows"
    assert str(alert["reason"]).startswith(f"its webhook at {BASE} expires at ")


async def test_each_expiry_makes_one_alert_even_after_a_crash() -> None:
    world = World(CONFIG.replace(", renew: true", ""), left=SOON_SECONDS - 1)
    await world.check()
    world.records.kept.clear()
    await world.check()
    first, again = (json.loads(message.data) for message in world.bus.on(DELIVERIES))
    assert first["id"] == again["id"]
    world.row = RememberedHook("ach1", world.row.url, expires_at=world.row.expires_at - 60)
    await world.check()
    assert len(world.alerts) == 3


def test_the_slice_has_the_token_only_with_renew() -> None:
    assert compile_text(CONFIG)["notify"]["hooks"] == {
        "rows": {
            "secret": "rows-token",
            "method": "POST",
            "urls": {BASE: URL.replace("ach1", "{id}")},
            "headers": {"Authorization": "Bearer {token}"},
            "expiry": "expirationTime",
            "allow_private": False,
        }
    }
    assert compile_text(CONFIG.replace(", renew: true", ""))["notify"]["hooks"] == {"rows": {}}
    assert "hooks" not in compile_text(CONFIG.replace(", renew: true", "").partition("alerts")[0])["notify"]
