"""The outbox that `hookchain sources NAME --snippet sql` prints, in a real PostgreSQL, and its worker."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_file
from deploy.requests.snippet import find_sender, make_snippet
from deploy.requests.sources import compiled_sources
from tests.fakes.receiver import ScriptedReceiver, http_answer, receiver
from tests.running.databases import postgresql
from tests.running.processes import PATIENCE_SECONDS, ROOT, wait_for
from tests.unit.shared.hmac_verification import verify_hmac

pytestmark = pytest.mark.slow

RECIPE: Final = ROOT / "deploy" / "recipes" / "database-row-to-mail" / "hookchain.yaml"
SOURCE: Final = "orders-table"
KEY: Final = "the key of the orders table"
POLLS: Final = "timeout=5"
"""What the worker looks after at the latest, where PostgreSQL did not tell it of a row."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a new database."""
    pytest.importorskip("psycopg", reason="psycopg is not here: pip install 'psycopg[binary]'")
    with postgresql() as url:
        yield url


def psql(database: str, text: str, *options: str) -> str:
    command = ["psql", database, "--quiet", "--tuples-only", "--no-align", "--no-psqlrc", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


def snippet(language: str, url: str) -> str:
    slices = compile_file(RECIPE, {})
    settings = compiled_sources(slices["receive"])[SOURCE]
    assert isinstance(settings, dict)
    return make_snippet(language, find_sender(SOURCE, settings, url, slices["transform"]))


@pytest.fixture
def outbox(database: str) -> str:
    psql(database, "DROP TABLE IF EXISTS orders, hookchain_outbox; CREATE TABLE orders (id int, customer text)")
    for _ in range(2):  # it can be run again
        psql(database, snippet("sql", "http://unused.example.com"), "--set", "table=orders")
    return database


@pytest.fixture
def hook() -> Iterator[ScriptedReceiver]:
    with receiver(http_answer(200, b'{"id":"3f2a9c"}')) as scripted:
        yield scripted


@pytest.fixture
def start_worker(outbox: str, tmp_path: Path) -> Iterator[Callable[[str, int], None]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(url: str, poll_seconds: int) -> None:
        script = tmp_path / "send_outbox.py"
        text = snippet("sql-worker", url)
        assert POLLS in text
        script.write_text(text.replace(POLLS, f"timeout={poll_seconds}"), encoding="utf-8")
        client = str(ROOT / "deploy" / "client")
        environ = {**os.environ, "DATABASE_URL": outbox, "ORDERS_KEY": KEY, "PYTHONPATH": client}
        running.append(subprocess.Popen([sys.executable, str(script)], env=environ))

    yield start
    for process in running:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def test_a_committed_row_is_sent_once_and_signed(
    outbox: str, start_worker: Callable[[str, int], None], hook: ScriptedReceiver
) -> None:
    psql(outbox, "INSERT INTO orders VALUES (1, 'it''s Ann')")
    psql(outbox, "BEGIN; INSERT INTO orders VALUES (2, 'nobody'); ROLLBACK")
    start_worker(hook.url, 3_600)
    wait_for(lambda: psql(outbox, "SELECT count(*) FROM hookchain_outbox WHERE sent_at IS NULL") == "0")
    psql(outbox, "INSERT INTO orders VALUES (3, 'Grace')")  # the worker waits, and hears of it
    wait_for(lambda: len(hook.bodies) == 2)
    assert [b'"id":1' in hook.bodies[0], b'"id":3' in hook.bodies[1]] == [True, True]
    assert b'"event":"order.created"' in hook.bodies[0]
    verify_hmac(hook.header("x-orders-signature"), hook.bodies[1], [KEY], "sha256", "hex", "sha256=")


def test_what_is_not_confirmed_stays_in_the_outbox(outbox: str, start_worker: Callable[[str, int], None]) -> None:
    with receiver(http_answer(503, b'{"code":"unavailable"}')) as hook:
        psql(outbox, "INSERT INTO orders VALUES (1, 'Ann')")
        start_worker(hook.url, 1)
        wait_for(lambda: len(hook.bodies) >= 2)
        sent = {line for head in hook.heads for line in head.split("\r\n") if line.startswith("webhook-id")}
    assert len(sent) == 1
    state = psql(
        outbox, "SELECT sent_at IS NULL, attempts >= 1, retry_at > created_at, last_error FROM hookchain_outbox"
    )
    assert state.startswith("t|t|t|not confirmed")
