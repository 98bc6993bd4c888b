"""`hookchain recover`: it counts first, and recovers what somebody agrees to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.cli import deployment_command, recover
from functions.notify.recovery.recovery import OVERLAP_SECONDS
from shared.cloud import platform as cloud_platform
from shared.fetch import Fetched, Outgoing
from shared.journal import EventEntry
from shared.ports import RECOVERED, Bus
from tests.fakes.clock import FakeClock
from tests.fakes.command import Command
from tests.stand_ins.hook_providers import TOKEN
from tests.stand_ins.missed_events import CONFIGURATION, World

SOURCES = """\
  unrouted: {provider: stripe, secret: signing, recover: {secret: token}}
  other: {auth: none}
routes:"""
OWN = CONFIGURATION.replace("from: all", "from: [github, pay]").replace("routes:", SOURCES)


class Deployment:
    """A world whose clock is the command's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
        self.world = World(clock=FakeClock())
        self._command = command
        file = folder / "hookchain.yaml"
        file.write_text(OWN, encoding="utf-8")
        monkeypatch.setenv("HOOKCHAIN_CONFIG", str(file))
        monkeypatch.setenv("TOKEN", TOKEN)
        monkeypatch.setattr(cloud_platform, "fetch", lambda *, keeps=True: self.world)
        monkeypatch.setattr("time.time", self.world.clock.now)
        monkeypatch.setattr(recover, "open_platform", lambda *_: self)
        self.traits = SimpleNamespace(is_local=True)

    @contextmanager
    def state(self) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(reader=SimpleNamespace(event=self._event), bus=self._bus)

    def _event(self, id: str) -> EventEntry | None:
        entries = [each for each in self.world.journal.entries if isinstance(each, EventEntry)]
        return next((each for each in entries if each.event.id == id), None)

    @asynccontextmanager
    async def _bus(self) -> AsyncIterator[Bus]:
        yield self.world.bus

    def __call__(self, *arguments: str, code: int = 0) -> str:
        output = self._command("recover", *arguments, code=code)
        assert TOKEN not in output + self._command.error
        return output

    @property
    def error(self) -> str:
        return self._command.error

    def lose(self) -> None:
        """Lose two events of each provider, and have one of GitHub rejected."""

        async def run() -> None:
            for number in range(2):
                await self.world.github.send({"action": "opened", "number": number}, is_lost=True)
                await self.world.stripe.send(is_lost=True)
            await self.world.github.send({"action": "closed"}, is_lost=True, status=401)

        asyncio.run(run())
        self.world.clock.advance(OVERLAP_SECONDS + 600)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Deployment:
    made = Deployment(tmp_path, monkeypatch, command)
    made.lose()
    return made


def test_a_dry_run_lists_what_would_come_and_does_nothing(deployment: Deployment) -> None:
    output = deployment("github", "--dry-run")
    assert "github: 2 events that GitHub could not deliver" in output
    assert "issues  guid-0" in output
    assert "0 events" in deployment("github", "--since", "10m", "--dry-run")
    assert "1 event that the source rejected: not recovered without --include-rejected" in output
    assert "rejected with 401" in deployment("github", "--dry-run", "--include-rejected")
    assert "last 2 minutes" not in output
    output = deployment("pay", "--dry-run")
    assert "2 events of Stripe that have not arrived" in output
    assert "Those of the last 2 minutes may still be on their way: they are not listed" in output
    assert deployment.world.bus.sent == []
    assert not [call for call in deployment.world.github.calls if call[-4:].isdigit()]  # no event was read


@pytest.mark.parametrize(
    ("source", "more", "ids"),
    [
        ("github", (), ["guid-0", "guid-1"]),
        ("github", ("--include-rejected",), ["guid-0", "guid-1", "guid-2"]),
        ("pay", (), ["evt_0", "evt_1"]),
    ],
)
def test_recovered_events_come_once(deployment: Deployment, source: str, more: tuple[str, ...], ids: list[str]) -> None:
    for number in range(2):
        output = deployment(source, *more, "--yes")
        asyncio.run(deployment.world.pump())
        assert sorted(deployment.world.delivered) == ids
        if number == 0:
            assert f"{source}: {len(ids)} events recovered" in output


def test_an_event_in_an_unknown_form_is_counted_and_the_others_are_recovered(deployment: Deployment) -> None:
    events = deployment.world.stripe.log
    events[0]["type"] = None
    line = "1 event in an unknown form: deliver it again in the settings of the provider"
    assert line in deployment("pay", "--dry-run")
    assert line in deployment("pay", "--yes", code=1)
    assert len(deployment.world.bus.on(RECOVERED)) == 1
    del events[1]
    assert line in deployment("pay", "--yes", code=1)


@pytest.mark.parametrize(
    ("url_part", "status", "fault", "delivered"),
    [
        ("/repos/acme/old/", 404, "GitHub answered 404 to /repos/acme/old/hooks. The token", ["guid-0", "guid-1"]),
        ("/repos/acme/old/", 301, "It was moved or renamed: correct `repositories`", ["guid-0", "guid-1"]),
        ("/deliveries/1000", 500, "/deliveries/1000. Its events are left out", ["guid-1"]),
    ],
)
def test_a_request_that_fails_is_named_and_the_other_events_are_recovered(
    deployment: Deployment, tmp_path: Path, url_part: str, status: int, fault: str, delivered: list[str]
) -> None:
    places = OWN.replace("[acme/shop]", "[acme/old, acme/shop]") if "old" in url_part else OWN
    (tmp_path / "hookchain.yaml").write_text(places, encoding="utf-8")
    answer = deployment.world.github.fetch

    async def fetch(request: Outgoing) -> Fetched:
        return Fetched(status, (), b"{}") if url_part in request.url else await answer(request)

    deployment.world.github.fetch = fetch  # type: ignore[method-assign]
    deployment("github", "--dry-run", code=int("old" in url_part))  # a dry run reads no event
    output = deployment("github", "--yes", code=1)
    assert fault in deployment.error
    assert f"{len(delivered)} event" in output
    asyncio.run(deployment.world.pump())
    assert sorted(deployment.world.delivered) == delivered
    deployment.world.github.is_down = True
    deployment("github", "--dry-run", code=1)


def test_a_listing_ends_at_a_limit_and_says_so(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "MAX_ANSWERS", 1)
    rest = "GitHub lists more than 1 answers; the rest was not read"
    assert rest in deployment("github", "--dry-run")
    assert rest in deployment("github", code=1)


def test_without_consent_nothing_is_recovered(deployment: Deployment, answer: Callable[[str], None]) -> None:
    assert "Nothing was recovered. To do it, add --yes." in deployment("github", code=1)
    answer("n")
    assert "Nothing was recovered." in deployment("github", code=1)
    assert deployment.world.bus.sent == []
    answer("y")
    deployment("github")
    assert len(deployment.world.bus.on(RECOVERED)) == 2


@pytest.mark.parametrize(
    ("source", "code", "rule"),
    [
        ("other", 1, "other: it has no `recover`, so nothing of it can be recovered"),
        ("unrouted", 1, "unrouted: no route takes its events"),
        ("githup", 2, "there is no source 'githup'; did you mean 'github'?"),
    ],
)
def test_an_unrecoverable_source_is_an_error(deployment: Deployment, source: str, code: int, rule: str) -> None:
    deployment(source, code=code)
    assert rule in deployment.error


def test_the_plan_of_a_deployment_names_the_least_rights_of_each_token(tmp_path: Path) -> None:
    file = tmp_path / "hookchain.yaml"
    base = "provider: airtable, secret: base, hook: {token: write, at: appAbCdEfGhIjKlMn, renew: true}"
    text = OWN.replace("acme/shop]}", "acme/shop], redeliver: true}").replace("routes:", f"  base: {{{base}}}\nroutes:")
    file.write_text(text, encoding="utf-8")
    assert deployment_command.token_lines(file, {}) == [
        "notify recovers events of github with the token token. It needs the permission Webhooks: read and write, or "
        "the classic scope write:repo_hook or admin:org_hook",
        "notify recovers events of pay with the token token. It needs a restricted key with read access to Events",
        "notify renews the webhook of base with the token write. It needs a personal access token with the scope "
        "webhook:manage",
    ]
    file.write_text(OWN, encoding="utf-8")
    assert "It needs the permission Webhooks: read, or" in deployment_command.token_lines(file, {})[0]


def test_a_recovery_goes_on_after_the_pause_that_the_provider_wants(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    github = deployment.world.github
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        github.limits = None

    monkeypatch.setattr(recover, "_pause", pause)
    github.limits = len(github.calls) + 5  # the list twice, and one event
    assert "github: 2 events recovered" in deployment("github", "--yes")
    assert pauses == [900.0]
    assert "Waiting 900 s" in deployment.error


def test_a_provider_that_asks_to_wait_is_an_error_with_the_time(deployment: Deployment) -> None:
    deployment.world.github.limits = len(deployment.world.github.calls) + 1
    deployment("github", "--yes", code=1)
    assert "hooks/7/deliveries. Run the command again in 900 s" in deployment.error
    assert deployment.world.bus.sent == []
