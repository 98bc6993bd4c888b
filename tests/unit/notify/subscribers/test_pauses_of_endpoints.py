"""An endpoint that keeps failing is paused, until somebody sends something again or sends a test event."""

from typing import Final

from shared.delivery import Delivery
from shared.fetch import Fetched
from shared.jsontext import JsonObject
from shared.ledger import PAUSED_BY_OPERATOR
from tests.fakes.fan_out import OK, PAID, FakeWorld, paid

URL: Final = "https://acme-1.example.com/in"
HOUR: Final = 3_600.0
BREAKER: Final[JsonObject] = {"failures": 1, "pause_seconds": HOUR, "max_pause_seconds": HOUR}


async def paused() -> tuple[FakeWorld, str]:
    """A world with an endpoint that failed and is up again, and its name."""
    world = FakeWorld({"retry_seconds": [5.0, 300.0], "breaker": BREAKER})
    await world.tenant()
    name = await world.endpoint()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    world.fetch.answers[URL] = OK
    world.clock.advance(20)
    return world, name


async def send_again(world: FakeWorld, name: str, **attributes: str) -> str:
    """Take what the API publishes to send the delivery again."""
    due = str((await world.row(name)).fence)
    sent = {"replay": "r1", "force": "failed", "due": due, **attributes}
    return (await world.notifier.take(Delivery(PAID, "to customers", name), **sent)).outcome


async def test_what_somebody_sends_again_is_tried_at_once_and_opens_the_way_for_the_rest() -> None:
    world, name = await paused()
    assert await send_again(world, name) == "deferred"
    assert await send_again(world, name, attempt="now") == "delivered"
    assert (await world.ledger.destination_state(name)).paused_until is None


async def test_a_tenant_reads_why_its_endpoint_waits_in_words_that_it_knows() -> None:
    world, name = await paused()
    await send_again(world, name)
    reason = "paused after failures: 1 attempt failed, the last: the receiver answered 500"
    assert (await world.row(name)).reason == reason
    now = world.clock.now()
    await world.ledger.pause(name, now + HOUR, now, PAUSED_BY_OPERATOR)
    world.clock.advance(11)  # notify reads the state every ten seconds
    await world.deliver(paid(2))
    assert "the operator paused this endpoint" in {row.reason for row in await world.ledger.rows(9, destination=name)}


async def test_if_it_fails_again_the_endpoint_is_paused_again() -> None:
    world, name = await paused()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    assert await send_again(world, name, attempt="now") == "retry_scheduled"
    assert await send_again(world, name) == "deferred"


async def test_a_pause_of_the_operator_goes_on() -> None:
    world, name = await paused()
    now = world.clock.now()
    await world.ledger.pause(name, now + HOUR, now, PAUSED_BY_OPERATOR)
    assert await send_again(world, name, attempt="now") == "deferred"
