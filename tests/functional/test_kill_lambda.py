"""The kill test on the local Lambda in small, and messages that end their runtime each time.

`python -m tests.kill --platform aws` is the whole kill test.
"""

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.aws.stack import ensure, place_at
from deploy.history.local import open_local_state
from tests.kill.kill import Storm
from tests.kill.lambda_kill import lambda_kill_test
from tests.running.local_lambda import require_tools
from tests.running.processes import ROOT, Request, wait_for
from tests.running.sending import post_until_confirmed
from tests.running.stack import Stack, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PEERS: Final = 20
RECEIVES: Final = 5
POISON: Final = ("poison of transform", "poison of notify")
CONFIG: Final = """\
sources:
  shop: {auth: none, id: data.id, subject: data.id}
routes:
  - {name: all, from: shop, to: inbox}
destinations:
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.id }}"}
"""


def test_what_was_accepted_arrives_though_runtimes_are_killed_and_messages_come_twice_and_late(tmp_path: Path) -> None:
    require_tools()
    outcome = lambda_kill_test(tmp_path, Storm(events=60, rate=8.0, seed=3, kills=6))
    print(outcome)
    assert {name.rpartition(" ")[2] for name in outcome.outcome.disturbed} == {"receive", "transform", "notify"}
    assert outcome.is_good, outcome


def send(stack: Stack, name: str) -> None:
    body = json.dumps({"event": "peer", "id": name}).encode()
    post_until_confirmed(stack.base, Request("/shop", body, {"Content-Type": "application/json"}))


def given_up(stack: Stack) -> list[tuple[str, str, str]]:
    """Return the topic, the code and the poison of each kept dead letter."""
    with open_local_state(stack.state) as state:
        letters = state.reader.dead_letters(100)
    return sorted((each.topic, each.code, poison_in(each.message)) for each in letters)


def poison_in(message: bytes) -> str:
    return next((name for name in POISON if name.encode() in message), "")


def has_failed_twice(output: Path, function: str) -> bool:
    return len(re.findall(rf"{function} +error: invocation failed", output.read_text(encoding="utf-8"))) >= 2


def test_a_message_that_ends_its_runtime_each_time_is_a_dead_letter_and_its_peers_are_delivered(tmp_path: Path) -> None:
    require_tools()
    environ = {"PYTHONPATH": str(ROOT / "tests" / "poison" / "runtime")}
    with running(tmp_path, CONFIG, environ, ["--platform", "aws"]) as stack:
        asyncio.run(ensure(place_at(f"http://127.0.0.1:{stack.base + 5}"), (), max_receives=RECEIVES))
        for function in ("notify", "transform"):  # by the third time, a message is taken alone
            send(stack, f"poison of {function}")
            wait_for(partial(has_failed_twice, tmp_path / "output", function), 60)
        for number in range(PEERS):
            send(stack, f"peer {number}")
        wait_for(lambda: len(given_up(stack)) >= len(POISON), 120)
        wait_for(lambda: len(stack.mails()) >= PEERS, 60)
        assert given_up(stack) == [
            ("deliveries", "undeliverable", "poison of notify"),
            ("events", "undeliverable", "poison of transform"),
        ]
        assert sorted(mail.subject for mail in stack.mails()) == sorted(f"peer {number}" for number in range(PEERS))
