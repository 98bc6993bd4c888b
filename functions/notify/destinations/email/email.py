"""The destination `email`: one mail for each delivery, or one for each person on a list."""

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Literal, Protocol

from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import outcome_of_fault
from functions.notify.destinations.email import render, sendgrid
from functions.notify.destinations.email.mail import Address, AddressFault, Mail, parse_address
from shared import claim_check, errors, secrets
from shared.delivery import Delivery, Disabled, Outcome, RetryLater
from shared.templating.template import is_template

API_KEY: Final = "sendgrid-api-key"
ASK_AGAIN_SECONDS: Final = 60.0
"""Where another transport is there, a missing API key is looked for again after this time."""
_NO_TRANSPORT: Final = (Disabled, RetryLater)

Via = Literal["auto", "sendgrid", "smtp", "ses"]


class EmailDestination:
    """The destination. Mail services and mailboxes do not recognise a repeat: each attempt may be another mail."""

    dedupes_repeats = False

    def __init__(self, name: str, settings: render.MailSettings, context: Context) -> None:
        self._context = context
        self._sender = sender_of(settings["from"], context.settings.email_from, settings["to"])
        self._writer = render.MailWriter(settings)
        self._transports = MailTransports(name, settings["via"], context)

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        began = time.monotonic()
        if isinstance(self._sender, Disabled):
            return self._sender
        transport = await self._transports.choose()
        if isinstance(transport, _NO_TRANSPORT):
            return transport
        event = delivery.event
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self._context.blobs)
        mail = self._writer.write(delivery, event, self._sender, attempt.idempotency_key, attempt.person)
        left = attempt.timeout_seconds - (time.monotonic() - began)
        if left <= 0:
            raise errors.Temporary(
                "mail_timeout", f"the attempt's {attempt.timeout_seconds:g} s were over before the mail was sent"
            )
        return await transport.send(mail, attempt, left)

    def close(self) -> None:
        self._transports.close()


def connect(name: str, settings: render.MailSettings, context: Context) -> EmailDestination:
    return EmailDestination(name, settings, context)


def sender_of(own: str | None, default: str | None, to: Sequence[str]) -> Address | Disabled:
    """Return the destination's `from`, else EMAIL_FROM, else the first address in `to`."""
    for text, where in ((own, "`from`"), (default, "EMAIL_FROM")):
        if text:
            try:
                return parse_address(text)
            except AddressFault as error:
                return Disabled(f"{where} {error}; correct it")
    plain = [text for text in to if not is_template(text)]
    if not plain:
        return Disabled("nobody to send from: set EMAIL_FROM, or the destination's `from`")
    return parse_address(plain[0])


class MailTransport(Protocol):
    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Raises Temporary as a destination does. `timeout_seconds` is the rest of the attempt's time."""
        ...


class MailTransports:
    """The choice of a transport: SendGrid if its API key exists, else SMTP, else SES on AWS.

    The first mail opens the connection.
    """

    def __init__(self, destination: str, via: Via, context: Context) -> None:
        self._destination = destination
        self._via = via
        self._context = context
        self._sendgrid = sendgrid.SendGridTransport(destination, context.settings.sendgrid_url, context.clock)
        self._smtp = self._smtp_transport(context.settings.smtp_url)
        self._no_key_until = 0.0

    async def choose(self) -> MailTransport | Disabled | RetryLater:
        """Raises Temporary where a secret cannot be read."""
        # An emulated SendGrid, whose URL is plain HTTP, catches the mail of all transports.
        is_caught = self._context.settings.sendgrid_url.startswith("http:")
        if self._via == "smtp" and not (is_caught and self._smtp is None):
            return self._smtp or self._disabled("set SMTP_URL, such as smtp://user@host:587")
        if self._via == "ses" and not (is_caught and self._ses is None):
            return self._ses or self._disabled("only a deployment on AWS has SES; take `via: ses` out, or deploy there")
        now = self._context.clock.now()
        if self._via == "auto" and now < self._no_key_until and (other := self._smtp or self._ses):
            return other
        try:
            api_key = (await self._context.secrets.values(API_KEY))[0]
        except (secrets.SecretMissing, secrets.SecretDenied) as error:
            self._no_key_until = now + ASK_AGAIN_SECONDS
            if self._via == "auto" and (other := self._smtp or self._ses):
                return other
            if isinstance(error, secrets.SecretDenied):
                return outcome_of_fault(error)
            key = f"put a SendGrid API key in the secret {API_KEY}"
            return self._disabled(key if self._via == "sendgrid" else f"{key}, or set SMTP_URL (smtp://user@host:587)")
        if api_key != self._sendgrid.api_key:
            self._sendgrid.use_key(api_key)
        return self._sendgrid

    def close(self) -> None:
        self._sendgrid.close()

    @cached_property
    def _ses(self) -> MailTransport | None:
        if self._context.ses is None:
            return None
        from functions.notify.destinations.email.ses import SesTransport

        return SesTransport(self._destination, self._context.ses, self._context.blobs)

    def _smtp_transport(self, url: str | None) -> MailTransport | Disabled | None:
        if not url:
            return None
        from functions.notify.destinations.email.smtp import SmtpTransport
        from functions.notify.destinations.email.smtp_server import SmtpUrlFault, parse_smtp_url

        try:
            return SmtpTransport(self._destination, parse_smtp_url(url), self._context)
        except SmtpUrlFault as fault:
            return Disabled(f"SMTP_URL {fault}; then run `hookchain resume {self._destination}`")

    def _disabled(self, advice: str) -> Disabled:
        return Disabled(f"nothing to send mail with: {advice}; then run `hookchain resume {self._destination}`")
