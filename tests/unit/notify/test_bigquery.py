"""The kind `bigquery`, through notify and a stand-in that holds each request to Google's own description."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import pytest

from functions.notify.destinations.bigquery import bigquery as kind
from functions.notify.destinations.bigquery.settings import Settings
from functions.notify.http_kind import Response
from functions.notify.work import Acknowledged
from shared.delivery import Delivered, Delivery, Disabled, Failed, RetryLater, Unknown
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.auth import GoogleOAuthRequestAuth
from shared.outgoing.authenticator import CloudIdentity
from tests.bigquery_tables import BigQuery, Table, error, google_token
from tests.fakes.notifier import FakeNotifier, a_delivery
from tests.kind_services import notifier_over
from tests.object_stores import Losing
from tests.unit.notify.http_kinds import HOSTILE, json_of, outcome_of, request_of

COLUMNS: Final[JsonObject] = {"name": "data.name", "n": {"value": "data.n", "type": "integer"}}
TABLE: Final[JsonObject] = {"project": "my-shop", "dataset": "sales", "table": "orders", "columns": COLUMNS}
FIELDS: Final = {"name": "STRING", "n": "INTEGER", "delivery_id": "STRING"}


def values_of(settings: JsonObject, data: Json) -> JsonObject:
    rows = json_of(request_of(kind, {**TABLE, **settings}, data))["rows"]
    assert isinstance(rows, list)
    assert isinstance(rows[0], dict)
    values = rows[0]["json"]
    assert isinstance(values, dict)
    return values


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


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        ("text", {"a": [1]}, '{"a":[1]}'),
        ("text", 1.5, "1.5"),
        ("integer", "42", 42),
        ("integer", 2**60, str(2**60)),
        ("integer", 3.0, 3),
        ("number", "1.10", "1.10"),
        ("boolean", "TRUE", True),
        ("time", 0, "1970-01-01T00:00:00.000000Z"),
        ("time", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00.000000Z"),
        ("json", {"a": "ü"}, '{"a":"ü"}'),
        ("json", "x", '"x"'),
        (None, {"sku": "x"}, {"sku": "x"}),
        (None, [1, 2], [1, 2]),
        ("integer", None, None),
    ],
)
def test_a_value_is_written_as_its_columns_type(type_: str | None, value: Json, written: Json) -> None:
    found = values_of({"columns": {"a": {"value": "data", "type": type_}}, "delivery_id": None}, value)
    assert found == {"a": written}


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("integer", "4.5"),
        ("integer", True),
        ("integer", 2**63),
        ("number", "NaN"),
        ("number", "1e999x"),
        ("boolean", 1),
        ("time", "tomorrow"),
        ("time", 1e300),
    ],
)
def test_a_value_without_its_columns_type_is_a_dead_letter(type_: str, value: Json) -> None:
    with pytest.raises(Permanent, match=f"column 'a' must be of the type {type_}"):
        values_of({"columns": {"a": {"value": "data", "type": type_}}}, value)


def test_without_a_type_a_table_that_is_created_gets_text() -> None:
    assert values_of({"columns": {"a": "data"}, "create": True, "delivery_id": None}, 1) == {"a": "1"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_a_value_and_nothing_else(text: str) -> None:
    found = values_of({"columns": {"name": "data"}, "delivery_id": None}, text)
    assert found == {"name": text.encode("utf-8", "replace").decode()}


def test_the_scope_is_that_of_inserting_unless_the_table_is_created() -> None:
    [auth] = request_of(kind, TABLE).auth
    assert isinstance(auth, GoogleOAuthRequestAuth)
    assert auth.scope.endswith("/bigquery.insertdata")
    [auth] = request_of(kind, {**TABLE, "create": True, "secret": "key"}).auth
    assert isinstance(auth, GoogleOAuthRequestAuth)
    assert (auth.scope.rpartition("/")[2], auth.secret) == ("bigquery", "key")


@pytest.mark.parametrize(
    "settings",
    [
        {"columns": {}},
        {"columns": {"a-b": "data"}},
        {"columns": {"a": "data", "A": "data"}},
        {"columns": {"Delivery_Id": "data"}},
        {"columns": {"a": "data["}},
        {"columns": {"a": {"value": "data", "type": "date"}}},
        {"table": "orders/insertAll"},
        {"dataset": "../x"},
        {"project": "{{ data.project }}"},
    ],
)
def test_settings_that_cannot_work_are_rejected(settings: JsonObject) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Settings.model_validate({**TABLE, **settings})


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, {}, Delivered),
        (200, b"<html>", Unknown),
        (400, {}, Failed),
        (401, {}, Disabled),
        (403, error("accessDenied", "x"), Disabled),
        (403, error("quotaExceeded", "x"), RetryLater),
        (404, error("notFound", "x"), Disabled),
        (413, {}, Failed),
        (429, {}, RetryLater),
        (500, {}, RetryLater),
        (200, {"insertErrors": [{"errors": [{"reason": "invalid"}]}]}, Failed),
        (200, {"insertErrors": [{"index": 0, "errors": [{"reason": "stopped"}]}]}, RetryLater),
        (200, {"insertErrors": [{"index": 0, "errors": [{"reason": "timeout"}, {"reason": "invalid"}]}]}, Failed),
        (200, {"insertErrors": [{"index": 0, "errors": []}]}, RetryLater),
    ],
)
def test_an_answer_has_its_outcome(status: int, body: "Json | bytes", outcome: type) -> None:
    assert isinstance(outcome_of(kind, status, body), outcome)


@pytest.mark.parametrize("errors", ["x", [None], [{"index": "0"}], [{"index": 7, "errors": []}], 1])
def test_an_error_of_no_row_that_was_sent_leaves_it_open_whether_the_rows_are_there(errors: Json) -> None:
    body = to_json({"insertErrors": errors}).encode()
    found = kind.outcomes(Response(200, (), body, 0.0), 2)
    assert [type(each) for each in found] == [Unknown, Unknown]


async def test_deliveries_that_wait_at_once_go_into_few_requests_and_each_is_a_row() -> None:
    world = World()
    await world.take(*[an_order(n) for n in range(1_200)])
    assert sorted(int(str(row["n"])) for row in world.rows) == list(range(1_200))
    assert len({row["delivery_id"] for row in world.rows}) == 1_200
    assert len(world.server.requests) < 20
    assert max(world.server.requests) <= 500


async def test_a_request_stays_below_what_bigquery_takes() -> None:
    world = World()
    large = [an_order(n) for n in range(8)]
    for each in large:
        each.event.data = {"name": "x" * 3_000_000, "n": 1}
    await world.take(*large)
    assert len(world.rows) == 8


async def test_a_row_that_does_not_fit_is_a_dead_letter_and_the_others_are_stored() -> None:
    world = World(settings={"columns": {"name": "data.name", "n": "data.n"}})
    await world.take(an_order(0), an_order(1), an_order(2, n={"no": "integer"}), an_order(3))
    assert sorted(str(row["name"]) for row in world.rows) == ["order 0", "order 1", "order 3"]
    [letter] = world.notify.dead_letters
    assert b"column 'n' (invalid)" in letter.data


async def test_a_row_that_was_stopped_comes_again_and_is_there_once() -> None:
    world = World()
    world.server.stopped = {an_order(1).id}
    await world.take(an_order(0), an_order(1))
    assert (await world.outcomes())["e1"] == "retry_scheduled"
    world.server.stopped = ()
    world.notify.clock.advance(30)
    await world.notify.sweep_and_take()
    assert sorted(str(row["name"]) for row in world.rows) == ["order 0", "order 1"]


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


@pytest.mark.parametrize("answer", [(503, {}), (429, {}), (403, error("rateLimitExceeded", "x"))])
async def test_an_overloaded_bigquery_gets_the_rows_later(answer: tuple[int, JsonObject]) -> None:
    world = World()
    world.server.answers = [answer]
    await world.take(an_order(1))
    assert (await world.outcomes())["e1"] == "retry_scheduled"
    world.notify.clock.advance(100)
    await world.notify.sweep_and_take()
    assert len(world.rows) == 1


def test_a_preview_and_the_request_are_one_row() -> None:
    assert values_of({}, {"name": "=1+1", "n": 2}) == {"name": "=1+1", "n": 2, "delivery_id": "5f0c" * 16}
