"""Endpoints of subscribers as destinations: their requests, their rates, and when one counts as failing."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final

import pytest
from standardwebhooks import Webhook

from functions.notify.destinations.webhook import webhook
from functions.notify.examples import compile_settings
from functions.notify.registry import Target
from functions.notify.subscribers import endpoints, subscribers
from functions.notify.subscribers.subscribers import SubscriberSettings
from shared.delivery import Delivery, delivery_from
from shared.event import Event
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, from_json, mapping_at
from shared.ledger import PAUSED_BY_OPERATOR, DestinationState
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.subscribers.directory import Directory, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from shared.subscribers.operational_events import operational_event
from shared.subscribers.sealing import KEY_SECRET
from tests.fakes.fan_out import OK, PAID, SIGNING, FakeWorld, endpoint_id, paid, sealed

URL: Final = "https://acme-1.example.com/in"
NAME: Final = f"customers:acme:{endpoint_id(1)}"


async def a_world(
    settings: SubscriberSettings | None = None, options: JsonObject | None = None, **fields: object
) -> FakeWorld:
    world = FakeWorld(options, settings)
    await world.tenant()
    await world.endpoint(1, **fields)  # type: ignore[arg-type]
    return world


def headers(world: FakeWorld) -> dict[str, str]:
    return dict(world.fetch.asked[-1].headers)


async def test_a_receiver_that_repeats_the_tenants_own_headers_leaves_none_of_them_in_the_log() -> None:
    world = await a_world(headers={"X-Api-Key": "a-key-of-acme"})
    world.fetch.answers[URL] = Fetched(500, (), b"bad key a-key-of-acme")
    await world.deliver()
    assert (await world.row(NAME)).answer == "500 bad key ***"


NO_MORE: Final = (("webhook-delivery", "disable"),)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Fetched(410, (), b""), ("dead_lettered", "endpoint_disabled")),
        (Fetched(500, NO_MORE, b""), ("dead_lettered", "endpoint_disabled")),
        (Fetched(200, NO_MORE, b""), ("delivered", None)),
    ],
)
async def test_a_receiver_that_wants_no_more_disables_its_endpoint(
    answer: Fetched, outcome: tuple[str, str | None]
) -> None:
    world = await a_world()
    world.fetch.answers[URL] = answer
    _, result = await world.deliver()
    assert (result.outcome, result.code) == outcome
    endpoint = await world.read()
    assert (endpoint.disabled_by, endpoint.disabled_at) == ("receiver", world.clock.now())
    assert endpoint.disabled_reason
    assert world.bus.on(DEAD_LETTERS) == []
    world.clock.advance(11)
    assert [each.outcome for each in await world.deliver(paid(2))] == ["delivered"], "the fan-out alone"
    assert len(await world.messages()) == 2


async def test_a_delivery_that_failed_for_good_has_no_dead_letter_because_the_message_is_kept() -> None:
    world = await a_world()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    for _ in range(3):
        world.clock.advance(2 * 3_600)
        results = await world.sweep()
    assert [(each.outcome, each.code) for each in results] == [("dead_lettered", "retries_exhausted")]
    assert world.bus.on(DEAD_LETTERS) == []
    row = await world.row(NAME)
    assert row.reason == "retries_exhausted: attempt 4, the last: the receiver answered 500"
    assert len(await world.messages()) == 1
    assert {dict(each.headers)["webhook-id"] for each in world.fetch.asked} == {row.key}


@pytest.mark.parametrize("code", ["endpoint_deleted", "endpoint_disabled"])
async def test_what_is_owed_to_an_endpoint_that_is_gone_or_disabled_is_final(code: str) -> None:
    world = await a_world()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    if code == "endpoint_deleted":
        await world.documents.delete(endpoints_of("acme"), endpoint_id(1))
    else:
        await world.endpoint(1, disabled_by="tenant", disabled_reason="not needed")
    world.clock.advance(11)
    (result,) = await world.sweep()
    assert (result.outcome, result.code) == ("dead_lettered", code)
    assert len(world.fetch.asked) == 1
    assert world.bus.on(DEAD_LETTERS) == []


async def test_an_endpoint_of_a_destination_that_is_not_configured_is_final() -> None:
    world = await a_world()
    for name in ("crm:acme:" + endpoint_id(1), "customers:acme:x", "customers:acme"):
        await world.notifier.take(Delivery(PAID, "to customers", name))
        row = await world.row(name)
        assert row.reason.startswith("unknown_destination: the configuration has no destination")


async def test_an_endpoint_that_keeps_failing_is_paused_by_itself() -> None:
    breaker: JsonObject = {"failures": 2, "pause_seconds": 60.0, "max_pause_seconds": 3_600.0}
    world = await a_world(options={"breaker": breaker})
    await world.endpoint(2)
    world.fetch.answers[URL] = Fetched(500, (), b"")
    for number in range(1, 5):
        await world.deliver(paid(number))
    assert world.asked().count("acme-1") == 2
    assert world.asked().count("acme-2") == 4
    assert (await world.ledger.destination_state("customers")) == DestinationState()
    assert (await world.ledger.destination_state(NAME)).paused_until is not None
    world.clock.advance(30)
    assert await world.sweep() == [], "the sweep leaves what waits for a paused endpoint where it is"
    world.fetch.answers[URL] = OK
    for _ in range(6):
        world.clock.advance(60)
        await world.sweep()
    assert {row.state for row in await world.ledger.rows(100)} == {"delivered"}


@pytest.mark.parametrize(
    ("own", "configured", "held"),
    [
        ("2/h", None, (2, 3_600.0)),
        ("2/h", [5, 3_600.0], (2, 3_600.0)),
        ("9/s", [3, 3_600.0], (3, 3_600.0)),
        ("", [3, 3_600.0], (3, 3_600.0)),
        ("often", None, None),
    ],
)
async def test_an_endpoints_own_rate_holds_where_it_is_slower_than_the_destinations(
    own: str, configured: Json, held: tuple[int, float] | None
) -> None:
    world = FakeWorld({"rate": configured} if configured else {})
    name = await world.endpoint(1, rate=own)
    assert world.notifier.parts.endpoints is not None
    place = await world.notifier.parts.endpoints.resolve(Delivery(PAID, "all", name))
    assert isinstance(place, Target)
    assert place.configured.rate == held


async def test_what_is_kept_in_memory_of_endpoints_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (subscribers, endpoints):
        monkeypatch.setattr(module, "MAX_ENDPOINTS", 20)
    monkeypatch.setattr("shared.outgoing.gate.MAX_REMEMBERED", 20)
    monkeypatch.setattr("functions.notify.waiting.pauses.MAX_KNOWN", 20)
    monkeypatch.setattr("functions.notify.waiting.caps.MAX_BUCKETS", 20)
    world = FakeWorld({"breaker": {"failures": 9, "pause_seconds": 60.0, "max_pause_seconds": 60.0}, "in_flight": 5})
    await world.tenant()
    for number in range(100):
        await world.endpoint(number)
    await world.deliver()
    assert len(world.fetch.asked) == 100
    parts = world.notifier.parts
    sizes = [len(kept) for kept in held_in(parts.endpoints, parts.states, parts.breakers, parts.gate, parts.caps)]
    assert sizes
    assert max(sizes) <= 20


def held_in(*parts: object) -> list[dict[object, object]]:
    """The dictionaries in these objects, and in those that they hold."""
    found: list[dict[object, object]] = []
    for part in parts:
        names = getattr(part, "__dict__", None) or {
            name: getattr(part, name, None) for name in getattr(part, "__slots__", ())
        }
        for value in names.values():
            if isinstance(value, dict):
                found.append(value)
            elif type(value).__module__.startswith("functions.notify.subscribers"):
                found += held_in(value)
    return found


HOUR: Final = 3_600.0
BREAKER: Final[JsonObject] = {"failures": 1, "pause_seconds": HOUR, "max_pause_seconds": HOUR}


async def paused() -> FakeWorld:
    """A world with an endpoint that failed and is up again."""
    world = await a_world(options={"retry_seconds": [5.0, 300.0], "breaker": BREAKER})
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    world.fetch.answers[URL] = OK
    world.clock.advance(20)
    return world


async def send_again(world: FakeWorld, **attributes: str) -> str:
    """Take what the API publishes to send the delivery again."""
    due = str((await world.row(NAME)).fence)
    sent = {"replay": "r1", "force": "failed", "due": due, **attributes}
    return (await world.notifier.take(Delivery(PAID, "to customers", NAME), **sent)).outcome


async def test_what_somebody_sends_again_is_tried_at_once_and_opens_the_way_for_the_rest() -> None:
    world = await paused()
    assert await send_again(world) == "deferred"
    assert await send_again(world, attempt="now") == "delivered"
    assert (await world.ledger.destination_state(NAME)).paused_until is None


async def test_a_tenant_reads_why_its_endpoint_waits_in_words_that_it_knows() -> None:
    world = await paused()
    await send_again(world)
    reason = "paused after failures: 1 attempt failed, the last: the receiver answered 500"
    assert (await world.row(NAME)).reason == reason


async def test_a_pause_of_the_operator_goes_on_whoever_sends_again_and_says_whose_it_is() -> None:
    world = await paused()
    now = world.clock.now()
    await world.ledger.pause(NAME, now + HOUR, now, PAUSED_BY_OPERATOR)
    assert await send_again(world, attempt="now") == "deferred"
    assert (await world.row(NAME)).reason == "the operator paused this endpoint"


async def test_what_an_endpoint_gets_is_signed_with_both_secrets_of_a_rotation_until_the_older_one_ends() -> None:
    world = FakeWorld({"settings": {"tenant": "data.accountId", "payload": "data"}})
    world.clock.advance(time.time() - world.clock.now())
    await world.tenant()
    older, place = f"whsec_{b64encode(b'o' * 24).decode()}", f"acme/{endpoint_id(1)}"
    ending = sealed(older, place, 2).model_copy(update={"valid_until": world.clock.now() + 60})
    await world.endpoint(1, secrets=[sealed(SIGNING, place), ending])
    await world.deliver()
    for secret in (SIGNING, older):
        assert Webhook(secret).verify(world.fetch.asked[0].body, headers(world)) == PAID.data
    world.clock.advance(61)
    await world.deliver(paid(2))
    assert headers(world)["webhook-signature"].count("v1,") == 1


@pytest.mark.parametrize(
    ("url", "names", "rule"),
    [
        ("http://acme.example.com/in", {}, "must begin with https"),
        ("https://10.0.0.1/in", {}, "private"),
        ("https://169.254.169.254/latest", {}, "metadata"),
        ("https://rebound.example.com/", {"rebound.example.com": ["127.0.0.1"]}, "not public"),
        ("https://user:pw@acme.example.com/", {}, "user name or password"),
        ("javascript:alert(1)", {}, "invalid_url"),
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_for_tenants_and_the_tenant_can_correct_it(
    url: str, names: dict[str, list[str]], rule: str
) -> None:
    world = await a_world(url=url)
    world.fetch.names = dict(names)
    _, result = await world.deliver()
    assert world.fetch.asked == []
    assert result.outcome == "retry_scheduled"
    assert rule in (result.reason or "")
    await world.endpoint(1)
    world.clock.advance(11)
    assert [each.outcome for each in await world.sweep()] == ["delivered"]


async def test_plain_http_and_private_addresses_are_for_who_allows_them() -> None:
    world = await a_world(SubscriberSettings(allow_http=True), url="http://acme-1.example.com/in")
    assert [each.outcome for each in await world.deliver()] == ["delivered", "delivered"]
    for url, settings, outcome in (
        ("http://10.0.0.1/in", SubscriberSettings(allow_http=True), "retry_scheduled"),
        ("http://10.0.0.1/in", SubscriberSettings(allow_private=True), "delivered"),
        ("http://169.254.169.254/in", SubscriberSettings(allow_private=True), "retry_scheduled"),
    ):
        world = await a_world(settings, url=url)
        assert [each.outcome for each in await world.deliver()] == ["delivered", outcome]


async def test_deliveries_wait_without_our_key_and_no_endpoint_is_blamed(capsys: pytest.CaptureFixture[str]) -> None:
    world = await a_world()
    del world.secrets.texts[KEY_SECRET]
    _, result = await world.deliver()
    assert result.outcome == "retry_scheduled"
    assert result.reason == "the endpoint's secret cannot be read now, and the operator has to fix that"
    assert KEY_SECRET in capsys.readouterr().out, "the log says what to fix, and the tenant does not read it"
    world.secrets.texts[KEY_SECRET] = "another key, which is long enough for it"
    for _ in range(4):
        world.clock.advance(400)
        await world.sweep()
    assert (await world.read()).failing_since is None
    assert world.fetch.asked == []


async def test_a_secret_that_cannot_sign_is_for_its_tenant_to_correct() -> None:
    world = await a_world(secret="whsec_?")
    _, result = await world.deliver()
    assert (result.outcome, world.fetch.asked) == ("retry_scheduled", [])
    assert result.reason == "the endpoint's secret cannot sign: a Standard Webhooks secret is 'whsec_' and base64"


async def test_a_delivery_to_an_endpoint_that_has_not_proven_itself_is_not_sent() -> None:
    world = await a_world(SubscriberSettings(is_verified_first=True), is_verified=False)
    result = await world.notifier.take(Delivery(PAID, "to customers", NAME))
    assert (result.outcome, result.code) == ("dead_lettered", "endpoint_disabled")
    assert world.fetch.asked == []


DOWN: Final = Fetched(500, (), b"")
DAY: Final = 86_400.0
TOLD: Final = SubscriberSettings(operator="ops", owners="owners")
OTHERS: Final[JsonObject] = {
    name: {
        "kind": "webhook",
        "settings": compile_settings(webhook, {"url": f"https://{name}.example.com/"}),
        "retry_seconds": [5.0],
        "timeout_seconds": 15.0,
        "on_unknown": "resend",
    }
    for name in ("ops", "owners")
}


async def a_health_world(email: str = "", settings: SubscriberSettings = TOLD) -> FakeWorld:
    world = FakeWorld({"retry_seconds": [5.0, *[6 * 3_600.0] * 30]}, settings, OTHERS)
    for name in ("ops", "owners"):
        world.fetch.answers[f"https://{name}.example.com/"] = OK
    await world.tenant(email=email)
    await world.endpoint()
    world.fetch.answers[URL] = DOWN
    return world


async def fail(world: FakeWorld, seconds: float) -> None:
    """Let retries fail for so long."""
    until = world.clock.now() + seconds
    while world.clock.now() < until:
        world.clock.advance(6 * 3_600)
        await world.sweep()


def told(world: FakeWorld) -> list[tuple[str, Event]]:
    """The operational events that were published, with who is told."""
    deliveries = [delivery_from(from_json(each.data)) for each in world.bus.on(DELIVERIES)]
    found: dict[str, Delivery] = {each.id: each for each in deliveries if each.event.source == SUBSCRIBERS_SOURCE}
    return [(each.destination, each.event) for each in found.values()]


def kinds(world: FakeWorld) -> list[tuple[str, str]]:
    return [(name, event.type) for name, event in told(world)]


async def test_an_endpoint_fails_from_the_second_attempt_at_a_delivery_until_one_goes_well() -> None:
    world = await a_health_world()
    await world.deliver()
    assert (await world.read()).failing_since is None
    world.clock.advance(7)
    await world.sweep()
    assert (await world.read()).failing_since == world.clock.now()
    world.fetch.answers[URL] = OK
    world.clock.advance(8 * 3_600)
    await world.sweep()
    assert (await world.read()).failing_since is None
    assert kinds(world) == [("ops", "endpoint.failing"), ("ops", "endpoint.recovered")]


async def test_an_endpoint_that_failed_for_the_whole_time_is_disabled_and_its_owner_told() -> None:
    world = await a_health_world(email="ada@acme.example")
    await world.deliver()
    await fail(world, 4.5 * DAY)
    assert (await world.read()).is_enabled
    await fail(world, 1 * DAY)
    endpoint = await world.read()
    assert endpoint.disabled_by == "failures"
    assert endpoint.disabled_reason == "all deliveries failed for 5 days, the last: the receiver answered 500"
    assert endpoint.notices == ()
    assert kinds(world) == [("ops", "endpoint.failing"), ("ops", "endpoint.disabled"), ("owners", "endpoint.disabled")]
    event = told(world)[-1][1]
    told_data = {"email": "ada@acme.example", "endpoint": endpoint.id, "reason": endpoint.disabled_reason}
    assert told_data.items() <= mapping_at(event.data).items()
    asked = world.asked()
    assert (asked.count("ops"), asked.count("owners")) == (2, 1)
    row = await world.row(f"customers:acme:{endpoint_id(1)}")
    await fail(world, 1 * DAY)
    row = await world.row(f"customers:acme:{endpoint_id(1)}")
    assert (row.state, row.reason.partition(":")[0]) == ("dead_lettered", "endpoint_disabled")


async def test_an_endpoint_that_only_gets_new_deliveries_fails_after_its_first_pause_and_is_disabled_too() -> None:
    breaker: JsonObject = {"failures": 2, "pause_seconds": 60.0, "max_pause_seconds": 3_600.0}
    world = await a_world(TOLD, {"breaker": breaker, "retry_seconds": [30 * DAY] * 3})
    world.fetch.answers[URL] = DOWN
    for number in range(1, 4):
        await world.deliver(paid(number))
    assert (await world.read()).failing_since is None
    for number in range(4, 140):
        world.clock.advance(3_601)
        await world.deliver(paid(number))
    assert {row.attempt_number for row in await world.ledger.rows(200, destination=NAME)} <= {0, 1}
    assert (await world.read()).disabled_by == "failures"


async def test_first_attempts_that_began_before_a_pause_do_not_make_an_endpoint_failing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await a_world(TOLD, {"breaker": {"failures": 2, "pause_seconds": 60.0, "max_pause_seconds": 3_600.0}})
    world.fetch.answers[URL] = DOWN
    for number in range(1, 4):
        await world.publish(paid(number))
    fetch, all_asked = world.fetch.fetch, asyncio.Barrier(3)

    async def fetch_together(request: Outgoing) -> Fetched:
        await all_asked.wait()
        return await fetch(request)

    monkeypatch.setattr(world.fetch, "fetch", fetch_together)
    async with asyncio.timeout(10):
        results = await asyncio.gather(*map(world.notifier.take_message, world.published()))
    assert [result.outcome for result in results] == ["retry_scheduled"] * 3
    assert (await world.ledger.destination_state(NAME)).paused_until is not None
    assert (await world.read()).failing_since is None


async def test_a_notice_that_a_dying_process_left_is_published_by_the_next_event_under_the_same_id() -> None:
    world = await a_health_world()
    notices = (("disabled", world.clock.now(), "gone"),)
    await world.endpoint(1, disabled_by="receiver", disabled_reason="gone", notices=notices)
    await world.deliver()
    assert told(world) == []
    world.clock.advance(61)
    await world.deliver(paid(2))
    ((_, event),) = told(world)
    endpoint = Endpoint(id=endpoint_id(1), tenant="acme", url="")
    assert event.id == operational_event("disabled", endpoint, Tenant(id="acme"), notices[0][1], "gone").id
    assert (await world.read()).notices == ()


async def test_where_the_store_is_down_the_delivery_counts_and_the_health_is_noted_by_the_next() -> None:
    world = await a_health_world()
    await world.deliver()
    world.clock.advance(7)
    await world.notifier.sweep()
    (message,) = world.published()[-1:]
    assert world.notifier.parts.endpoints is not None
    await world.notifier.parts.endpoints.resolve(Delivery(PAID, "to customers", f"customers:acme:{endpoint_id(1)}"))
    world.stored.fault = "down"
    assert (await world.notifier.take_message(message)).outcome == "retry_scheduled"
    world.stored.fault = None
    assert (await world.read()).failing_since is None
    await fail(world, DAY)
    assert (await world.read()).failing_since is not None


async def test_an_endpoint_that_was_enabled_again_is_not_disabled_by_what_was_known_before() -> None:
    world = await a_health_world()
    await world.endpoint(1, failing_since=world.clock.now() - 6 * DAY)
    await world.publish()
    (message,) = world.published()
    assert world.notifier.parts.endpoints is not None
    await world.notifier.parts.endpoints.resolve(Delivery(PAID, "to customers", f"customers:acme:{endpoint_id(1)}"))
    await world.endpoint(1)
    await world.notifier.take_message(message)
    assert (await world.read()).is_enabled


def end_after(last: int, calls: Iterator[int]) -> None:
    if next(calls) > last:
        raise ConnectionAbortedError


async def test_a_process_that_ends_anywhere_leaves_a_state_that_the_next_one_continues() -> None:
    """Whichever call of the store or of the bus is the last that works."""
    for last in range(1, 40):
        world = await a_health_world("ada@acme.example")
        await world.endpoint(1, failing_since=world.clock.now() - 6 * DAY)
        await world.publish()
        (message,) = world.published()
        calls = count(1)
        world.stored.before = partial(end_after, last, calls)
        with suppress(ConnectionAbortedError):
            await world.notifier.take_message(message)
        world.stored.before = None
        world.start()
        world.clock.advance(120)
        await world.sweep()
        await world.notifier.take_message(message)
        await world.deliver(paid(2))
        assert not (await world.read()).is_enabled
        assert sorted({each for each in kinds(world) if each[1] == "endpoint.disabled"}) == [
            ("ops", "endpoint.disabled"),
            ("owners", "endpoint.disabled"),
        ]
        if next(calls) <= last:
            return
    pytest.fail("it never ended")


async def test_a_change_of_an_endpoint_applies_to_the_next_event_at_once() -> None:
    world = await a_world()
    await world.deliver()
    world.clock.advance(0.01)
    change = {"url": "https://acme-9.example.com/in", "updated_at": world.clock.now()}
    world.fetch.answers["https://acme-9.example.com/in"] = OK
    known = Directory(world.documents)
    await known.change(
        Endpoint, endpoints_of("acme"), endpoint_id(1), lambda before: before and before.model_copy(update=change)
    )
    await known.announce_change("acme", "subscribe")
    await world.deliver(paid(2))
    assert world.asked() == ["acme-1", "acme-9"]


async def test_what_the_former_url_of_an_endpoint_answers_says_nothing_of_the_new_one() -> None:
    """What is known of an endpoint is some seconds old."""
    world = await a_health_world()
    world.fetch.answers[URL] = OK
    await world.deliver()
    world.fetch.answers[URL] = Fetched(410, (), b"")
    moved = (await world.read()).model_copy(update={"url": "https://moved.example.com/in"})
    await world.documents.write("endpoints.acme", moved.id, moved.text())
    await world.deliver(paid(2))
    assert (await world.read()).is_enabled


async def test_where_an_operational_event_cannot_be_published_its_notice_stays() -> None:
    world = await a_health_world()
    await world.deliver()
    world.clock.advance(7)
    await world.notifier.sweep()
    world.bus.fault = "down"
    assert (await world.notifier.take_message(world.published()[-1])).outcome == "retry_scheduled"
    world.bus.fault = None
    assert [kind for kind, *_ in (await world.read()).notices] == ["failing"]
