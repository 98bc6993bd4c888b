"""The mail transport over the SMTP server that SMTP_URL names."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.letters import SETTLED, Progress, conclude, unsent_letters
from functions.notify.destinations.email.mail import Mail, SendLimit
from shared.delivery import Disabled, Outcome, RetryLater
from shared.secrets import SecretMissing

PASSWORD: Final = "smtp-password"  # noqa: S105 a secret's name
MAX_AT_ONCE: Final = 16
SERVICE: Final = "the SMTP server"
END_SECONDS: Final = 0.5
"""The session ends so long before the attempt does, so that what came of it still counts."""

Security = Literal["tls", "starttls", "none"]


class SmtpUrlFault(ValueError):
    """An SMTP_URL that cannot be used. The text never contains the URL, which may contain a password."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The SMTP server. `security` is `none` only for a server on this machine."""

    host: str
    port: int
    security: Security
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str


class CannotSend(Exception):
    """The server accepts no mail from us: with `held` until an operator acts as the message says, otherwise for now."""

    def __init__(self, message: str, *, held: bool) -> None:
        super().__init__(message)
        self.message = message
        self.held = held


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp://user@host:587` (STARTTLS) or `smtps://user@host:465` (TLS). Raises SmtpUrlFault."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587") from error
    if split.scheme not in {"smtp", "smtps"} or not split.hostname or split.path.strip("/") or split.query:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587 or smtps://user@host:465")
    if split.password is not None:
        raise SmtpUrlFault("holds a password: put it in the secret smtp-password, and leave the user name alone")
    user = unquote(split.username) if split.username else None
    if split.scheme == "smtps":
        return SmtpServer(split.hostname, port or 465, "tls", user)
    return SmtpServer(split.hostname, port or 587, "none" if _is_this_machine(split.hostname) else "starttls", user)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SmtpTransport:
    def __init__(self, destination: str, server: SmtpServer, context: Context) -> None:
        self._destination = destination
        self._server = server
        self._context = context
        self._limit = SendLimit(MAX_AT_ONCE)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Raises Temporary."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds - END_SECONDS
        try:
            login = await self._login()
        except SecretMissing:
            return self._held(f"SMTP_URL names a user, and the secret {PASSWORD} is not there: put the password in it")
        progress = Progress(self._context.blobs, attempt)
        settled = await progress.settled()
        letters = unsent_letters(mail, settled)
        if not letters:
            return conclude([*settled.values()], SERVICE)
        from functions.notify.destinations.email.smtp_session import send_letters  # with aiosmtplib

        try:
            await self._limit.take(timeout_seconds / 2)
            try:
                fates = await send_letters(self._server, login, self._tls, letters, attempt.now, deadline)
            finally:
                self._limit.give_back()
        except CannotSend as fault:
            return self._held(fault.message) if fault.held else RetryLater(fault.message)
        everyone = [*settled.values(), *fates]
        if any(fate.fate in SETTLED for fate in fates) and any(fate.fate not in SETTLED for fate in fates):
            await progress.remember(everyone)
        return conclude(everyone, SERVICE)

    async def _login(self) -> Login | None:
        if self._server.user is None:
            return None
        return Login(self._server.user, (await self._context.secrets.values(PASSWORD))[0])

    def _held(self, message: str) -> Disabled:
        return Disabled(f"{message}; then run `hookchain resume {self._destination}`")
