"""Mail over SMTP, to a real server (aiosmtpd): what it takes, and what its answers mean."""

import asyncio
import email
import email.policy
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from functions.notify.destinations.email.smtp import SmtpTransport
from functions.notify.destinations.email.smtp_server import SmtpServer
from shared.delivery import Delivered, Disabled, Failed, RetryLater, Unknown
from shared.jsontext import Json
from tests.functional.smtp_inbox import ATTEMPT, HOST, MAIL, Bench, serving


@pytest.fixture
def bench(free_port: int) -> Bench:
    return Bench(free_port)


async def test_a_mail_is_accepted_as_it_was_written(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send(subject="Grüße: {{ data.name }}", cc="c@example.com", bcc="d@example.com")

    assert found == Delivered("250 taken")
    [envelope] = bench.inbox.envelopes
    assert envelope.mail_from == "hooks@example.com"
    assert envelope.rcpt_tos == ["ada@example.com", "c@example.com", "d@example.com"]
    assert bench.inbox.ehlo == ["example.com"]
    assert isinstance(envelope.content, bytes)
    assert email.message_from_bytes(envelope.content, policy=email.policy.default)["Subject"] == "Grüße: Zoë"
    assert b"d@example.com" not in envelope.content


async def test_each_person_on_a_list_has_a_mail_of_their_own(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send(to=["a@x.y", "b@x.y", "c@x.y"])

    assert found == Delivered("250 taken")
    assert bench.inbox.recipients == [["a@x.y"], ["b@x.y"], ["c@x.y"]]
    assert b"b@x.y" not in (bench.inbox.envelopes[0].content or b"")


async def test_a_retry_goes_to_those_alone_who_do_not_have_it(bench: Bench) -> None:
    everyone: Json = ["a@x.y", "b@x.y", "c@x.y", "d@x.y"]
    bench.inbox.answers = {"b@x.y": "451 later", "c@x.y": "550 no such user"}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        first = await bench.send(to=everyone)
        bench.inbox.answers = {}
        second = await bench.send(replace(ATTEMPT, attempt_number=2), to=everyone)

    assert first == RetryLater("not yet for 1 of 4 recipients: 451", answer="451 later")
    assert second == Delivered("accepted for 3 of 4 recipients, rejected for the others: 550 no such user")
    assert bench.inbox.recipients == [["a@x.y"], ["d@x.y"], ["b@x.y"]]


async def test_a_new_generation_goes_to_everyone_again(bench: Bench) -> None:
    bench.inbox.answers = {"b@x.y": "451 later"}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        await bench.send(to=["a@x.y", "b@x.y"])
        bench.inbox.answers = {}
        again = replace(ATTEMPT, attempt_number=2, generation=1, idempotency_key=f"{'k' * 64}-r1")
        await bench.send(again, to=["a@x.y", "b@x.y"])

    assert bench.inbox.recipients == [["a@x.y"], ["a@x.y"], ["b@x.y"]]


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ({"ada@example.com": "550 no such user"}, Failed, "550 no such user"),
        ({"ada@example.com": "452 mailbox full"}, RetryLater, "452 mailbox full"),
        ({"DATA": "554 looks like spam"}, Failed, "554 looks like spam"),
        ({"DATA": "451 try later"}, RetryLater, "451 try later"),
        ({"MAIL": "553 not your address"}, Disabled, "rejects the sender hooks@example.com"),
    ],
)
async def test_the_servers_answer_is_the_outcome(
    bench: Bench, answers: dict[str, str], kind: type[object], message: str
) -> None:
    bench.inbox.answers = answers
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send()

    assert isinstance(found, kind)
    assert message in repr(found)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"DATA": "25"}, Unknown),
        ({"DATA": "queued"}, Unknown),
        ({"DATA": "354 more"}, Unknown),
        ({"ada@example.com": "ok"}, RetryLater),
        ({"MAIL": "999 no"}, RetryLater),
    ],
)
async def test_what_is_no_reply_is_never_an_acceptance(
    bench: Bench, answers: dict[str, str], kind: type[object]
) -> None:
    bench.inbox.answers = answers
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send()

    assert isinstance(found, kind)


@pytest.mark.parametrize("code", ["550 5.1.1", "550"])
async def test_a_reason_holds_the_codes_of_a_reply_and_not_its_text(bench: Bench, code: str) -> None:
    reply = f"{code} <ada@example.com>: Recipient address rejected"
    bench.inbox.answers = {"ada@example.com": reply}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send()

    assert isinstance(found, Failed | RetryLater)
    assert found.reason.endswith(f": {code}")
    assert found.answer == reply


async def test_a_server_that_is_not_there_is_tried_again_later(bench: Bench) -> None:
    found = await bench.send()

    assert isinstance(found, RetryLater)
    assert found.reason == "127.0.0.1 cannot be reached: ConnectionRefusedError"


async def test_no_answer_to_a_mail_that_was_sent_is_unknown(bench: Bench) -> None:
    bench.inbox.hang = True
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send(replace(ATTEMPT, timeout_seconds=1.2))
    assert isinstance(found, Unknown)
    assert "did not say whether it took" in found.reason


async def test_a_connection_that_breaks_before_the_mail_is_sent_repeats_nothing(bench: Bench) -> None:
    class BreaksOffAtData(SMTP):
        async def smtp_DATA(self, _: str) -> None:  # noqa: N802 aiosmtpd's name
            assert self.transport is not None
            self.transport.close()

    class Breaking(Controller):
        def factory(self) -> SMTP:
            return BreaksOffAtData(self.handler)

    with serving(Breaking(bench.inbox, HOST, bench.port)):
        found = await bench.send()

    assert isinstance(found, RetryLater)


@pytest.mark.parametrize("reply", [b"552 too large\r\n", b""], ids=["refuses", "breaks off"])
async def test_a_server_that_ends_it_amid_a_large_mail_did_not_accept_it(bench: Bench, reply: bytes) -> None:
    got = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        writer.write(b"220 hi\r\n")
        while (line := await reader.readline()) and line != b"DATA\r\n":
            writer.write(b"250 OK\r\n")
        writer.write(b"354 go on\r\n")
        got = await reader.read(65_536)
        writer.write(reply)
        await asyncio.sleep(0.1)
        writer.transport.abort()

    mail = replace(MAIL, text="many words " * 1_000_000)
    server = await asyncio.start_server(serve, HOST, bench.port)
    async with server:
        transport = SmtpTransport("list", SmtpServer(HOST, bench.port, "none"), bench.context())
        found = await transport.send(mail, ATTEMPT, ATTEMPT.timeout_seconds)

    assert got
    assert isinstance(found, Failed if reply else RetryLater)
    assert "552 too large" in repr(found) or not reply


async def test_an_address_beyond_ascii_is_rejected_where_the_server_cannot(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port, enable_SMTPUTF8=False)):
        found = await bench.send(to="zoë@x.y")

    assert isinstance(found, Failed)
    assert "SMTPUTF8" in found.reason
