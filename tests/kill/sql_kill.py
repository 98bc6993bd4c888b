"""The kill test of rows: notify is killed while events become rows of a database. Then the rows are counted."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kill.checker import Disturbance
from tests.kill.disturbances import FAULTS, HOUR, Clock, Disturber
from tests.kill.kill import SECRET, ledger_rows
from tests.kill.senders import Sent, send_all
from tests.running.processes import ROOT
from tests.running.stack import Stack, running

CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: rows}
destinations:
  rows:
    sql: {url_secret: rows-database, table: arrivals, columns: {number: {value: data.id, type: integer}}, create: true}
    timeout: 2s
    retry: [1s, 2s, 5s, 10s, 10s, 10s, 10s, 10s, 10s, 10s]
"""
SETTLE_SECONDS: Final = 200.0
LOOK_SECONDS: Final = 1.5
FINAL: Final = frozenset({"delivered", "dead_lettered"})


@dataclass(frozen=True, slots=True)
class SqlStorm:
    events: int
    rate: float
    kills: int
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Rows:
    """The numbers of the events that were accepted, and those in the table, sorted."""

    accepted: list[int]
    found: list[int]
    kills: int
    states: Mapping[str, int]

    def __str__(self) -> str:
        twice = len(self.found) - len(set(self.found))
        lost = len(set(self.accepted) - set(self.found))
        counts = f"{len(self.accepted):,} accepted, {len(self.found):,} rows, {twice} twice, {lost} lost"
        return f"{counts}; notify killed {self.kills} times; deliveries: {dict(self.states)}"


def sql_kill_test(folder: Path, url: str, storm: SqlStorm, read: Callable[[], list[int]]) -> Rows:
    """`url` is the database's, which has no table yet; `read` returns the numbers in the table."""
    clock = Clock(folder / "clock")
    hooks = str(ROOT / "tests" / "kill" / "hooks")
    environ = {**clock.environ, "PYTHONPATH": hooks, "SHOP_KEY": SECRET, "ROWS_DATABASE": url}
    with running(folder, CONFIG, environ) as stack:
        assert stack.trouble({"seed": storm.seed, **FAULTS})
        disturber = Disturber(stack, None, clock, None, 0)
        sent = asyncio.run(_storm(disturber, storm))
        _settle(stack, sent, read, clock)
        rows = ledger_rows(stack)
        states: dict[str, int] = {}
        for row in rows:
            states[row.state] = states.get(row.state, 0) + 1
        return Rows(sorted(sent.accepted), sorted(read()), _kills(disturber.noted), states)


def _kills(noted: list[Disturbance]) -> int:
    return sum(each.kind == "kill" for each in noted)


async def _storm(disturber: Disturber, storm: SqlStorm) -> Sent:
    headers, chance = {"Authorization": f"Bearer {SECRET}"}, random.Random(storm.seed)
    url = f"{disturber.stack.url}/shop"
    sending = asyncio.create_task(send_all(url, headers, storm.events, storm.rate, storm.seed))
    for _ in range(storm.kills):
        await asyncio.sleep(chance.uniform(0.2, 1.8) * storm.events / storm.rate / (storm.kills + 1))
        await disturber.kill("notify")
    return await sending


def _settle(stack: Stack, sent: Sent, read: Callable[[], list[int]], clock: Clock) -> None:
    """Until every accepted event has its row and no delivery is open, or time is over.

    Once no row comes any more, the clock goes an hour ahead: the leases of what was killed are over.
    """
    give_up_at, seen = time.monotonic() + SETTLE_SECONDS, -1
    while time.monotonic() < give_up_at:
        found = set(read())
        if sent.accepted <= found and all(row.state in FINAL for row in ledger_rows(stack)):
            return
        if len(found) == seen:
            clock.step(HOUR)
        seen = len(found)
        time.sleep(LOOK_SECONDS)
