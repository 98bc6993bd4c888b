"""The statements that SQLAlchemy writes, and what a driver's error means. No server is asked."""

from collections.abc import Mapping
from typing import Final

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from functions.notify.destinations.sql.database import Statements, distinct_keys
from functions.notify.destinations.sql.faults import fault_of
from functions.notify.destinations.sql.place import Place, engine_of
from functions.notify.destinations.sql.rows import Row
from functions.notify.destinations.sql.settings import Driver, Settings
from shared.delivery import Disabled, Failed, Outcome, RetryLater
from shared.jsontext import Json

DRIVERS: Final[tuple[Driver, ...]] = ("postgresql", "mysql", "sqlite")
COLUMNS: Final[Mapping[str, Json]] = {"a": "data.a", "select": "data.b", "c d": "data.c"}


def statements(driver: Driver, **others: Json) -> Statements:
    settings = Settings.model_validate({"url_secret": "u", "table": "a table", "columns": COLUMNS, **others})
    place = Place(driver, "" if driver == "sqlite" else "db.example.com", None, "d")
    return Statements(settings, engine_of(place, 1, 1.0), driver)


@pytest.mark.parametrize(
    "others", [{}, {"key": "a"}, {"key": "a", "newer_by": "select"}, {"key": ["a", "select", "c d"]}]
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_statement_for_many_rows_is_the_one_that_sqlalchemy_writes(
    driver: Driver, others: Mapping[str, Json]
) -> None:
    made = statements(driver, **others)
    assert made.insert_text(1) == made._compiled(1)
    assert made.insert_text(3) == made._compiled(3)


def test_names_are_quoted_and_values_are_placeholders() -> None:
    assert statements("postgresql").insert_text(1) == (
        'INSERT INTO "a table" (a, "select", "c d", delivery_id) VALUES (%s, %s, %s, %s) '
        "ON CONFLICT (delivery_id) DO NOTHING"
    )


def test_rows_with_the_same_key_keep_their_order_in_groups_of_distinct_keys() -> None:
    rows = [Row((number,), (key,)) for number, key in enumerate("abacab")]
    groups = distinct_keys(rows)
    assert [[each.key[0] for each in group] for group in groups] == [["a", "b", "c"], ["a", "b"], ["a"]]
    assert [[each.values[0] for each in group if each.key == ("a",)] for group in groups] == [[0], [2], [4]]


def outcome_of(driver: Driver, *arguments: object) -> Outcome:
    return fault_of(DBAPIError("INSERT", None, Exception(*arguments)), driver).outcome


POSTGRESQL: Final[Mapping[type[Outcome], str]] = {
    RetryLater: "08006 57P01 57014 40001 40P01 53300 25006 55P03",
    Failed: "22021 22003 23502 23505 54000",
    Disabled: "55000 28P01 3D000 42501 42P01 42703 42P10",
}
MYSQL: Final[Mapping[type[Outcome], str]] = {
    RetryLater: "2006 2013 1040 1927 1047 1205 1213 1290",
    Failed: "1048 1062 1264 1366 1406 1118 1526",
    Disabled: "1045 1049 1054 1142 1146",
}


@pytest.mark.parametrize(("kind", "state"), [(kind, each) for kind in POSTGRESQL for each in POSTGRESQL[kind].split()])
def test_postgresql_says_by_its_code_what_follows(state: str, kind: type[Outcome]) -> None:
    outcome = outcome_of("postgresql", {"C": state, "M": "what\nhappened", "n": "a_constraint"})
    assert isinstance(outcome, kind)
    assert isinstance(outcome, RetryLater | Failed | Disabled)
    assert f"({state}, a_constraint)" in outcome.reason
    assert outcome.answer == "what happened"


def test_a_postgresql_without_numbers_for_transactions_is_tried_later() -> None:
    message = 'database is not accepting commands to avoid wraparound data loss in database "shop"'
    assert isinstance(outcome_of("postgresql", {"C": "54000", "M": message}), RetryLater)


@pytest.mark.parametrize(("kind", "number"), [(kind, int(each)) for kind in MYSQL for each in MYSQL[kind].split()])
def test_mysql_says_by_its_number_what_follows(number: int, kind: type[Outcome]) -> None:
    outcome = outcome_of("mysql", number, "what happened")
    assert isinstance(outcome, kind)
    assert isinstance(outcome, RetryLater | Failed | Disabled)
    assert f"({number})" in outcome.reason


def test_an_error_that_is_not_the_databases_is_of_the_connection_or_of_a_value() -> None:
    assert isinstance(fault_of(OSError("no route"), "postgresql").outcome, RetryLater)
    assert isinstance(fault_of(PoolTimeout("full"), "mysql").outcome, RetryLater)
    assert isinstance(fault_of(OverflowError("a value of the event"), "sqlite").outcome, Failed)
    failed = fault_of(UnicodeEncodeError("utf-8", "a value", 0, 1, "no"), "mysql").outcome
    assert isinstance(failed, Failed)
    assert "a value" not in failed.reason + failed.answer.replace("cannot encode a value", "")
    assert isinstance(fault_of(RuntimeError("cryptography is required"), "mysql").outcome, Disabled)
    assert isinstance(
        fault_of(OperationalError("x", None, Exception("database is locked")), "sqlite").outcome, RetryLater
    )
