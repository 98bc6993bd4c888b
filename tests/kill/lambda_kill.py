"""The kill test on the local Lambda: runtimes are killed, and the queues deliver messages twice, late and again.

The verdict is that of checker.py, as for the other platform. Besides, no event may have more mails than its delivery
has attempts in the ledger.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.history.journal_view import EventQuery
from deploy.history.local import open_local_state
from shared.jsontext import JsonObject
from tests.kill.checker import Arrival, Disturbance, Grace, check
from tests.kill.kill import HANGING, LONG_WAITS, SECRET, Outcome, Storm, ledger_rows, settle, with_hanging
from tests.kill.senders import Sent, send_all
from tests.running.emulation import JSON_TYPE
from tests.running.local_lambda import runtimes
from tests.running.processes import PATIENCE_SECONDS, ROOT, wait_for
from tests.running.stack import Stack, running
from tests.stand_ins.outside_receiver import receiving

CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id, subject: data.id}
routes:
  - {name: all, from: shop, to: [inbox]}
destinations:
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.id }}", via: sendgrid}
    timeout: 5s
    retry: [1s, 2s, 5s, 10s, 10s, 10s, 10s, 10s, 10s, 10s]
"""
FAULTS: Final[JsonObject] = {"duplicate": 0.05, "delay": 0.05, "delay_seconds": 3.0, "nack": 0.05}
NAMES: Final = ("receive", "transform", "notify")
GRACE: Final = Grace(before_seconds=1.0, after_seconds=5.0)
"""The local AWS takes its time to record an attempt."""
BACK_SECONDS: Final = 60.0
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class LambdaOutcome:
    """`unrecorded` counts the mails of an event beyond its delivery's attempts, by the event's subject."""

    outcome: Outcome
    unrecorded: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        return self.outcome.is_good and not self.unrecorded

    def __str__(self) -> str:
        return f"{self.outcome}; {len(self.unrecorded)} events with more mails than attempts in the ledger"


@dataclass(slots=True)
class Killer:
    """Kills the runtimes of one function at a time, and notes when."""

    state: Path
    noted: list[Disturbance] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)

    async def kill(self, name: str) -> None:
        """Kill every runtime of the function; where there is none at the moment, once there is one."""
        async with asyncio.timeout(BACK_SECONDS):
            while not (pids := await asyncio.to_thread(runtimes, self.state, name)):
                await asyncio.sleep(0.1)
        began_at = time.monotonic()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed[f"runtime of {name}"] += 1
        self.noted.append(Disturbance("kill", began_at, time.monotonic(), "" if name == "notify" else name))


def lambda_kill_test(folder: Path, storm: Storm) -> LambdaOutcome:
    began = time.monotonic()
    with contextlib.ExitStack() as stage:
        receivers = {"mail": stage.enter_context(receiving("mail", folder / "arrivals"))}
        for name in HANGING if storm.hangs else ():
            receivers[name] = stage.enter_context(receiving("webhook", folder / f"arrivals-{name}"))
        config = CONFIG
        if storm.hangs:
            config = with_hanging(CONFIG, receivers, f"    timeout: 5s\n    retry: {LONG_WAITS}\n")
            receivers["hanging"].hang()
        environ = {
            "DISTURBED_REMOVED": storm.removed,
            "PYTHONPATH": str(ROOT / "tests" / "kill" / "hooks"),
            "SENDGRID_API_KEY": "SG.of-the-kill-test",
            "SENDGRID_API_URL": f"http://127.0.0.1:{receivers['mail'].port}",
            "SHOP_KEY": SECRET,
        }
        stack = stage.enter_context(running(folder, config, environ, ["--platform", "aws", "--send-mail"]))
        for name in ("transform", "notify"):
            disturb_queues(stack.port(name), storm.seed)
        killer = Killer(stack.state)
        sent = asyncio.run(_storm(stack, killer, storm))
        if storm.hangs:
            receivers["hanging"].answer_again()
        settle(storm, stack, receivers, sent, lambda: None)
        verdicts = {name: check(sent.posts, each.arrivals(), killer.noted, GRACE) for name, each in receivers.items()}
        outcome = Outcome(verdicts, len(sent.posts), killer.killed, time.monotonic() - began)
        return LambdaOutcome(outcome, _unrecorded(stack, receivers["mail"].arrivals()))


def disturb_queues(port: int, seed: int) -> None:
    """Have the pollers of the function at this port deliver twice, late and again."""
    body = json.dumps({"seed": seed, "bus": FAULTS}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/emulator/faults", body, JSON_TYPE)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == 200


async def _storm(stack: Stack, killer: Killer, storm: Storm) -> Sent:
    chance = random.Random(storm.seed)
    names = [name for _ in range(storm.kills) for name in NAMES][: storm.kills]
    chance.shuffle(names)
    headers = {"Authorization": f"Bearer {SECRET}"}
    sending = asyncio.create_task(send_all(f"{stack.url}/shop", headers, storm.events, storm.rate, storm.seed))
    for name in names:
        await asyncio.sleep(chance.uniform(0.2, 1.8) * storm.events / storm.rate / (len(names) + 1))
        await killer.kill(name)
    return await sending


def _unrecorded(stack: Stack, arrivals: list[Arrival]) -> Mapping[str, int]:
    attempts = {row.event_id: row.attempt_number for row in ledger_rows(stack) if row.destination == "inbox"}
    wait_for(lambda: attempts.keys() <= _subjects(stack.state).keys())  # the journal is written after the event's work
    subjects = _subjects(stack.state)
    known = {subjects[event_id]: count for event_id, count in attempts.items()}
    mails = Counter(each.id for each in arrivals)
    return {id: count - known.get(id, 0) for id, count in mails.items() if count > known.get(id, 0)}


def _subjects(state: Path) -> Mapping[str, str]:
    """Return the subject of each event in the journal, by id."""
    found: dict[str, str] = {}
    before: int | None = None
    with open_local_state(state) as opened:
        while True:
            page = opened.reader.events(EventQuery(limit=PAGE, before=before))
            found |= {each.id: each.subject or "" for each in page.events}
            if page.next_before is None:
                return found
            before = page.next_before
