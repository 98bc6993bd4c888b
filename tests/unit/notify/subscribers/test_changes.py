"""A change of an endpoint counts for the next event, although a process remembers the endpoints of a tenant."""

import pytest

from functions.notify.notifier import Result
from shared.errors import Temporary
from shared.fetch import Fetched
from shared.jsontext import Json
from shared.ports import DELIVERIES
from shared.subscribers.directory import TENANTS, Directory
from tests.fakes.fan_out import OK, FakeWorld, paid
from tests.fakes.subscribe_api import Subscribers

URL = "https://acme-1.example.com/in"


class Customer:
    """A tenant who uses the API, with notify over the same documents. Time stands still unless a test advances it."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.api = Subscribers(documents=world.stored, clock=world.clock, secrets=world.secrets)
        self.key = ""
        self._events = 0

    async def start(self) -> None:
        self.key = await self.api.key()
        await self.api.tenant("acme", self.key)

    async def add(self, **fields: Json) -> str:
        made = await self.api.endpoint("acme", self.key, url=URL, **fields)
        self.world.fetch.answers[URL] = OK
        return f"/v1/tenants/acme/endpoints/{made['id']}"

    async def send(self, method: str, path: str, body: Json = None) -> None:
        assert (await self.api.send(method, path, body, by=self.key)).status < 300

    async def brought(self) -> list[Result]:
        """Bring notify what the API published."""
        return [await self.world.notifier.take_message(each) for each in self.api.bus.on(DELIVERIES)]

    async def gets(self) -> list[str]:
        """Publish an event, and return the hosts that got it."""
        self._events += 1
        before = len(self.world.asked())
        await self.world.deliver(paid(self._events))
        return self.world.asked()[before:]


async def a_customer() -> Customer:
    customer = Customer(FakeWorld())
    await customer.start()
    return customer


@pytest.mark.parametrize(("answer", "outcome"), [(OK, "delivered"), (Fetched(500, (), b""), "dead_lettered")])
async def test_a_disabled_endpoint_gets_a_test_event_once_and_stays_disabled(answer: Fetched, outcome: str) -> None:
    customer = await a_customer()
    path = await customer.add()
    await customer.send("POST", f"{path}/disable")
    customer.world.fetch.answers[URL] = answer
    await customer.send("POST", f"{path}/test", {"type": "order.paid"})
    assert [each.outcome for each in await customer.brought()] == [outcome]
    assert len(customer.world.asked()) == 1
    assert await customer.gets() == []


async def test_an_endpoint_that_is_disabled_gets_nothing_but_test_events() -> None:
    customer = await a_customer()
    path = await customer.add()
    await customer.world.publish(paid(1))
    await customer.send("POST", f"{path}/disable")
    assert [each.code for each in await customer.world.take_all()] == ["endpoint_disabled"]


async def test_a_change_that_could_not_be_made_known_is_done_and_counts_after_seconds() -> None:
    customer = await a_customer()
    path = await customer.add()
    assert await customer.gets() == ["acme-1"]
    stored, write = customer.world.stored, customer.world.stored.write

    async def without_tenants(partition: str, id: str, text: str, *more: object) -> str | None:
        if partition == TENANTS:
            raise Temporary("documents_unavailable", "down")
        return await write(partition, id, text, *more)  # type: ignore[arg-type]

    stored.write = without_tenants  # type: ignore[method-assign,assignment]
    await customer.send("PATCH", path, {"types": ["invoice.*"]})
    customer.world.clock.advance(10)
    assert await customer.gets() == []


async def test_of_changes_at_one_moment_any_makes_the_others_known() -> None:
    """So none waits for another, as a change of the tenant's own would."""
    customer = await a_customer()
    stored = customer.world.stored
    before = await stored.get(TENANTS, "acme")
    assert before is not None

    async def other_first() -> None:
        await stored.write(TENANTS, "acme", before.text)

    directory, get = Directory(stored), stored.get

    async def get_late(partition: str, id: str) -> object:
        found = await get(partition, id)
        await other_first()
        return found

    stored.get = get_late  # type: ignore[method-assign,assignment]
    await directory.mark_endpoints_changed("acme")
    stored.get = get  # type: ignore[method-assign]
    after = await stored.get(TENANTS, "acme")
    assert after is not None
    assert after.text == before.text
    assert after.version != before.version


async def test_an_event_reads_the_tenant_and_no_more_while_nothing_changed() -> None:
    customer = await a_customer()
    await customer.add(types=["invoice.*"])
    await customer.gets()
    calls = customer.world.stored.calls
    await customer.gets()
    assert customer.world.stored.calls == calls + 3, "the tenant, its message and the entry of that"
    assert customer.world.bus.on(DELIVERIES) == []
