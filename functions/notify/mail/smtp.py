"""The way over an SMTP server."""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from functions.notify.destination import Attempt, Context
from functions.notify.mail.mail import Mail
from functions.notify.mail.smtp_connection import CannotSend, Login
from functions.notify.mail.smtp_dialogue import Letter, RecipientFate, Sent, send_letters
from functions.notify.mail.smtp_progress import SETTLED, Progress
from functions.notify.mail.smtp_url import SmtpServer
from functions.notify.mail.threads import BoundedThreads
from shared.delivery import Delivered, Disabled, Outcome, Refused, RetryLater, Unknown
from shared.secrets import SecretMissing

PASSWORD: Final = "smtp-password"  # noqa: S105 a secret's name
_CODES: Final = re.compile(r"[0-9]{3}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?\b")
END_SECONDS: Final = 0.5
"""The dialogue ends so long before the attempt does, so that what came of it still counts."""


class SmtpWay:
    def __init__(self, destination: str, server: SmtpServer, context: Context, threads: BoundedThreads) -> None:
        self._destination = destination
        self._server = server
        self._context = context
        self._threads = threads

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    async def send(self, mail: Mail, attempt: Attempt) -> Outcome:
        """Raises Temporary."""
        try:
            login = await self._login()
        except SecretMissing:
            return self._held(f"SMTP_URL names a user, and the secret {PASSWORD} is not there: put the password in it")
        progress = Progress(self._context.blobs, attempt)
        settled = await progress.settled()
        letters = letters_of(mail, settled)
        if not letters:
            return conclude([*settled.values()])
        sent = Sent()
        try:
            async with asyncio.timeout(attempt.timeout_seconds):
                fates = await self._threads.run(
                    lambda left: send_letters(
                        self._server, login, self._tls, letters, attempt.now, left - END_SECONDS, sent
                    ),
                    attempt.timeout_seconds,
                )
        except TimeoutError:  # the thread hangs, in a look-up of the server's name for instance
            reason = f"no answer from the SMTP server within {attempt.timeout_seconds:g} s"
            return Unknown(reason) if sent.end() else RetryLater(reason)
        except CannotSend as fault:
            return self._held(fault.words) if fault.held else RetryLater(fault.words)
        everyone = [*settled.values(), *fates]
        if any(fate.fate in SETTLED for fate in fates) and any(fate.fate not in SETTLED for fate in fates):
            await progress.remember(everyone)
        return conclude(everyone)

    async def _login(self) -> Login | None:
        if self._server.user is None:
            return None
        return Login(self._server.user, (await self._context.secrets.values(PASSWORD))[0])

    def _held(self, words: str) -> Disabled:
        return Disabled(f"{words}; then run `hookchain release {self._destination}`")


def letters_of(mail: Mail, settled: Mapping[str, RecipientFate]) -> list[Letter]:
    """The mails that are still to be sent, each for those who do not have it."""
    letters = []
    for each in mail.each():
        recipients = tuple(address for address in each.recipients if address.address not in settled)
        if recipients:
            letters.append(Letter(each, recipients))
    return letters


def conclude(fates: Sequence[RecipientFate]) -> Outcome:
    """The delivery's outcome: a retry where somebody remains, a refusal where nobody has it.

    It is Unknown where it is not known whether somebody has it.
    """
    total = len(fates)
    unknown = [fate.words for fate in fates if fate.fate == "unknown"]
    if unknown:
        return Unknown(f"the SMTP server did not say whether it took the mail for {len(unknown)} of {total} recipients")
    later = [fate.words for fate in fates if fate.fate == "later"]
    if later:
        return RetryLater(f"not yet for {len(later)} of {total} recipients: {_status(later[0])}", answer=later[0])
    refused = [fate.words for fate in fates if fate.fate == "refused"]
    if len(refused) == total:
        return Refused("smtp", f"the SMTP server refuses the mail: {_status(refused[0])}", refused[0])
    if refused:
        return Delivered(
            f"taken for {total - len(refused)} of {total} recipients, refused for the others: {refused[0]}"
        )
    return Delivered(fates[0].words)


def _status(words: str) -> str:
    """Return the codes of a server's reply, and other words as they are.

    A reason is logged, and the text of a reply may repeat the recipient's address or a part of the mail.
    """
    codes = _CODES.match(words)
    return codes[0] if codes else words
