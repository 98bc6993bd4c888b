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
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater
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


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", RetryLater),
        ("57P01", RetryLater),
        ("57014", RetryLater),
        ("40001", RetryLater),
        ("40P01", RetryLater),
        ("53300", RetryLater),
        ("25006", RetryLater),
        ("55P03", RetryLater),
        ("22021", Failed),
        ("22003", Failed),
        ("23502", Failed),
        ("23505", Failed),
        ("54000", Failed),
        ("55000", Disabled),
        ("28P01", Disabled),
        ("3D000", Disabled),
        ("42501", Disabled),
        ("42P01", Disabled),
        ("42703", Disabled),
        ("42P10", Disabled),
    ],
)
def test_postgresql_says_by_its_code_what_follows(state: str, kind: type[Outcome]) -> None:
    outcome = outcome_of("postgresql", {"C": state, "M": "what\nhappened", "n": "a_constraint"})
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Delivered)
    assert f"({state}, a_constraint)" in outcome.reason
    assert outcome.answer == "what happened"


def test_a_postgresql_without_numbers_for_transactions_is_tried_later() -> None:
    message = 'database is not accepting commands to avoid wraparound data loss in database "shop"'
    assert isinstance(outcome_of("postgresql", {"C": "54000", "M": message}), RetryLater)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (2006, RetryLater),
        (2013, RetryLater),
        (1040, RetryLater),
        (1927, RetryLater),
        (1047, RetryLater),
        (1205, RetryLater),
        (1213, RetryLater),
        (1290, RetryLater),
        (1048, Failed),
        (1062, Failed),
        (1264, Failed),
        (1366, Failed),
        (1406, Failed),
        (1118, Failed),
        (1526, Failed),
        (1045, Disabled),
        (1049, Disabled),
        (1054, Disabled),
        (1142, Disabled),
        (1146, Disabled),
    ],
)
def test_mysql_says_by_its_number_what_follows(number: int, kind: type[Outcome]) -> None:
    outcome = outcome_of("mysql", number, "what happened")
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Delivered)
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
