"""The choice of a transport of mail: SendGrid (sendgrid.py), SMTP (smtp.py) or Amazon SES (ses.py)."""

from functools import cached_property
from typing import Final, Literal, Protocol

from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import outcome_of_fault
from functions.notify.destinations.email.mail import Mail
from functions.notify.destinations.email.sendgrid import SendGridTransport
from shared import secrets
from shared.delivery import Disabled, Outcome, RetryLater

API_KEY: Final = "sendgrid-api-key"
"""The name of the secret with SendGrid's API key."""
ASK_AGAIN_SECONDS: Final = 60.0
"""Where another transport sends instead, a missing API key is looked for again after this time."""
NO_SES: Final = "only a deployment on AWS has SES; take `via: ses` out, or deploy there"
Via = Literal["auto", "sendgrid", "smtp", "ses"]
"""The setting `via`: one transport, or the first one that can be used."""


class MailTransport(Protocol):
    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Send the mail to the recipients who do not have it yet. `timeout_seconds` is the rest of the attempt's time.

        Raises Temporary, as a destination does, only if nothing was sent.
        """


class MailTransports:
    """The choice of a transport: the one that `via` names. With `auto`, it is SendGrid if its API key exists, else
    SMTP, else SES on AWS.

    The first mail opens the connection.

    _smtp          the transport to the server in SMTP_URL; None without one, and Disabled if the URL cannot be used
    _no_key_until  the time until which a missing API key is not looked for if another transport sends instead
    """

    def __init__(self, destination: str, via: Via, context: Context) -> None:
        self._destination = destination
        self._via = via
        self._context = context
        self._sendgrid = SendGridTransport(destination, context.settings.sendgrid_url, context.clock)
        self._smtp = self._smtp_transport(context.settings.smtp_url)
        self._no_key_until = 0.0

    async def choose(self) -> MailTransport | Disabled | RetryLater:
        """Return the transport of the next mail; Disabled if there is none, or RetryLater if access to the API key was
        denied. Raises Temporary if a secret cannot be read."""
        # `make dev` emulates SendGrid, and catches the mails of `smtp` and `ses`, too, if these are not set up.
        is_emulated = self._context.settings.sendgrid_url.startswith("http:")
        if self._via == "smtp" and (self._smtp or not is_emulated):
            return self._smtp or self._disabled("set SMTP_URL, such as smtp://user@host:587")
        if self._via == "ses" and (self._ses or not is_emulated):
            return self._ses or self._disabled(NO_SES)
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
        self._sendgrid.use_key(api_key)
        return self._sendgrid

    def _second_choice(self) -> MailTransport | Disabled | None:
        """Return what `auto` uses while there is no API key; None if nothing is set up, or if `via` is not `auto`."""
        return (self._smtp or self._ses) if self._via == "auto" else None

    def close(self) -> None:
        self._sendgrid.close()

    @cached_property
    def _ses(self) -> MailTransport | None:
        if self._context.ses is None:
            return None
        # Imported here, because only a deployment on AWS has SES.
        from functions.notify.destinations.email.ses import SesTransport

        return SesTransport(self._destination, self._context.ses, self._context.blobs)

    def _smtp_transport(self, url: str | None) -> MailTransport | Disabled | None:
        if not url:
            return None
        # Imported here, because not all send by SMTP.
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
