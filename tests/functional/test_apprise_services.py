"""The kind `apprise` against stand-ins of four services on a loopback port, through the real guarded way out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from functions.notify.destination import Context
from functions.notify.destinations.apprise import apprise
from functions.notify.destinations.apprise.apprise import Settings
from functions.notify.http_kind import ATTEMPT, example_delivery
from shared.delivery import Delivered, Outcome, RetryLater
from shared.outgoing.guarded_fetch import GuardedFetch
from shared.settings import read_settings
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

pytest.importorskip("apprise")

TEXT = "Disk full on db-1"

# The URL, what the service answers, and where in its request the text stands.
SERVICES = {
    "Gotify": ("gotify://{place}/Atoken123", "/message", 200, {"id": 1}, "message"),
    "Mattermost": ("mmost://{place}/aaaaaaaaaaaaaaaaaaaaaaaaaa", "/hooks/" + "a" * 26, 200, "ok", "text"),
    "Home Assistant": (
        "hassio://{place}/long-lived-token",
        "/api/services/persistent_notification/create",
        200,
        [],
        "message",
    ),
    "Rocket.Chat": (
        "rocket://a/" + "b" * 17 + "@{place}/#alerts?mode=webhook",
        "",
        200,
        {"success": True},
        "text",
    ),
}


@dataclass
class StandIn:
    """Answers every request with one status and body, and keeps what it got."""

    place: str = ""
    status: int = 200
    answer: object = None
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, object]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.bodies.append(await request.json())
        return web.json_response(self.answer, status=self.status, headers=self.headers)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    found = StandIn()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.place = f"127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def attempt(url: str) -> Outcome:
    context = Context(FakeSecrets({"u": url}), read_settings({}), None, FakeClock(), fetch=GuardedFetch)
    destination = apprise.connect("alerts", Settings(secret="u", allow_private=True), context)
    return await destination.attempt(example_delivery(TEXT), ATTEMPT)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_message_reaches_the_service(service: str, stand_in: StandIn) -> None:
    url, path, stand_in.status, stand_in.answer, name = SERVICES[service]

    assert isinstance(await attempt(url.format(place=stand_in.place)), Delivered)
    assert TEXT in str(stand_in.bodies[-1][name])
    assert stand_in.paths[-1].startswith(path)


@pytest.mark.parametrize("service", SERVICES)
async def test_an_overloaded_service_says_when_to_come_again(service: str, stand_in: StandIn) -> None:
    url, _, _, _, _ = SERVICES[service]
    stand_in.status, stand_in.headers = 429, {"Retry-After": "90"}

    outcome = await attempt(url.format(place=stand_in.place))
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == 90
    assert len(stand_in.paths) == 1


async def test_a_redirect_is_not_followed(stand_in: StandIn) -> None:
    stand_in.status, stand_in.headers = 307, {"Location": f"http://{stand_in.place}/elsewhere"}

    assert isinstance(await attempt(f"gotify://{stand_in.place}/Atoken123"), RetryLater)
    assert stand_in.paths == ["/message"]


async def test_many_messages_at_once_all_arrive(stand_in: StandIn) -> None:
    url = f"gotify://{stand_in.place}/Atoken123"
    outcomes = await asyncio.gather(*(attempt(url) for _ in range(40)))

    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert len(stand_in.paths) == 40
