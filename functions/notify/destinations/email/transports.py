"""The transports of mail: SendGrid, SMTP or Amazon SES, and the choice between them."""

from functools import cached_property
from typing import Final, Literal, Protocol

from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import outcome_of_fault
from functions.notify.destinations.email import sendgrid
from functions.notify.destinations.email.mail import Mail
from shared import secrets
from shared.delivery import Disabled, Outcome, RetryLater

API_KEY: Final = "sendgrid-api-key"
ASK_AGAIN_SECONDS: Final = 60.0
"""Where another transport is there, a missing API key is looked for again after this time."""
Via = Literal["auto", "sendgrid", "smtp", "ses"]


class MailTransport(Protocol):
    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Raises Temporary as a destination does. `timeout_seconds` is the rest of the attempt's time."""


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
        """Return the transport of the next mail; Disabled if there is none, or RetryLater if access to the API key was
        denied. Raises Temporary if a secret cannot be read."""
        # `make dev` emulates SendGrid, and catches the mails of `smtp` and `ses` there if neither is set up.
        is_caught = self._context.settings.sendgrid_url.startswith("http:")
        if self._via == "smtp" and (self._smtp or not is_caught):
            return self._smtp or self._disabled("set SMTP_URL, such as smtp://user@host:587")
        if self._via == "ses" and (self._ses or not is_caught):
            return self._ses or self._disabled("only a deployment on AWS has SES; take `via: ses` out, or deploy there")
        now = self._context.clock.now()
        if now < self._no_key_until and (second_choice := self._second_choice()):
            return second_choice
        try:
            api_key = (await self._context.secrets.values(API_KEY))[0]
        except (secrets.SecretMissing, secrets.SecretDenied) as error:
            self._no_key_until = now + ASK_AGAIN_SECONDS
            if second_choice := self._second_choice():
                return second_choice
            if isinstance(error, secrets.SecretDenied):
                return outcome_of_fault(error)
            advice = f"put a SendGrid API key in the secret {API_KEY}"
            if self._via != "sendgrid":
                advice += ", or set SMTP_URL (smtp://user@host:587)"
            return self._disabled(advice)
        if api_key != self._sendgrid.api_key:
            self._sendgrid.use_key(api_key)
        return self._sendgrid

    def _second_choice(self) -> MailTransport | Disabled | None:
        """Return what sends while there is no API key; None if there is nothing, or if `via` names a transport."""
        return (self._smtp or self._ses) if self._via == "auto" else None

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
            return Disabled(f"SMTP_URL {fault}; then run `hookchain resume {self._destination}`", names_resume=True)

    def _disabled(self, advice: str) -> Disabled:
        return Disabled(
            f"nothing to send mail with: {advice}; then run `hookchain resume {self._destination}`", names_resume=True
        )
