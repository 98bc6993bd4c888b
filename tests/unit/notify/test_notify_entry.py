import json
from collections.abc import Callable

import pytest

from functions.notify.entry import Service, answer
from functions.notify.waiting.sweep import Sweeper
from shared.dead_letter_message import dead_letter_message
from shared.delivery import Failed, RetryLater
from shared.errors import Temporary
from shared.http import Reply, Request
from shared.journal import DeadLetter
from shared.push import MAX_PUSH_BYTES
from tests.fakes.bodies import reading
from tests.fakes.destinations import FakeDestination
from tests.fakes.notifier import DELIVERY, FakeNotifier, a_delivery, message_of, push_of
from tests.fakes.pushes import from_anybody


def serving(notifier: FakeNotifier) -> Callable[[], Service]:
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)
    return lambda: Service(notifier.parts, sweeper, notifier.journal, from_anybody)


async def post(notifier: FakeNotifier, body: bytes, path: str = "/", method: str = "POST") -> Reply:
    return await answer(serving(notifier), Request(method, path), reading(body))


def a_push() -> bytes:
    return push_of(message_of(DELIVERY, 1_790_000_000.0))


async def test_a_delivery_is_acknowledged_with_204_and_one_line_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reply = await post(FakeNotifier(), a_push())
    assert (reply.status, reply.body) == (204, b"")
    (line,) = capsys.readouterr().out.splitlines()
    logged = json.loads(line)
    assert (logged["function"], logged["outcome"], logged["attempt_number"]) == ("notify", "delivered", 1)
    assert (logged["event_id"], logged["destination"], logged["severity"]) == ("e1", "crm", "INFO")
    assert logged["attempt_ms"] == 0  # by the fake clock


async def test_a_destinations_trouble_never_nacks() -> None:
    for trouble in (RetryLater("busy there"), Failed("mail_rejected", "no such list"), TimeoutError(), ValueError()):
        assert (await post(FakeNotifier(FakeDestination(trouble)), a_push())).status == 204


async def test_trouble_of_our_own_parts_is_a_503_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    notifier = FakeNotifier(FakeDestination(Temporary("secret_unavailable", "secret 'smtp-password' does not exist")))
    reply = await post(notifier, a_push())
    assert reply.status == 503
    assert b"smtp-password" not in reply.body
    assert "smtp-password" in capsys.readouterr().out


async def test_what_another_worker_has_is_a_503_and_no_error_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    notifier = FakeNotifier()
    await notifier.ledger.claim(DELIVERY, b"", notifier.clock.now(), 45.0)
    assert (await post(notifier, a_push())).status == 503
    assert json.loads(capsys.readouterr().out)["severity"] == "INFO"


async def test_a_part_that_cannot_be_made_is_a_503() -> None:
    def service() -> Service:
        raise Temporary("ledger_unavailable", "this platform's settings name no ledger")

    assert (await answer(service, Request("POST", "/"), reading(a_push()))).status == 503


async def test_a_fault_of_ours_is_a_503_and_the_log_has_its_place_and_not_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def service() -> Service:
        raise KeyError("what a sender wrote")

    assert (await answer(service, Request("POST", "/"), reading(a_push()))).status == 503
    out = capsys.readouterr().out
    assert "KeyError at test_notify_entry.py" in out
    assert "what a sender wrote" not in out


async def test_the_sweep_answers_how_many_it_published() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")))
    await notifier.take()
    notifier.clock.advance(6)
    reply = await post(notifier, b"", "/sweep")
    assert (reply.status, json.loads(reply.body)) == (200, {"published": 1})


async def test_a_sweep_logs_what_it_found_due_for_each_destination_once_a_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * 3))
    service = serving(notifier)
    for number in range(3):
        await notifier.take(a_delivery(number))
        notifier.clock.advance(2)
    for _ in range(2):
        await answer(service, Request("POST", "/sweep"), reading(b""))
        notifier.clock.advance(20)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [(each["destination"], each["count"], each["oldest_seconds"]) for each in lines if "oldest_seconds" in each]
    assert found == [("crm", 1, 6)]
    notifier.clock.advance(60)
    await answer(service, Request("POST", "/sweep"), reading(b""))
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "oldest_seconds" in line]
    assert (line["destination"], line["count"], line["oldest_seconds"]) == ("crm", 2, 104)


async def test_a_dead_letter_is_kept_and_acknowledged() -> None:
    notifier = FakeNotifier()
    letter = DeadLetter("d1", "gone", "no such list", 1_790_000_000.0, b"{}", "deliveries", "e1")
    reply = await post(notifier, push_of(dead_letter_message(letter).data), "/dead-letters")
    assert reply.status == 204
    assert notifier.journal.dead_letters == [letter]


async def test_a_dead_letter_that_cannot_be_kept_is_not_acknowledged() -> None:
    notifier = FakeNotifier()
    notifier.journal.fault = "the disk is full"
    assert (await post(notifier, push_of(b"{}"), "/dead-letters")).status == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 405), ("GET", "/sweep", 405), ("POST", "/other", 404), ("POST", "/sweep/../x", 404)],
)
async def test_other_requests_are_rejected(method: str, path: str, status: int) -> None:
    notifier = FakeNotifier()
    assert (await post(notifier, a_push(), path, method)).status == status
    assert notifier.crm.attempts == []


@pytest.mark.parametrize("path", ["/", "/sweep", "/dead-letters"])
async def test_no_sites_page_makes_deliveries_through_a_browser_on_this_machine(path: str) -> None:
    notifier = FakeNotifier()
    request = Request("POST", path, headers=(("origin", "null"),))
    reply = await answer(serving(notifier), request, reading(a_push()))
    assert (reply.status, notifier.crm.attempts) == (403, [])


async def test_a_push_larger_than_any_of_pubsubs_is_rejected() -> None:
    assert (await post(FakeNotifier(), b"x" * (MAX_PUSH_BYTES + 1))).status == 413
