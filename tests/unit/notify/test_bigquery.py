"""Deliveries to BigQuery, through notify and a stand-in that holds each request to Google's own description."""

import asyncio
from dataclasses import dataclass, field

import pytest

from functions.notify.destinations import bigquery
from functions.notify.notifier import Acknowledged
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from shared.outgoing.authenticator import CloudIdentity
from tests.bigquery_tables import COLUMNS, FIELDS, TABLE, BigQuery, Table, error, google_token
from tests.fakes.notifier import FakeNotifier, a_delivery
from tests.kind_services import notifier_over
from tests.object_stores import Losing


@dataclass
class World:
    """notify with one such destination, and its table."""

    settings: JsonObject = field(default_factory=dict)
    server: BigQuery = field(default_factory=lambda: BigQuery({"orders": Table(dict(FIELDS))}))
    way: Losing = field(init=False)
    notify: FakeNotifier = field(init=False)

    def __post_init__(self) -> None:
        self.way = Losing(self.server)
        identity = CloudIdentity(access_token=google_token)
        self.notify = notifier_over(self.way, identity, "bigquery", {**TABLE, **self.settings}, {})

    @property
    def rows(self) -> list[JsonObject]:
        return self.server.tables["orders"].rows

    async def take(self, *deliveries: Delivery) -> None:
        results = await asyncio.gather(*[self.notify.take(each) for each in deliveries])
        assert all(isinstance(each, Acknowledged) for each in results)

    async def outcomes(self) -> dict[str, str]:
        rows = await self.notify.ledger.rows(1_000)
        return {row.event_id: row.attempts[-1].outcome for row in rows}


def an_order(number: int, n: Json = None) -> Delivery:
    delivery = a_delivery(number)
    delivery.event.data = {"name": f"order {number}", "n": number if n is None else n}
    return delivery


async def test_deliveries_that_wait_at_once_go_into_few_requests_and_each_is_a_row() -> None:
    world = World()
    await world.take(*[an_order(n) for n in range(1_200)])
    assert sorted(int(str(row["n"])) for row in world.rows) == list(range(1_200))
    assert len({row["delivery_id"] for row in world.rows}) == 1_200
    assert len(world.server.requests) < 20
    assert max(world.server.requests) <= 500


async def test_a_row_that_does_not_fit_is_a_dead_letter_and_the_others_are_stored() -> None:
    world = World(settings={"columns": {"name": "data.name", "n": "data.n"}})
    await world.take(an_order(0), an_order(1), an_order(2, n={"no": "integer"}), an_order(3))
    assert sorted(str(row["name"]) for row in world.rows) == ["order 0", "order 1", "order 3"]
    [letter] = world.notify.dead_letters
    assert b"column 'n' (invalid)" in letter.data


async def test_many_rows_that_do_not_fit_are_as_many_dead_letters_and_no_row_is_there_twice() -> None:
    class Verbose(BigQuery):
        def _fault(self, table: Table, row: JsonObject) -> JsonObject | None:
            fault = super()._fault(table, row)
            return {**fault, "message": "Cannot convert value " + "x" * 5_000} if fault else None

    world = World({"columns": {"name": "data.name", "n": "data.n"}}, Verbose({"orders": Table(dict(FIELDS))}))
    await world.take(*[an_order(n, n={"no": "integer"}) for n in range(100)], an_order(100))
    assert "unknown" not in (await world.outcomes()).values()
    assert [row["name"] for row in world.rows] == ["order 100"]
    assert len(world.notify.dead_letters) == 100


async def test_a_column_that_the_table_lacks_holds_the_destination_and_costs_no_row() -> None:
    world = World()
    del world.server.tables["orders"].fields["n"]
    await world.take(an_order(1), an_order(2))
    assert not world.notify.dead_letters
    reason = str((await world.notify.ledger.destination_state("crm")).disabled_reason)
    assert "the table lacks the column 'n'" in reason


async def test_a_request_that_is_rejected_whatever_its_rows_is_not_sent_for_each_of_them_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(server=BigQuery({"orders": Table(dict(FIELDS))}, poison="order"))
    monkeypatch.setattr(bigquery, "MIN_SECONDS", 14.95)  # an attempt has 15 s
    await world.take(*[an_order(n) for n in range(256)])
    assert len(world.server.requests) < 128
    assert "retry_scheduled" in set((await world.outcomes()).values())
    assert "unknown" not in set((await world.outcomes()).values())


async def test_one_row_that_spoils_a_request_does_not_keep_the_others_out() -> None:
    world = World(server=BigQuery({"orders": Table(dict(FIELDS))}, poison="order 7"))
    await world.take(*[an_order(n) for n in range(20)])
    assert len(world.rows) == 19
    assert (await world.outcomes())["e7"] == "failed"


async def test_rows_whose_answer_was_lost_are_sent_again_at_once_and_are_there_once() -> None:
    world = World()
    world.way.lost = 1
    await world.take(*[an_order(n) for n in range(3)])
    assert len(world.rows) == 3
    assert set((await world.outcomes()).values()) == {"delivered"}


async def test_a_row_that_is_repeated_minutes_later_can_be_told_by_its_delivery() -> None:
    world = World()
    world.way.lost = 2
    await world.take(an_order(1))
    assert (await world.outcomes())["e1"] == "unknown"
    world.server.forget_ids()
    world.notify.clock.advance(1_000)
    await world.notify.sweep_and_take()
    assert (await world.outcomes())["e1"] == "delivered"
    assert {row["delivery_id"] for row in world.rows} == {an_order(1).id}
    assert len(world.rows) == 2


@pytest.mark.parametrize("hidden", [0, 1])
async def test_a_missing_table_is_created_from_the_mapping(hidden: int) -> None:
    columns: JsonObject = {
        **COLUMNS,
        "at": {"value": "receivedat", "type": "time"},
        "all": {"value": "data", "type": "json"},
    }
    world = World({"create": True, "columns": columns}, BigQuery(hidden=hidden))
    await world.take(an_order(1), an_order(2))
    if hidden:
        world.notify.clock.advance(70)
        await world.notify.sweep_and_take()
    assert world.server.tables["orders"].fields == {**FIELDS, "at": "TIMESTAMP", "all": "JSON"}
    assert sorted(int(str(row["n"])) for row in world.rows) == [1, 2]


async def test_without_create_a_missing_table_holds_the_destination() -> None:
    world = World(server=BigQuery())
    await world.take(an_order(1))
    assert "correct the project, dataset and table" in str(
        (await world.notify.ledger.destination_state("crm")).disabled_reason
    )


async def test_a_table_that_may_not_be_created_holds_the_destination() -> None:
    class Forbidding(BigQuery):
        def _create(self, body: JsonObject) -> tuple[int, JsonObject]:
            return 403, error("accessDenied", "bigquery.tables.create")

    world = World({"create": True}, Forbidding())
    await world.take(an_order(1))
    assert (await world.notify.ledger.destination_state("crm")).disabled_reason is not None


async def test_a_table_that_cannot_be_created_is_no_fault_of_the_rows() -> None:
    class Rejecting(BigQuery):
        def _create(self, body: JsonObject) -> tuple[int, JsonObject]:
            return 400, error("invalid", "too many columns")

    world = World({"create": True}, Rejecting())
    await world.take(*[an_order(n) for n in range(5)])
    assert set((await world.outcomes()).values()) == {"retry_scheduled"}
