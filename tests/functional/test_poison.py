"""A delivery that ends the worker each time is given up on after three attempts; its peers arrive.

For real, with notify's clock twenty times as fast. tests/unit/notify/test_attempt.py holds the same without
processes.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.kill.kill import ledger_rows
from tests.running.processes import PATIENCE_SECONDS, ROOT, Request
from tests.running.sending import post_until_confirmed
from tests.running.stack import Stack, running

SPEED: Final = 20.0
PEERS: Final = 60
CONFIG: Final = """\
sources:
  shop: {{auth: none, id: data.id, subject: data.id}}
routes:
  - {{name: all, from: shop, to: [fragile, inbox]}}
destinations:
  fragile:
    crash: {{file: {file}}}
    timeout: 1s
  inbox:
    email: {{to: [inbox@example.com], from: shop@example.com, subject: "{{{{ data.id }}}}"}}
    timeout: 1s
"""


def send(stack: Stack, name: str, is_poison: bool = False) -> None:
    body = json.dumps({"event": "peer", "id": name, "poison": is_poison}).encode()
    post_until_confirmed(stack.base, Request("/shop", body, {"Content-Type": "application/json"}))


def wait_until_finished(stack: Stack, deliveries: int) -> None:
    """Until all are at an end, and what was given up on is kept."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        rows = ledger_rows(stack)
        if (
            len(rows) == deliveries
            and all(row.state in {"delivered", "dead_lettered"} for row in rows)
            and stack.dead_letters()
        ):
            return
        time.sleep(0.2)
    raise AssertionError(Counter(row.state for row in ledger_rows(stack)))


@pytest.mark.slow
def test_a_delivery_that_ends_the_worker_is_dead_lettered_within_three_attempts(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    environ = {
        "PYTHONPATH": str(ROOT / "tests" / "poison"),
        "POISON_BEGAN": str(time.time()),
        "POISON_SPEED": str(SPEED),
    }
    with running(tmp_path, CONFIG.format(file=notes), environ) as stack:
        for number in range(PEERS):
            send(stack, f"peer {number}")
            if number == PEERS // 2:
                send(stack, "poison", is_poison=True)
        wait_until_finished(stack, 2 * PEERS + 2)
        given_up = stack.dead_letters()
        arrived = Counter(mail.subject for mail in stack.mails())
    noted = Counter(notes.read_text(encoding="utf-8").splitlines())
    twice = sum(count - 1 for count in arrived.values())
    print(f"the worker ended {noted['crashed poison']} times; {len(arrived)} mails arrived, {twice} of them twice")
    assert noted["crashed poison"] <= 3
    assert [(letter.code, letter.destination) for letter in given_up] == [("crashed", "fragile")]
    everyone = {f"peer {number}" for number in range(PEERS)}
    assert {f"delivered {name}" for name in everyone} == noted.keys() - {"crashed poison"}
    assert arrived.keys() == {*everyone, "poison"}
