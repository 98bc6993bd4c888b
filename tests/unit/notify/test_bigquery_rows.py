"""A row of BigQuery: its values, its request, and the outcome of an answer. No server is needed."""

import pytest

from functions.notify.destinations import bigquery as kind
from functions.notify.http_kind import Response
from shared.delivery import Delivered, Disabled, Failed, RetryLater, Unknown
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.auth import GoogleOAuthRequestAuth
from tests.bigquery_tables import TABLE, error
from tests.unit.notify.http_kinds import HOSTILE, json_of, outcome_of, request_of


def values_of(settings: JsonObject, data: Json) -> JsonObject:
    rows = json_of(request_of(kind, {**TABLE, **settings}, data))["rows"]
    assert isinstance(rows, list)
    assert isinstance(rows[0], dict)
    values = rows[0]["json"]
    assert isinstance(values, dict)
    return values


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
        ("time", "2026-03-01t10:00:00z", "2026-03-01T10:00:00.000000Z"),
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
        ("time", 1e18),
    ],
)
def test_a_value_without_its_columns_type_is_a_dead_letter(type_: str, value: Json) -> None:
    with pytest.raises(Permanent, match=f"column 'a' must be of the type {type_}"):
        values_of({"columns": {"a": {"value": "data", "type": type_}}}, value)


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
