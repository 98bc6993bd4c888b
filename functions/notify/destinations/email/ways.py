"""Which way a mail goes: SendGrid where its API key is there, else the SMTP server that is named."""

from typing import Final, Literal, Protocol

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.mail import Mail
from functions.notify.destinations.email.sendgrid import SendGrid
from functions.notify.destinations.email.smtp import SmtpWay
from functions.notify.destinations.email.smtp_url import SmtpUrlFault, parse_smtp_url
from functions.notify.destinations.email.threads import BoundedThreads
from shared.delivery import Disabled, Outcome
from shared.secrets import SecretDenied, SecretMissing

API_KEY: Final = "sendgrid-api-key"
ASK_AGAIN_SECONDS: Final = 60.0
"""So long a missing API key is not asked for again, where SMTP serves."""

Via = Literal["auto", "sendgrid", "smtp"]


class Way(Protocol):
    async def send(self, mail: Mail, attempt: Attempt) -> Outcome:
        """Raises Temporary as a destination does."""
        ...


class Ways:
    """Opens nothing until a mail is sent."""

    def __init__(self, destination: str, via: Via, context: Context) -> None:
        self._destination = destination
        self._via = via
        self._context = context
        self._threads = BoundedThreads()
        self._sendgrid = SendGrid(destination, context.settings.sendgrid_url, context.clock)
        self._smtp = self._smtp_way()
        self._no_key_until = 0.0

    async def choose(self) -> Way | Disabled:
        """Raises Temporary where a secret cannot be read."""
        if self._via == "smtp":
            return self._smtp or self._nothing("set SMTP_URL, such as smtp://user@host:587")
        now = self._context.clock.now()
        if self._via == "auto" and self._smtp and now < self._no_key_until:
            return self._smtp
        try:
            [api_key, *_] = await self._context.secrets.values(API_KEY)
        except (SecretMissing, SecretDenied) as error:
            self._no_key_until = now + ASK_AGAIN_SECONDS
            if self._via == "auto" and self._smtp:
                return self._smtp
            if isinstance(error, SecretDenied):  # a grant takes minutes until it counts: to be tried again
                raise
            key = f"put a SendGrid API key in the secret {API_KEY}"
            return self._nothing(key if self._via == "sendgrid" else f"{key}, or set SMTP_URL (smtp://user@host:587)")
        return self._sendgrid.way(api_key)

    def close(self) -> None:
        self._threads.close()
        self._sendgrid.close()

    def _nothing(self, act: str) -> Disabled:
        return Disabled(f"nothing to send mail with: {act}; then run `hookchain release {self._destination}`")

    def _smtp_way(self) -> Way | None:
        url = self._context.settings.smtp_url
        if not url:
            return None
        try:
            server = parse_smtp_url(url)
        except SmtpUrlFault as fault:
            return _Unusable(f"SMTP_URL {fault}; then run `hookchain release {self._destination}`")
        return SmtpWay(self._destination, server, self._context, self._threads)


class _Unusable:
    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def send(self, _: Mail, __: Attempt) -> Outcome:
        return Disabled(self._reason)
