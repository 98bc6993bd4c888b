"""The request that an endpoint gets, and what is never sent."""

import json
import time
from base64 import b64encode
from typing import Final

import pytest
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from functions.notify.subscribers.subscribers import SubscriberSettings
from shared.delivery import Delivery
from shared.event import Event
from shared.fetch import Fetched
from shared.subscribers.sealing import KEY_SECRET
from tests.fakes.fan_out import OK, PAID, SIGNING, FakeWorld, endpoint_id, paid, sealed

URL: Final = "https://acme-1.example.com/in"


async def a_world(settings: SubscriberSettings | None = None, **fields: object) -> FakeWorld:
    world = FakeWorld(settings=settings)
    await world.tenant()
    await world.endpoint(1, **fields)  # type: ignore[arg-type]
    return world


def headers(world: FakeWorld) -> dict[str, str]:
    return dict(world.fetch.asked[-1].headers)


def delivery_to(name: str, event: Event = PAID) -> Delivery:
    return Delivery(event, "to customers", name)


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


async def test_the_libraries_of_standard_webhooks_and_svix_verify_what_an_endpoint_gets() -> None:
    other = f"whsec_{b64encode(b'o' * 24).decode()}"
    world = FakeWorld()
    world.clock.advance(time.time() - world.clock.now())
    await world.tenant()
    place = f"acme/{endpoint_id(1)}"
    older = sealed(other, place, 2).model_copy(update={"valid_until": world.clock.now() + 60})
    await world.endpoint(1, secrets=[sealed(SIGNING, place), older], fields={"account": "a-1"})
    await world.deliver()
    (asked,) = world.fetch.asked
    for secret in (SIGNING, other):
        StandardWebhook(secret).verify(asked.body, headers(world))
        SvixWebhook(secret).verify(asked.body, headers(world))
    assert json.loads(asked.body) == {
        "type": "order.paid",
        "timestamp": PAID.receivedat,
        "data": PAID.data,
        "account": "a-1",
    }
    world.clock.advance(61)
    world.start()
    await world.deliver(paid(2))
    assert headers(world)["webhook-signature"].count("v1,") == 1


async def test_the_payload_data_is_the_events_data() -> None:
    world = FakeWorld({"settings": {"tenant": "data.accountId", "payload": "data"}})
    await world.tenant()
    await world.endpoint(auth={"kind": "basic", "username": "hook"}, secret="p:w", headers={"X-Shop": "7"})
    await world.deliver()
    assert json.loads(world.fetch.asked[0].body) == PAID.data
    assert headers(world)["authorization"] == f"Basic {b64encode(b'hook:p:w').decode()}"
    assert headers(world)["x-shop"] == "7"


async def test_all_attempts_at_a_delivery_have_its_id_as_their_key() -> None:
    world = await a_world()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    world.clock.advance(7)
    world.fetch.answers[URL] = OK
    assert [each.outcome for each in await world.sweep()] == ["delivered"]
    row = await world.row(f"customers:acme:{endpoint_id(1)}")
    assert {dict(each.headers)["webhook-id"] for each in world.fetch.asked} == {row.key}
    assert [each.outcome for each in row.attempts] == ["retry_scheduled", "delivered"]


@pytest.mark.parametrize(
    ("url", "names", "rule"),
    [
        ("http://acme.example.com/in", {}, "only https"),
        ("https://10.0.0.1/in", {}, "private"),
        ("https://169.254.169.254/latest", {}, "metadata"),
        ("https://metadata.google.internal/", {}, "metadata"),
        ("https://[::ffff:127.0.0.1]/", {}, "address_blocked"),
        ("https://rebound.example.com/", {"rebound.example.com": ["127.0.0.1"]}, "not public"),
        ("https://user:pw@acme.example.com/", {}, "user name or password"),
        ("https://ácme.example.com/", {}, "xn--"),
        ("https://acme.example.com:25/", {}, "port 25"),
        ("https://acme.example.com/a\r\nhost: evil", {}, "line|control"),
        ("javascript:alert(1)", {}, "invalid_url"),
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_for_tenants_and_the_tenant_can_correct_it(
    url: str, names: dict[str, list[str]], rule: str
) -> None:
    world = FakeWorld()
    await world.tenant()
    world.fetch.names = dict(names)
    await world.endpoint(1, url=url)
    _, result = await world.deliver()
    assert world.fetch.asked == []
    assert result.outcome == "retry_scheduled"
    assert any(each in (result.reason or "") for each in rule.split("|"))
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


async def test_while_our_key_is_missing_deliveries_wait_and_no_endpoint_is_blamed(
    capsys: pytest.CaptureFixture[str],
) -> None:
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
