"""A real SMTP server (aiosmtpd), and the way to it that a delivery's mail takes."""

import asyncio
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.email import connect
from functions.notify.destinations.email.mail import Address, Mail
from shared.delivery import Delivery, Outcome
from shared.event import Event
from shared.jsontext import Json
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.mail_settings import mail_settings
from tests.fakes.secrets import FakeSecrets

HOST = "127.0.0.1"
PASSWORD = "correct-horse-battery"
EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:05.000Z", "00", {"name": "Zoë"})
ATTEMPT = Attempt(idempotency_key="k" * 64, attempt_number=1, generation=0, now=1_772_366_400.0, timeout_seconds=5.0)


@dataclass
class FakeInbox:
    """What aiosmtpd asks for each mail. `answers` maps a recipient, MAIL or DATA to the server's answer."""

    answers: dict[str, str] = field(default_factory=dict)
    envelopes: list[Envelope] = field(default_factory=list)
    ehlo: list[str | None] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    hang: bool = False

    async def handle_MAIL(  # noqa: N802 aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.hang:
            await asyncio.sleep(3)
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.envelopes.append(envelope)
        self.ehlo.append(session.host_name)
        self.encrypted.append(session.ssl is not None)
        return "250 taken"

    @property
    def recipients(self) -> list[list[str]]:
        return [envelope.rcpt_tos for envelope in self.envelopes]


@contextmanager
def serving(controller: Controller) -> Generator[None, None, None]:
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@dataclass
class Bench:
    port: int
    inbox: FakeInbox = field(default_factory=FakeInbox)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    secrets: dict[str, str] = field(default_factory=dict)

    def context(self, user: str = "") -> Context:
        url = f"smtp://{user}127.0.0.1:{self.port}"
        settings = read_settings({})._replace(smtp_url=url, email_from="hooks@example.com")
        return Context(FakeSecrets(self.secrets), settings, self.blobs, FakeClock())

    async def send(self, attempt: Attempt = ATTEMPT, user: str = "", event: Event = EVENT, **values: Json) -> Outcome:
        settings = mail_settings(**values)
        with closing(connect("list", settings, self.context(user))) as destination:
            return await destination.attempt(Delivery(event, "tell the list", "list"), attempt)


MAIL = Mail("k" * 64, Address("hooks@example.com"), (Address("ada@example.com"),), "Hi", "words", None)
