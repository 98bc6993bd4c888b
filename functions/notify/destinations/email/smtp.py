"""The mail transport over the SMTP server that SMTP_URL names."""

import asyncio
import ssl
from functools import cached_property
from typing import Final

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.letters import SETTLED, Progress, conclude, unsent_letters
from functions.notify.destinations.email.mail import Mail, SendLimit
from functions.notify.destinations.email.smtp_server import CannotSend, Login, SmtpServer
from shared import delivery, secrets

PASSWORD: Final = "smtp-password"  # noqa: S105 a secret's name
MAX_AT_ONCE: Final = 16
"""The mails that are sent at the same time. Each has a connection, of which many servers allow few."""
SERVICE: Final = "the SMTP server"
END_SECONDS: Final = 0.5
"""The time by which the session ends before the attempt, so that its result is still recorded."""


class SmtpTransport:
    """The mail transport over SMTP. Each mail has a connection of its own."""

    def __init__(self, destination: str, server: SmtpServer, context: Context) -> None:
        self._destination = destination
        self._server = server
        self._context = context
        self._limit = SendLimit(MAX_AT_ONCE)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> delivery.Outcome:
        """Send the mail to the recipients who do not have it yet, and remember who has it if some are left.

        Raises Temporary if nothing was sent.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds - END_SECONDS
        try:
            login = await self._login()
        except secrets.SecretMissing:
            return self._held(f"SMTP_URL names a user, and the secret {PASSWORD} is not there: set it to the password")
        progress = Progress(self._context.blobs, attempt)
        settled = await progress.settled()
        letters = unsent_letters(mail, settled)
        if not letters:
            return conclude([*settled.values()], SERVICE, attempt.idempotency_key)
        # Imported here, because it imports aiosmtplib, which takes 50 ms.
        from functions.notify.destinations.email.smtp_session import send_letters

        await self._limit.enter(timeout_seconds)
        try:
            results = await send_letters(self._server, login, self._tls, letters, attempt.now, deadline)
        except CannotSend as fault:
            return self._held(fault.message) if fault.held else delivery.RetryLater(fault.message)
        finally:
            self._limit.release()
        everyone = [*settled.values(), *results]
        # If all are settled, or none is, a retry needs no record.
        if {result.fate in SETTLED for result in results} == {True, False}:
            await progress.remember(everyone)
        return conclude(everyone, SERVICE, attempt.idempotency_key)

    async def _login(self) -> Login | None:
        if self._server.user is None:
            return None
        return Login(self._server.user, (await self._context.secrets.values(PASSWORD))[0])

    def _held(self, message: str) -> delivery.Disabled:
        return delivery.Disabled(f"{message}; then run `hookchain resume {self._destination}`", names_resume=True)
