"""The kill test: events are posted while the processes behind them are killed; then every mail is accounted for."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.cloud.local.ledger import LocalLedger
from shared.jsontext import JsonObject
from shared.ledger import LedgerRow
from tests.kill.senders import Sent, send_all
from tests.stack import OFFSETS, Stack, running

SECRET: Final = "a-secret-of-the-kill-test"
CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: inbox}
destinations:
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.id }}"}
    timeout: 2s
    retry: [1s, 2s, 5s, 10s, 10s, 10s, 10s, 10s, 10s, 10s]
"""
FAULTS: Final[JsonObject] = {"bus": {"duplicate": 0.05, "nack": 0.05}}
SETTLE_SECONDS: Final = 240.0
BACK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unexplained`: events with more mails than attempts that the ledger saw begin."""

    posted: int
    accepted: int
    tries: int
    kills: Mapping[str, int]
    mails: int
    extra: int
    lost: tuple[int, ...]
    unexplained: tuple[int, ...]
    seconds: float

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.unexplained and self.accepted >= 0.95 * self.posted

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.posted:,} events posted in {self.tries:,} tries, {self.accepted:,} accepted; "
            f"killed -9: {kills}; {self.mails:,} mails, {len(self.lost)} accepted without one, "
            f"{self.extra} extra, {len(self.unexplained)} of those without an attempt; {self.seconds:.0f} s"
        )


def kill_test(folder: Path, events: int, kills: int, rate: float, seed: int) -> Verdict:
    began = time.monotonic()
    with running(folder, CONFIG, {"SHOP_KEY": SECRET}) as stack:
        assert stack.trouble({"seed": seed, **FAULTS})
        sent, killed = asyncio.run(_storm(stack, events, kills, rate, seed))
        _settle(stack, sent)
        return _judge(stack, events, sent, killed, time.monotonic() - began)


async def _storm(stack: Stack, events: int, kills: int, rate: float, seed: int) -> tuple[Sent, Counter[str]]:
    chance = random.Random(seed)
    duration = events / rate
    moments = sorted(chance.uniform(0.05, 0.95) * duration for _ in range(kills))
    names = [name for _ in range(kills) for name in OFFSETS][:kills]
    chance.shuffle(names)
    headers = {"Authorization": f"Bearer {SECRET}"}
    sending = asyncio.create_task(send_all(f"{stack.url}/shop", headers, events, rate, seed))
    killed = await _kill(stack, list(zip(moments, names, strict=True)))
    return await sending, killed


async def _kill(stack: Stack, plan: list[tuple[float, str]]) -> Counter[str]:
    began = time.monotonic()
    killed: Counter[str] = Counter()
    for moment, name in plan:
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        async with asyncio.timeout(BACK_SECONDS):  # dead already: once it is back
            while not await asyncio.to_thread(stack.kill, name):
                await asyncio.sleep(0.2)
            killed[name] += 1
            while name == "apis" and not await asyncio.to_thread(stack.trouble, FAULTS):
                await asyncio.sleep(0.1)
    return killed


def _settle(stack: Stack, sent: Sent) -> None:
    """Until every accepted event has a mail and no delivery is open, or the time is over."""
    give_up_at = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < give_up_at:
        rows = ledger_rows(stack)
        if all(row.state in {"done", "failed"} for row in rows) and sent.accepted <= mails(stack).keys():
            return
        _pass_unknown_waits(stack)
        time.sleep(1.0)


def _pass_unknown_waits(stack: Stack) -> None:
    """Make due what waits for minutes because the mail service was killed before it answered. Other tests hold the
    length of that wait."""
    with closing(sqlite3.connect(stack.state / "ledger.db", timeout=10.0)) as ledger, ledger:
        ledger.execute(
            "UPDATE deliveries SET retry_at = ? WHERE state = 'retry_at' AND unknown_count > 0", (time.time(),)
        )


def _judge(stack: Stack, events: int, sent: Sent, killed: Counter[str], seconds: float) -> Verdict:
    counts = mails(stack)
    attempts = {int(row_number(row)): row.attempt_number for row in ledger_rows(stack)}
    return Verdict(
        posted=events,
        accepted=len(sent.accepted),
        tries=sent.tries,
        kills=dict(killed),
        mails=sum(counts.values()),
        extra=sum(count - 1 for count in counts.values()),
        lost=tuple(sorted(sent.accepted - counts.keys())),
        unexplained=tuple(sorted(number for number, count in counts.items() if count > attempts.get(number, 0))),
        seconds=seconds,
    )


def mails(stack: Stack) -> Counter[int]:
    """By event."""
    return Counter(int(mail.subject) for mail in stack.mails())


def ledger_rows(stack: Stack) -> list[LedgerRow]:
    async def read() -> list[LedgerRow]:
        ledger = LocalLedger(stack.state / "ledger.db")
        try:
            return list(await ledger.rows(1_000_000))
        finally:
            await ledger.close()

    return asyncio.run(read())


def row_number(row: LedgerRow) -> str:
    """The event's own number, from the delivery that the row holds."""
    found = row.message.partition(b'"deliveryid":"')[2].partition(b'"')[0]
    return found.decode()
