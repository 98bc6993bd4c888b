"""The kind `bigquery`: rows, through notify and a stand-in that holds each request to Google's own description."""

import asyncio
from dataclasses import dataclass, field

import pytest

from functions.notify.destinations import bigquery, bigquery as kind
from functions.notify.http_kind import Response
from functions.notify.notifier import Acknowledged
from shared.delivery import Delivered, Delivery, Disabled, Failed, RetryLater, Unknown
from shared.jsontext import Json, JsonObject, mapping_at, to_json
from shared.outgoing.auth import GoogleOAuthRequestAuth
from shared.outgoing.authenticator import CloudIdentity
from tests.fakes.notifier import FakeNotifier, a_delivery
from tests.stand_ins.bigquery_tables import COLUMNS, FIELDS, TABLE, BigQuery, Table, error, google_token
from tests.stand_ins.kind_services import notifier_over
from tests.stand_ins.object_stores import Losing
from tests.unit.notify.http_kinds import json_of, outcome_of, request_of


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
    await world.take(*[an_order(n) for n in range(600)])
    assert sorted(int(str(row["n"])) for row in world.rows) == list(range(600))
    assert len({row["delivery_id"] for row in world.rows}) == 600
    assert len(world.server.requests) < 10
    assert max(world.server.requests) <= 500


async def test_a_row_that_does_not_fit_is_a_dead_letter_and_the_others_are_stored() -> None:
    world = World(settings={"columns": {"name": "data.name", "n": "data.n"}})
    await world.take(an_order(0), an_order(1), an_order(2, n={"no": "integer"}), an_order(3))
    assert sorted(str(row["name"]) for row in world.rows) == ["order 0", "order 1", "order 3"]
    [letter] = world.notify.dead_letters
    assert b"column 'n' (invalid)" in letter.data


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


async def test_a_table_that_cannot_be_created_is_no_fault_of_the_rows() -> None:
    class Rejecting(BigQuery):
        def _create(self, body: JsonObject) -> tuple[int, JsonObject]:
            return 400, error("invalid", "too many columns")

    world = World({"create": True}, Rejecting())
    await world.take(*[an_order(n) for n in range(5)])
    assert set((await world.outcomes()).values()) == {"retry_scheduled"}


def values_of(settings: JsonObject, data: Json) -> JsonObject:
    return mapping_at(json_of(request_of(kind, {**TABLE, **settings}, data)), "rows", 0, "json")


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        ("text", {"a": [1]}, '{"a":[1]}'),
        ("integer", 2**60, str(2**60)),
        ("integer", 3.0, 3),
        ("boolean", "TRUE", True),
        ("time", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00.000000Z"),
        ("json", "x", '"x"'),
        (None, {"sku": "x"}, {"sku": "x"}),
        (None, [1, 2], [1, 2]),
        ("integer", None, None),
    ],
)
def test_a_value_is_written_as_its_columns_type(type_: str | None, value: Json, written: Json) -> None:
    found = values_of({"columns": {"a": {"value": "data", "type": type_}}, "delivery_id": None}, value)
    assert found == {"a": written}


def test_the_scope_is_that_of_inserting_unless_the_table_is_created() -> None:
    [auth] = request_of(kind, TABLE).auth
    assert isinstance(auth, GoogleOAuthRequestAuth)
    assert auth.scope.endswith("/bigquery.insertdata")
    [auth] = request_of(kind, {**TABLE, "create": True, "secret": "key"}).auth
    assert isinstance(auth, GoogleOAuthRequestAuth)
    assert (auth.scope.rpartition("/")[2], auth.secret) == ("bigquery", "key")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, {}, Delivered),
        (200, b"<html>", Unknown),
        (404, error("notFound", "x"), Disabled),
        (200, {"insertErrors": [{"errors": [{"reason": "invalid"}]}]}, Failed),
        (200, {"insertErrors": [{"index": 0, "errors": [{"reason": "stopped"}]}]}, RetryLater),
        (200, {"insertErrors": [{"index": 0, "errors": [{"reason": "timeout"}, {"reason": "invalid"}]}]}, Failed),
        (200, {"insertErrors": [{"index": 0, "errors": []}]}, RetryLater),
    ],
)
def test_an_answer_has_its_outcome(status: int, body: "Json | bytes", outcome: type) -> None:
    assert isinstance(outcome_of(kind, status, body), outcome)


def test_a_reason_names_the_column_and_no_key_below_it() -> None:
    fault: Json = {"reason": "invalid", "location": "customers[0].ada@example.com", "message": "no such field: x"}
    found = outcome_of(kind, 200, {"insertErrors": [{"index": 0, "errors": [fault]}]})
    assert found == Failed("request_rejected", "BigQuery rejects column 'customers' (invalid)", "no such field: x")


@pytest.mark.parametrize("errors", ["x", [None], [{"index": "0"}], [{"index": 7, "errors": []}], 1])
def test_an_error_of_no_row_that_was_sent_leaves_it_open_whether_the_rows_are_there(errors: Json) -> None:
    body = to_json({"insertErrors": errors}).encode()
    found = kind.outcomes(Response(200, (), body, 0.0), 2)
    assert [type(each) for each in found] == [Unknown, Unknown]
