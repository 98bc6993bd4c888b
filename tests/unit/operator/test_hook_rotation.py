"""No request is rejected while a secret is rotated, whenever each instance has read the secret."""

from collections.abc import Sequence
from typing import Final

import pytest

from deploy.hooks.api import HookApi
from deploy.hooks.kind import Wanted
from deploy.hooks.kinds import KINDS
from deploy.hooks.registration import Registration
from deploy.hooks.row import LOCK_SECONDS, Row
from deploy.hooks.session import HookSession
from deploy.platforms.platform import INSTANCE_SECONDS
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json
from shared.secrets import CACHE_SECONDS, READ_SECONDS, SecretStore, SecretStoreUnreachable
from tests.fakes.clock import FakeClock
from tests.fakes.documents import FakeDocuments
from tests.stand_ins.hook_providers import TOKEN, GitHub, HookProvider, Stripe

START: Final = 1_000_000.0
URL: Final = "https://hooks.example.com/in"
SIGNING_KEY: Final = {"github": ("config", "secret"), "stripe": ("secret",)}


class World:
    """A clock, a secret with its history, and what the provider signs with at each moment."""

    def __init__(self, provider: HookProvider, source: str, *values: str) -> None:
        self.time = START
        self.history: list[tuple[float, Sequence[str]]] = [(START - CACHE_SECONDS, values)]
        self.provider = provider
        self.documents = FakeDocuments()
        self.waits: list[float] = []
        session = HookSession(
            HookApi(source, KINDS[source], provider, TOKEN, "token"),
            Wanted(source, URL),
            self,
            Row(self.documents, source, lambda: self.time),
            lambda _: None,
            self.waits.append,
            now=lambda: self.time,
            sleep=self.sleep,
        )
        self.registration = Registration(session, ["acme/shop" if source == "github" else ""])
        provider.on_request = lambda _: self.check()
        self.key = SIGNING_KEY[source]

    # The secret in its store

    def values(self) -> Sequence[str]:
        return self.history[-1][1]

    def set_at(self) -> float | None:
        return self.history[-1][0]

    def store(self, values: Sequence[str]) -> None:
        self.history.append((self.time, tuple(values)))

    def verify_writable(self) -> None:
        pass

    def seconds_until_read(self, stored_at: float, now: float) -> float:
        return stored_at + CACHE_SECONDS - now

    async def add_value(self) -> None:
        self.store(("new value", *self.values()))

    async def sleep(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):  # ten events a second
            self.time += 0.1
            self.check()
        self.time += seconds - int(seconds * 10) / 10

    # The requests

    def check(self) -> None:
        """Each instance accepts what the provider signs now, whenever in the last five minutes it read the secret."""
        for secret in self.signing():
            for read_at in (self.time - CACHE_SECONDS, self.time - CACHE_SECONDS / 2, self.time):
                [*_, known] = [values for at, values in self.history if at <= read_at]
                assert secret in known, (self.time - START, read_at - START)

    def signing(self) -> list[Json]:
        found = [each for each in self.provider.hooks.values() if each.get("status", "enabled") == "enabled"]
        return [self._key_of(each) for each in found]

    def _key_of(self, hook: Json) -> Json:
        for part in self.key:
            assert isinstance(hook, dict)
            hook = hook[part]
        return hook


async def registered(provider: HookProvider, source: str, *values: str) -> World:
    world = World(provider, source, *values)
    await world.registration.session.row.lock()
    provider.on_request = lambda _: None  # the creation itself: Stripe's hook is enabled for the moment of one request
    for each in await world.registration.plan():
        await world.registration.apply(each)
    world.time += CACHE_SECONDS
    provider.on_request = lambda _: world.check()
    return world


@pytest.mark.parametrize(
    ("provider", "source", "values"), [(GitHub(), "github", ("old value",)), (Stripe(), "stripe", ())]
)
async def test_no_event_of_ten_a_second_fails(provider: HookProvider, source: str, values: tuple[str, ...]) -> None:
    world = await registered(provider, source, *values)
    before = world.signing()
    if source == "stripe":  # its new endpoint is enabled until it is disabled; the old one sends the same events
        provider.on_request = lambda _: None
    await world.registration.rotate(world.add_value)
    world.check()
    assert world.signing() != before
    assert len(world.signing()) == 1
    assert max(world.waits) == CACHE_SECONDS
    assert before[0] in world.values(), "requests that are retried have the old signature"


async def test_an_instance_has_the_new_value_in_time_although_the_store_does_not_answer_it_once() -> None:
    clock = FakeClock(START)
    stored = "old value"
    answers = iter([True, False, True])

    async def manager(_: str) -> str:
        clock.advance(READ_SECONDS)  # the slowest read
        if not next(answers):
            raise SecretStoreUnreachable("secret_unavailable", "it answered 429")
        return stored

    secrets = SecretStore((), clock, manager)
    await secrets.values("github-secret")
    stored = "new value"
    stored_at = clock.now() - READ_SECONDS  # while the instance read the old one
    while (values := await secrets.values("github-secret")) == ("old value",):
        clock.advance(0.1)
    assert values == ("new value",)
    assert clock.now() < stored_at + INSTANCE_SECONDS


async def test_a_newer_value_that_follows_a_lost_answer_is_given_to_the_provider_once_every_instance_has_it() -> None:
    world = await registered(GitHub(), "github", "old value")
    world.provider.loses = ["PATCH"]
    with pytest.raises(CommandError, match="did not answer"):
        await world.registration.rotate(world.add_value)
    world.store(("newer value", *world.values()))
    await world.registration.rotate(None)
    world.check()
    assert world.signing() == ["newer value"]


async def test_the_lock_is_renewed_while_it_waits() -> None:
    world = await registered(GitHub(), "github", "old value")
    second = Row(world.documents, "github", lambda: world.time)
    rejected: list[str] = []

    async def sleep(seconds: float) -> None:
        world.time += seconds
        with pytest.raises(CommandError, match="another command is changing the hooks of github"):
            await second.lock()
        rejected.append("")

    object.__setattr__(world.registration.session, "sleep", sleep)
    await world.registration.rotate(world.add_value)
    assert len(rejected) * 15 >= CACHE_SECONDS > LOCK_SECONDS
    await world.registration.session.row.unlock()
    await second.read()
    await second.lock()


async def test_a_command_that_was_killed_blocks_no_other_for_long() -> None:
    world = await registered(GitHub(), "github", "old value")
    second = Row(world.documents, "github", lambda: world.time)
    await world.registration.session.row.save()
    with pytest.raises(CommandError, match="try again in 120 s"):
        await second.lock()
    world.time += LOCK_SECONDS
    await second.lock()
    with pytest.raises(CommandError, match="another command has changed the hooks"):
        await world.registration.session.row.save()
