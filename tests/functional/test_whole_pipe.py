"""The whole pipe for real: processes, sockets, files."""

import asyncio
import email
import email.policy
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.client.hookchain.auth import Bearer
from deploy.config.local_ports import ports_from
from shared.jsontext import JsonObject
from tests.fakes.notifier import push_of
from tests.fakes.pushes import push_headers
from tests.kill.senders import send_all
from tests.running.processes import PATIENCE_SECONDS, is_open, wait_for
from tests.running.sending import send_until_confirmed
from tests.running.stack import Stack, running

SECRET = "a-secret-of-this-test"
CONFIG = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id, unwrap: true}
  desk: {auth: {scheme: bearer, secret: shop-key}, id: data.id, actor: data.who}
people:
  Ada: {email: ada@example.com, aliases: [ada-l]}
  Bob: {email: bob@example.com}
routes:
  - {name: all, from: shop, to: inbox}
  - {name: news, from: desk, to: bulletin}
destinations:
  bulletin:
    email: {to: actor, from: desk@example.com, subject: "{{ data.title }}"}
    digest: {every: 1s}
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "Order {{ data.id }}"}
    retry: [1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]
"""
EVENT: JsonObject = {"event": "order.created", "customerName": "Chuck U Farley"}


def subjects(stack: Stack) -> list[str]:
    return sorted(mail.subject for mail in stack.mails())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("pipe"), CONFIG, {"SHOP_KEY": SECRET}) as up:
        yield up


def test_a_hundred_posts_of_the_same_delivery_id_are_one_mail(stack: Stack) -> None:
    for _ in range(100):
        send_until_confirmed(f"{stack.url}/shop", {**EVENT, "id": "once"}, secret=SECRET, auth=Bearer())
    send_until_confirmed(f"{stack.url}/shop", {**EVENT, "id": "last"}, secret=SECRET, auth=Bearer())
    wait_for(lambda: "Order last" in subjects(stack))
    assert subjects(stack).count("Order once") == 1


def test_mails_that_the_provider_does_not_take_now_go_out_when_it_does(stack: Stack) -> None:
    assert stack.trouble({"mail": {"unplugged": True}})
    send_until_confirmed(f"{stack.url}/shop", {**EVENT, "id": "patient"}, secret=SECRET, auth=Bearer())
    time.sleep(1.5)
    assert "Order patient" not in subjects(stack)
    assert stack.trouble({"mail": {"unplugged": False}})
    wait_for(lambda: "Order patient" in subjects(stack))


def test_each_person_gets_a_digest_that_counts_every_event_once(stack: Stack) -> None:
    for number in range(12):
        event: JsonObject = {"id": f"n{number}", "who": "ada-l" if number % 3 else "Bob", "title": f"Title {number}"}
        send_until_confirmed(f"{stack.url}/desk", event, secret=SECRET, auth=Bearer())
        send_until_confirmed(f"{stack.url}/desk", event, secret=SECRET, auth=Bearer())

    def told() -> dict[str, list[str]]:
        mails = [mail for mail in stack.mails() if mail.sender.email == "desk@example.com"]
        found: dict[str, list[str]] = {}
        for mail in mails:
            found.setdefault(mail.to[0].email, []).extend(re.findall(r"^Title \d+$", mail.text, re.MULTILINE))
            if mail.subject.startswith("Title"):  # it came alone
                found[mail.to[0].email].append(mail.subject)
        return {address: sorted(titles) for address, titles in found.items()}

    expected = {"ada@example.com": 8, "bob@example.com": 4}
    wait_for(lambda: {address: len(titles) for address, titles in told().items()} == expected)


def test_nothing_of_it_listens_on_an_address_that_another_machine_could_reach(stack: Stack) -> None:
    """127.0.0.2 is this machine too, and no listener on 127.0.0.1 alone answers there."""
    with socket.create_server(("", 0)) as everywhere:
        if not is_open(everywhere.getsockname()[1], "127.0.0.2"):
            pytest.skip("127.0.0.2 is no address of this machine: on macOS, sudo ifconfig lo0 alias 127.0.0.2")
    for name, port in ports_from(stack.base).named().items():
        assert is_open(port), name
        assert not is_open(port, "127.0.0.2"), name


def test_a_large_body_is_mailed_as_an_attachment(stack: Stack) -> None:
    event = {**EVENT, "id": "large", "text": "x" * 900_000}
    send_until_confirmed(f"{stack.url}/shop", event, secret=SECRET, auth=Bearer())
    wait_for(lambda: "Order large" in subjects(stack))
    [mail] = [mail for mail in stack.mails() if mail.subject == "Order large"]
    assert [attachment.size_bytes > 900_000 for attachment in mail.attachments] == [True]


@pytest.mark.slow
def test_a_burst_of_a_thousand_events_is_a_thousand_mails(stack: Stack) -> None:
    before = len(subjects(stack))
    sent = asyncio.run(send_all(f"{stack.url}/shop", {"Authorization": f"Bearer {SECRET}"}, 1_000, 10_000.0, seed=1))
    assert len(sent.accepted) == 1_000
    wait_for(lambda: len(subjects(stack)) >= before + 1_000)
    assert set(map(str, range(1_000))) <= {subject.removeprefix("Order ") for subject in subjects(stack)}


class Inbox:
    """An SMTP server's handler, which keeps what it is given."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 its name there
        self.received.append(envelope)
        return "250 OK"


def answers_to(port: int, *parts: bytes) -> list[str]:
    """The status of each answer on one connection, on which the parts are sent 0.3 s after each other."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.3)
        while chunk := connection.recv(65_536):
            received += chunk
    return re.findall(r"HTTP/1\.1 (\d+) ", received.decode("latin-1"))


@pytest.mark.parametrize(
    ("function", "head", "body", "status"),
    [
        (
            0,
            f"POST /shop HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n",
            b'{"event": "order.paid", "id": "h2c"}',
            "200",
        ),
        (1, "POST / HTTP/1.1\r\n", push_of(b"no event of ours"), "204"),
        (2, "POST /dead-letters HTTP/1.1\r\n", push_of(b"no letter of ours"), "204"),
    ],
    ids=["receive", "transform", "notify"],
)
def test_each_function_reads_the_body_of_a_request_that_offers_http2(
    stack: Stack, function: int, head: str, body: bytes, status: str
) -> None:
    """Java's HttpClient offers h2c by default."""
    pushed = push_headers(stack.state, stack.base + function) if function else {}
    head += "".join(f"{name}: {value}\r\n" for name, value in pushed.items())
    offer = f"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {len(body)}\r\n\r\n"
    following = b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answers_to(stack.base + function, f"{head}{offer}".encode(), body, following) == [status, "404"]
    if function == 0:
        wait_for(lambda: "Order h2c" in subjects(stack))


@contextmanager
def smtp_server(port: int) -> Iterator[Inbox]:
    inbox = Inbox()
    controller = Controller(inbox, "127.0.0.1", port)
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


def test_without_a_file_a_webhook_is_mailed_by_smtp(tmp_path: Path, free_port: int) -> None:
    environ = {
        "EMAIL_ADDRESS": "ann@example.com, bob@example.com",
        "EMAIL_FROM": "hooks@example.com",
        "WEBHOOK_PASSWORD": SECRET,
        "SMTP_URL": f"smtp://127.0.0.1:{free_port}",
    }
    with smtp_server(free_port) as inbox, running(tmp_path, None, environ, ["--send-mail"]) as stack:
        send_until_confirmed(f"{stack.url}/webhook", EVENT, secret=SECRET)
        wait_for(lambda: len(inbox.received) >= 2)
    assert {to for envelope in inbox.received for to in envelope.rcpt_tos} == {"ann@example.com", "bob@example.com"}
    content = inbox.received[0].content
    assert isinstance(content, bytes)
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert (mail["Subject"], mail["From"]) == ("Webhook notification", "hooks@example.com")
    text = mail.get_body(("plain",))
    assert text is not None
    assert "Chuck U Farley" in text.get_content()
