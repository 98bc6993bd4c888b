"""What lint, bundles, `explain` and `doctor` say of a destination of the kind `sql`."""

import argparse
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from deploy.bundle.bundle import CannotDeploy, contents
from deploy.bundle.requirements import needed_extras
from deploy.cli import lint
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.configured import LoadedConfig
from deploy.doctor import checks
from deploy.doctor.checks import Subject, database_checks
from deploy.doctor.databases import databases
from deploy.explain.config_tests import run_config_tests
from deploy.explain.deliveries import Situation, preview_delivery
from deploy.secrets.backend import StoredSecret
from deploy.terminal.finding import Finding
from functions.notify.examples import example_delivery
from shared.delivery import Delivery
from shared.jsontext import JsonObject
from tests.fakes.configurations import compile_text

COLUMNS: Final = "{number: data.n, name: {value: data.name, type: text}, paid: {value: data.paid, type: boolean}}"
AT_HOST: Final = "driver: mysql, host: db.example.com, database: shop, user: app, password_secret: shop-password"
CONFIG: Final = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: orders}]
destinations: {orders: {sql: {PLACE, table: orders, columns: COLUMNS, OTHERS}}}
"""


class StoredSecrets:
    """Secrets as they are stored; nothing is written."""

    def __init__(self, stored: Mapping[str, str]) -> None:
        self._stored = stored

    def find(self, names: Sequence[str]) -> Mapping[str, StoredSecret]:
        return {name: StoredSecret(self._stored[name], ".env") for name in names if name in self._stored}

    def write(self, name: str, text: str, forget: bool) -> list[str]:
        raise AssertionError

    def how_to_read(self, name: str) -> str:
        raise AssertionError


def text_of(place: str, others: str = "key: number") -> str:
    return CONFIG.replace("PLACE", place).replace("COLUMNS", COLUMNS).replace("OTHERS", others)


def notify_of(place: str, others: str = "key: number") -> JsonObject:
    return compile_text(text_of(place, others))["notify"]


def test_its_libraries_are_in_a_bundle_that_uses_it(root: Path) -> None:
    notify = notify_of(AT_HOST)
    assert needed_extras("notify", notify) == ("sql",)
    files = contents(root, "notify", notify, "aws")
    text = next(content.decode() for place, content in files.items() if place.name == "requirements.txt")
    assert [name for name in ("sqlalchemy==", "pg8000==", "pymysql==", "scramp==") if name not in text] == []


@pytest.mark.parametrize(
    ("place", "platforms"),
    [
        ("driver: sqlite, database: orders.db", ("gcp", "aws")),
        (AT_HOST.replace("host: db.example.com", "cloud_sql: 'p:r:i'"), ("aws",)),
    ],
)
def test_no_bundle_is_made_for_a_cloud_without_its_database(root: Path, place: str, platforms: tuple[str, ...]) -> None:
    for platform in platforms:
        with pytest.raises(CannotDeploy, match=r"destinations\.orders\.sql\.(driver|cloud_sql): "):
            contents(root, "notify", notify_of(place), platform)


def test_lint_says_that_sqlite_is_for_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(text_of("driver: sqlite, database: orders.db"), encoding="utf-8")
    assert lint.main(["--config", str(path)]) == 0
    assert "`sqlite` is not for a cloud" in capsys.readouterr().err


@pytest.mark.parametrize(("create", "is_warned"), [("false", True), ("true", False)])
def test_lint_warns_of_columns_that_the_database_converts(
    create: str, is_warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = "columns: {n: data.n, name: data.name, paid: {value: data.paid, type: boolean}}, key: n, newer_by: name"
    settings = f"sql: {{url_secret: db, table: orders, create: {create}, {columns}}}"
    path = tmp_path / "hookchain.yaml"
    text = "sources: {s: {auth: none}}\nroutes: [{name: r, from: s, to: orders}]\n"
    path.write_text(f"{text}destinations: {{orders: {{{settings}}}}}\n", encoding="utf-8")
    assert lint.main(["--config", str(path)]) == 0
    warned = capsys.readouterr().err
    assert ("columns without `type`: n, name;" in warned) is is_warned
    assert ("newer_by: 'name' is a column of text" in warned) is not is_warned


def test_explain_shows_the_row() -> None:
    event = example_delivery({"n": 7, "name": "it's Ann", "paid": True}).event
    found = preview_delivery(Delivery(event, "orders", "orders"), notify_of(AT_HOST), {}, Situation(0.0))
    assert found.check.text == "sql: insert or replace by number in the table orders"
    assert found.lines[1] == "The row for 'orders' by route 'orders'"
    assert found.lines[2:5] == ("    number = 7", "    name = it's Ann", "    paid = 1")


def test_explain_says_which_value_does_not_fit() -> None:
    event = example_delivery({"n": 7, "paid": "perhaps"}).event
    found = preview_delivery(Delivery(event, "orders", "orders"), notify_of(AT_HOST), {}, Situation(0.0))
    assert found.check.state == "failed"
    assert "column 'paid' must be of the type boolean; got text" in found.check.text


def test_doctor_imports_what_its_check_needs_before_checks_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "deploy.doctor.databases")
    configuration = LoadedConfig({}, None, {}, {"notify": notify_of("url_secret: shop")})
    subject = Subject(argparse.Namespace(), {}, configuration, "")
    [check] = database_checks(subject, StoredSecrets({}))
    assert "deploy.doctor.databases" in sys.modules  # two threads that import SQLAlchemy at once can both fail
    assert check.run().verdict == "unknown"


@pytest.mark.parametrize(("is_local", "verdict"), [(True, "problem"), (False, "unknown")])
def test_doctor_says_how_to_install_a_missing_sqlalchemy(
    is_local: bool, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    configuration = LoadedConfig({}, None, {}, {"notify": notify_of("url_secret: shop")})
    subject = Subject(argparse.Namespace(), {}, configuration, "")
    [check] = database_checks(subject, StoredSecrets({}), is_local=is_local)
    found = check.run()
    assert (found.verdict, found.found) == (verdict, "SQLAlchemy is not installed here")
    assert "pip install" in found.todo


def doctor_finding(tmp_path: Path, table: str, others: str = "key: number") -> Finding:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(table)
    place = StoredSecrets({"shop": f"sqlite:///{file}"})
    return databases(notify_of("url_secret: shop", others), place)


WHOLE: Final = "CREATE TABLE orders (number int PRIMARY KEY, name text, paid boolean, at text DEFAULT 'now')"


@pytest.mark.parametrize(
    ("table", "others", "problem"),
    [
        (WHOLE, "key: number", ""),
        ("", "key: number", "orders: the database has no table orders"),
        (WHOLE.replace(", name text", ""), "key: number", "orders: orders: it has no column 'name'"),
        (
            WHOLE.replace("PRIMARY KEY", ""),
            "key: number",
            "orders: the table orders needs a unique index over number; without it, rows would be there twice",
        ),
        (
            WHOLE.replace("at text", "at varchar(32) UNIQUE"),
            "delivery_id: at",
            "orders: orders: column 'at' is VARCHAR(32); a delivery's id has up to 80 characters",
        ),
        ("", "create: true, key: number", ""),
        (
            WHOLE.replace("paid boolean", "paid datetime"),
            "key: number",
            "orders: orders: column 'paid' is DATETIME, which does not take the type boolean",
        ),
        (
            WHOLE.replace("at text", "at text NOT NULL").replace(" DEFAULT 'now'", ""),
            "key: number",
            "orders: orders: column 'at' needs a value, and `columns` has none for it",
        ),
    ],
)
def test_doctor_compares_the_table_with_the_mapping(tmp_path: Path, table: str, others: str, problem: str) -> None:
    found = doctor_finding(tmp_path, table, others)
    assert found.verdict == ("problem" if problem else "ok"), found
    if problem:
        assert found.found == problem


def test_doctor_does_not_know_of_a_database_whose_secret_is_missing() -> None:
    assert databases(notify_of("url_secret: shop"), StoredSecrets({})).verdict == "unknown"


def test_a_configuration_test_compares_the_columns_that_it_names() -> None:
    body = "{n: 7, name: Ann, paid: false}"
    text = (
        text_of(AT_HOST)
        + f"""
tests:
  - name: a row
    input: {{source: shop, body: {body}}}
    expect: [{{to: orders, row: {{number: "7", name: Bob, paid: false, total: 1}}}}]
"""
    )
    file = parse_config(text, "test.yaml", Path())
    [result] = run_config_tests(file.document, compile_config(file), Path())
    assert list(result.lines[:4]) == [
        "to 'orders':",
        "  row has no column 'total'",
        "  row's number: expected '7', found 7",
        "  row's name: expected 'Bob', found 'Ann'",
    ]


@pytest.mark.parametrize(("is_local", "verdict"), [(True, "problem"), (False, "unknown")])
def test_a_database_that_is_down_is_a_problem_where_notify_runs_on_this_machine(is_local: bool, verdict: str) -> None:
    place = StoredSecrets({"shop": "postgresql://shop:a-password@127.0.0.1:1/shop"})
    found = databases(notify_of("url_secret: shop"), place, is_local=is_local)
    assert (found.verdict, "not reachable" in found.found) == (verdict, True)
    assert "a-password" not in f"{found}"
