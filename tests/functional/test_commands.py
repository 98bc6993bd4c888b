"""An operator at the command line, while the whole pipe runs."""

import json
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from shared.jsontext import Json, JsonObject, objects_at
from tests.fakes.command import Command
from tests.running.processes import Request, wait_for
from tests.running.sending import post_until_confirmed
from tests.running.stack import Stack, running

pytestmark = pytest.mark.slow

CONFIG = """\
sources:
  signed:
    auth: {scheme: hmac, header: X-Signature, secret: signed-key}
    type: header.X-Event
    id: data.order.id
  in-path: {auth: {scheme: path, secret: path-token}}
  pay: {provider: stripe, secret: pay-key}
  chat: {provider: discord, secret: chat-key}
  shop: {auth: none, id: data.id, subject: data.id}
routes:
  - {name: money, from: pay, types: ["*.payment_failed"], to: crm}
  - {name: orders, from: signed, types: [order.*], to: people}
  - {name: from the path, from: in-path, where: data.plan == 'big', to: [people, crm]}
  - {name: all, from: shop, to: inbox}
  - {name: fragile, from: shop, types: [fragile.*], steps: [{set: {data.top: {from: max(data.none)}}}], to: inbox}
  - {name: once, from: shop, types: [once.*], to: once}
destinations:
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.id }}"}
  once:
    email: {to: [once@example.com], from: shop@example.com, subject: "once {{ data.id }}"}
    retry: []
  people: {email: {to: [ann@example.com]}}
  crm: {email: {to: [bob@example.com]}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("pipe"), CONFIG, {}) as up:
        yield up


@pytest.fixture
def hookchain(stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(stack.state))
    return Command(capsys)


def sent(stack: Stack, event_type: str, order: str) -> None:
    body = json.dumps({"event": event_type, "id": order}).encode()
    post_until_confirmed(stack.base, Request("/shop", body, {"Content-Type": "application/json"}))


def the_only(rows: Json) -> JsonObject:
    [row] = objects_at(rows)
    return row


def mails(stack: Stack) -> Counter[str]:
    return Counter(mail.subject for mail in stack.mails())


def listed_once(hookchain: Command, *filters: str) -> Callable[[], bool]:
    return lambda: len(hookchain(*filters).splitlines()) == 2


def test_an_event_is_found_with_its_attempts(stack: Stack, hookchain: Command) -> None:
    sent(stack, "order.created", "A1")
    wait_for(listed_once(hookchain, "events", "list", "--text", "A1", "--status", "delivered"))
    event = the_only(hookchain.json("events", "list", "--text", "A1")["events"])
    assert (event["source"], event["type"], event["subject"]) == ("shop", "order.created", "A1")
    shown = hookchain("events", "show", str(event["id"])[:8])
    assert "POST answered 200" in shown
    assert "fragile: not_matched" in shown
    assert "to inbox by route 'all': delivered" in shown
    assert "answer: 202" in shown


def test_a_replay_repeats_a_delivery_only_where_it_is_forced(stack: Stack, hookchain: Command) -> None:
    sent(stack, "once.created", "B1")
    wait_for(lambda: (mails(stack)["B1"], mails(stack)["once B1"]) == (1, 1))
    choice = ("events", "replay", "--text", "B1")
    assert "1 event would be replayed" in hookchain(*choice)
    hookchain(*choice, "--yes")
    hookchain(*choice, "--yes", "--force", "--only", "once")
    wait_for(lambda: mails(stack)["once B1"] == 2)
    assert mails(stack)["B1"] == 1


def test_a_mail_that_was_given_up_on_goes_out_once_the_provider_is_back(stack: Stack, hookchain: Command) -> None:
    assert stack.trouble({"mail": {"unplugged": True}})
    sent(stack, "once.created", "C1")
    chosen = ("--destination", "once", "--text", "C1")
    wait_for(listed_once(hookchain, "dead-letters", "list", *chosen))
    letter = the_only(hookchain.json("dead-letters", "list", *chosen)["dead_letters"])
    assert letter["code"] == "retries_exhausted"
    assert stack.trouble({"mail": {"unplugged": False}})
    assert "would be replayed" in hookchain("dead-letters", "replay", str(letter["id"])[:8])
    assert mails(stack)["once C1"] == 0
    assert hookchain("dead-letters", "replay", str(letter["id"])[:8], "--yes") == "1 dead letter replayed\n"
    wait_for(lambda: mails(stack)["once C1"] == 1)
    wait_for(listed_once(hookchain, "dead-letters", "list", *chosen, "--status", "replayed"))


def test_a_route_that_fails_again_is_kept_and_repeats_no_other_routes_mail(stack: Stack, hookchain: Command) -> None:
    sent(stack, "fragile.created", "D1")
    chosen = ("--route", "fragile", "--text", "D1")
    wait_for(listed_once(hookchain, "dead-letters", "list", *chosen))
    first = the_only(hookchain.json("dead-letters", "list", *chosen)["dead_letters"])

    def kept_again() -> bool:
        letter = the_only(hookchain.json("dead-letters", "list", *chosen, "--status", "all")["dead_letters"])
        return letter["state"] == "kept" and letter["at"] != first["at"]

    hookchain("dead-letters", "replay", *chosen, "--yes")
    wait_for(kept_again)
    assert mails(stack)["D1"] == 1
    hookchain("dead-letters", "drop", *chosen, "--yes")
    assert hookchain.json("dead-letters", "list", *chosen)["dead_letters"] == []


def test_an_event_that_had_already_arrived_is_called_a_duplicate(stack: Stack, hookchain: Command) -> None:
    url, body = f"http://localhost:{stack.base}/shop", '{"event": "order.created", "id": "G1"}'
    first = hookchain.json("send", url, "--data", body)
    wait_for(listed_once(hookchain, "events", "list", "--text", "G1", "--status", "delivered"))
    again = hookchain.json("send", url, "--data", body)
    assert (first["duplicate"], again["duplicate"], first["event_id"] == again["event_id"]) == (False, True, True)
    assert mails(stack)["G1"] == 1


def test_a_smoke_event_is_followed_to_its_end(stack: Stack, hookchain: Command) -> None:
    folder = stack.state.parent
    places = ("--config", str(folder / "hookchain.yaml"), "--env-file", str(folder / "env"))
    smoke = hookchain.partial("smoke", *places)
    output = smoke()
    assert "✓ accepted" in output
    assert "route 'orders' matched" in output
    assert "✓ delivered" in output
    assert "no route matched" in smoke("--source", "in-path", code=1)
    (folder / "big.json").write_text('{"event": "x", "plan": "big"}')
    big = smoke("--source", "in-path", "--file", str(folder / "big.json"))
    assert "It works: 2 of 2 delivered." in big
    assert "route 'money' matched: from 'pay'; type 'invoice.payment_failed'" in smoke("--source", "pay")
    smoke("--source", "chat", code=1)
    assert "`hookchain trigger`" in smoke.error
    assert stack.trouble({"mail": {"unplugged": True}})
    assert "✗ retry_scheduled" in smoke(code=1)
    # The supervisor writes to the log after the journal has it.
    wait_for(lambda: "warning: retry scheduled" in hookchain("logs", "--function", "notify"))
    assert stack.trouble({"mail": {"unplugged": False}})
