"""An operator at the command line, while the whole pipe runs."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.jsontext import Json, JsonObject
from tests.processes import PATIENCE_SECONDS, ROOT, Request, wait_for
from tests.sending import post_until_confirmed
from tests.stack import Stack, running

CONFIG = """\
sources:
  shop: {auth: none, id: data.id, subject: data.id}
routes:
  - {name: all, from: shop, to: inbox}
  - {name: fragile, from: shop, types: [fragile.*], steps: [{set: {data.top: {from: max(data.none)}}}], to: inbox}
  - {name: once, from: shop, types: [once.*], to: once}
destinations:
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.id }}"}
  once:
    email: {to: [once@example.com], from: shop@example.com, subject: "once {{ data.id }}"}
    retry: []
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("pipe"), CONFIG, {}) as up:
        yield up


def hookchain(stack: Stack, *arguments: str, code: int = 0) -> str:
    environ = {**os.environ, "HOOKCHAIN_STATE": str(stack.state)}
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def hookchain_json(stack: Stack, *arguments: str) -> JsonObject:
    document: Json = json.loads(hookchain(stack, *arguments, "--json"))
    assert isinstance(document, dict)
    return document


def sent(stack: Stack, event_type: str, order: str) -> None:
    body = json.dumps({"event": event_type, "id": order}).encode()
    post_until_confirmed(stack.base, Request("/shop", body, {"Content-Type": "application/json"}))


def the_only(rows: Json) -> JsonObject:
    assert isinstance(rows, list)
    [row] = rows
    assert isinstance(row, dict)
    return row


def mails(stack: Stack) -> Counter[str]:
    return Counter(mail.subject for mail in stack.mails())


def listed_once(stack: Stack, *filters: str) -> Callable[[], bool]:
    def claim() -> bool:
        arguments = [sys.executable, "-m", "deploy.cli", *filters, "--state", str(stack.state)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        return len(done.stdout.splitlines()) == 2

    return claim


def test_an_event_is_found_with_its_attempts(stack: Stack) -> None:
    sent(stack, "order.created", "A1")
    wait_for(listed_once(stack, "events", "list", "--text", "A1", "--status", "delivered"))
    event = the_only(hookchain_json(stack, "events", "list", "--text", "A1")["events"])
    assert (event["source"], event["type"], event["subject"]) == ("shop", "order.created", "A1")
    shown = hookchain(stack, "events", "show", str(event["id"])[:8])
    assert "POST answered 200" in shown
    assert "fragile: not_matched" in shown
    assert "to inbox by route 'all': delivered" in shown
    assert "answer: 202" in shown


def test_a_replay_repeats_a_delivery_only_where_it_is_forced(stack: Stack) -> None:
    sent(stack, "once.created", "B1")
    wait_for(lambda: (mails(stack)["B1"], mails(stack)["once B1"]) == (1, 1))
    choice = ("events", "replay", "--text", "B1")
    assert "1 event would be replayed" in hookchain(stack, *choice)
    hookchain(stack, *choice, "--yes")
    hookchain(stack, *choice, "--yes", "--force", "--only", "once")
    wait_for(lambda: mails(stack)["once B1"] == 2)
    assert mails(stack)["B1"] == 1


@pytest.mark.slow
def test_a_mail_that_was_given_up_on_goes_out_once_the_provider_is_back(stack: Stack) -> None:
    assert stack.trouble({"mail": {"unplugged": True}})
    sent(stack, "once.created", "C1")
    chosen = ("--destination", "once", "--text", "C1")
    wait_for(listed_once(stack, "dead-letters", "list", *chosen))
    letter = the_only(hookchain_json(stack, "dead-letters", "list", *chosen)["dead_letters"])
    assert letter["code"] == "retries_exhausted"
    assert stack.trouble({"mail": {"unplugged": False}})
    assert "would be replayed" in hookchain(stack, "dead-letters", "replay", str(letter["id"])[:8])
    assert mails(stack)["once C1"] == 0
    assert hookchain(stack, "dead-letters", "replay", str(letter["id"])[:8], "--yes") == "1 dead letter replayed\n"
    wait_for(lambda: mails(stack)["once C1"] == 1)
    wait_for(listed_once(stack, "dead-letters", "list", *chosen, "--status", "replayed"))


@pytest.mark.slow
def test_a_route_that_fails_again_is_kept_again_and_repeats_no_other_routes_mail(stack: Stack) -> None:
    sent(stack, "fragile.created", "D1")
    chosen = ("--route", "fragile", "--text", "D1")
    wait_for(listed_once(stack, "dead-letters", "list", *chosen))
    first = the_only(hookchain_json(stack, "dead-letters", "list", *chosen)["dead_letters"])

    def kept_again() -> bool:
        letter = the_only(hookchain_json(stack, "dead-letters", "list", *chosen, "--status", "all")["dead_letters"])
        return letter["state"] == "kept" and letter["at"] != first["at"]

    hookchain(stack, "dead-letters", "replay", *chosen, "--yes")
    wait_for(kept_again)
    assert mails(stack)["D1"] == 1
    hookchain(stack, "dead-letters", "drop", *chosen, "--yes")
    assert hookchain_json(stack, "dead-letters", "list", *chosen)["dead_letters"] == []


def test_an_event_that_had_already_arrived_is_called_a_duplicate(stack: Stack) -> None:
    url, body = f"http://localhost:{stack.base}/shop", '{"event": "order.created", "id": "G1"}'
    first = hookchain_json(stack, "send", url, "--data", body)
    wait_for(listed_once(stack, "events", "list", "--text", "G1", "--status", "delivered"))
    again = hookchain_json(stack, "send", url, "--data", body)
    assert (first["duplicate"], again["duplicate"], first["event_id"] == again["event_id"]) == (False, True, True)
    assert mails(stack)["G1"] == 1


def test_whoever_reads_only_the_first_line_gets_no_traceback(stack: Stack) -> None:
    for number in range(3):
        sent(stack, "order.created", f"E{number}")
    wait_for(listed_once(stack, "events", "list", "--text", "E2"))
    line = f"'{sys.executable}' -m deploy.cli events list --state '{stack.state}' | true"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.stderr == ""


@pytest.mark.slow
def test_without_the_pipe_one_can_look_but_not_send(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG, {}) as stack:
        sent(stack, "order.created", "F1")
        wait_for(listed_once(stack, "events", "list", "--text", "F1", "--status", "delivered"))
    environ = {"PORT_BASE": str(stack.base)}
    command = [sys.executable, "-m", "deploy.cli", "events", "replay", "--text", "F1", "--state", str(stack.state)]
    dry = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert "1 event would be replayed" in dry.stdout
    done = subprocess.run([*command, "--yes"], cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the bus does not answer at 127.0.0.1:{stack.base + 5}. Start `make dev`" in done.stderr
