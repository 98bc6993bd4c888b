"""Rows in PostgreSQL: how many a core writes, and what one costs beside a webhook. The server does not count."""

import contextlib
from urllib.parse import urlsplit

import yaml

from shared.jsontext import Json, JsonObject, mapping_at
from tests.bench.configurations import configuration, small_order
from tests.bench.folders import new_folder
from tests.bench.pipe import pipe, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import HOOK_PATH
from tests.bench.turns import REPEATS, stages
from tests.running.databases import has_postgresql, postgresql

EVENTS = 250


def measure_sql(run: Run) -> None:
    if not has_postgresql():
        raise RuntimeError("PostgreSQL is not here: install the package postgresql")
    with contextlib.ExitStack() as stack:
        port = urlsplit(stack.enter_context(postgresql())).port
        assert port is not None
        for _, tree in run.rounds_of("rows of a core", min(run.rounds, 3)):
            with run.missing_elsewhere(tree):
                own, single = _rates(tree.probe("rows", str(port)))
                run.record("sql-rows", tree, own)
                run.record("sql-insert", tree, own / single)
        url = f"http://{stack.enter_context(stand_in(new_folder()))}{HOOK_PATH}"
        configurations = (configuration(webhook=url), _rows_of(configuration(), port))
        pipes = {
            tree.name: [stack.enter_context(pipe(tree, each)) for each in configurations] for tree in run.trees[:1]
        }
        for each in pipes[run.trees[0].name]:
            each.warm_up((small_order,))
        for _, tree in run.rounds_of("CPU of a row"):
            if tree.name not in pipes:
                continue
            for _ in range(REPEATS):
                *_, (_, (hook, rows)) = stages(*((each, each.orders(EVENTS, small_order)) for each in pipes[tree.name]))
                run.record_cost("sql-cpu", tree, rows, hook)


def _rates(printed: Json) -> tuple[float, float]:
    """Return the rows for a second of CPU: by the destination, and with one INSERT for each connection."""
    assert isinstance(printed, list)
    own, single = (float(str(each[0])) for each in printed if isinstance(each, list))
    return own, single


def _rows_of(text: str, port: int) -> str:
    """Return the configuration with rows instead of mails."""
    document: JsonObject = yaml.safe_load(text)
    columns: JsonObject = {"event_id": "data.id", "name": "data.customer.name", "email": "data.customer.email"}
    place: JsonObject = {"driver": "postgresql", "host": "127.0.0.1", "port": port, "database": "postgres"}
    row: JsonObject = {**place, "user": "app", "table": "orders", "columns": columns, "create": True}
    document["destinations"] = {name: {"sql": row} for name in mapping_at(document, "destinations")}
    return yaml.safe_dump(document, sort_keys=False)
