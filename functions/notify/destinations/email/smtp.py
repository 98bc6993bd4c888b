"""The mail transport over the SMTP server that SMTP_URL names."""

import asyncio
import json
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.mail import Address, Mail, SendLimit
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.jsontext import Json, to_json
from shared.logs import log
from shared.ports import Blobs
from shared.secrets import SecretMissing

PASSWORD: Final = "smtp-password"  # noqa: S105 a secret's name
MAX_AT_ONCE: Final = 16
END_SECONDS: Final = 0.5
"""The session ends so long before the attempt does, so that what came of it still counts."""
_CODES: Final = re.compile(r"[0-9]{3}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?\b")
SETTLED: Final = frozenset({"accepted", "rejected"})

Security = Literal["tls", "starttls", "none"]
Fate = Literal["accepted", "rejected", "later", "unknown"]


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


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and the recipients who do not have it yet. Its headers still name all recipients."""

    mail: Mail
    recipients: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class RecipientFate:
    """The result of a mail for one recipient. `unknown`: the mail was sent and no answer came.

    `message` is the server's, or ours if it sent none.
    """

    address: str
    fate: Fate
    message: str


class CannotSend(Exception):
    """The server accepts no mail from us: with `held` until an operator acts as the message says, otherwise for now."""

    def __init__(self, message: str, *, held: bool) -> None:
        super().__init__(message)
        self.message = message
        self.held = held


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp://user@host:587` (STARTTLS) or `smtps://user@host:465` (TLS). Raises SmtpUrlFault."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587") from error
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587 or smtps://user@host:465")
    if parts.password is not None:
        raise SmtpUrlFault("holds a password: put it in the secret smtp-password, and leave the user name alone")
    user = unquote(parts.username) if parts.username else None
    if parts.scheme == "smtps":
        return SmtpServer(parts.hostname, port or 465, "tls", user)
    return SmtpServer(parts.hostname, port or 587, "none" if _is_this_machine(parts.hostname) else "starttls", user)


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

    async def send(self, mail: Mail, attempt: Attempt) -> Outcome:
        """Raises Temporary."""
        deadline = asyncio.get_running_loop().time() + attempt.timeout_seconds - END_SECONDS
        try:
            login = await self._login()
        except SecretMissing:
            return self._held(f"SMTP_URL names a user, and the secret {PASSWORD} is not there: put the password in it")
        progress = Progress(self._context.blobs, attempt)
        settled = await progress.settled()
        letters = unsent_letters(mail, settled)
        if not letters:
            return conclude([*settled.values()])
        from functions.notify.destinations.email.smtp_session import send_letters  # with aiosmtplib

        try:
            async with self._limit.place(attempt.timeout_seconds / 2):
                fates = await send_letters(self._server, login, self._tls, letters, attempt.now, deadline)
        except CannotSend as fault:
            return self._held(fault.message) if fault.held else RetryLater(fault.message)
        everyone = [*settled.values(), *fates]
        if any(fate.fate in SETTLED for fate in fates) and any(fate.fate not in SETTLED for fate in fates):
            await progress.remember(everyone)
        return conclude(everyone)

    async def _login(self) -> Login | None:
        if self._server.user is None:
            return None
        return Login(self._server.user, (await self._context.secrets.values(PASSWORD))[0])

    def _held(self, message: str) -> Disabled:
        return Disabled(f"{message}; then run `hookchain release {self._destination}`")


def unsent_letters(mail: Mail, settled: Mapping[str, RecipientFate]) -> list[Letter]:
    """Return the mails that are still to be sent, each with the recipients who do not have it."""
    letters = []
    for each in mail.each():
        recipients = tuple(address for address in each.recipients if address.address not in settled)
        if recipients:
            letters.append(Letter(each, recipients))
    return letters


def conclude(fates: Sequence[RecipientFate]) -> Outcome:
    """Return the delivery's outcome.

    It is Unknown if it is not known whether a recipient has the mail, a retry if recipients remain, and Failed if all
    are rejected.
    """
    total = len(fates)
    unknown = [fate.message for fate in fates if fate.fate == "unknown"]
    if unknown:
        return Unknown(f"the SMTP server did not say whether it took the mail for {len(unknown)} of {total} recipients")
    later = [fate.message for fate in fates if fate.fate == "later"]
    if later:
        return RetryLater(f"not yet for {len(later)} of {total} recipients: {_status(later[0])}", answer=later[0])
    rejections = [fate.message for fate in fates if fate.fate == "rejected"]
    if len(rejections) == total:
        return Failed("mail_rejected", f"the SMTP server rejects the mail: {_status(rejections[0])}", rejections[0])
    if rejections:
        return Delivered(
            f"accepted for {total - len(rejections)} of {total} recipients, rejected for the others: {rejections[0]}"
        )
    return Delivered(fates[0].message)


def _status(reply: str) -> str:
    """Return the codes of a server's reply, and any other text unchanged.

    The result is logged, and the text of a reply may repeat the recipient's address or a part of the mail.
    """
    codes = _CODES.match(reply)
    return codes[0] if codes else reply


class Progress:
    """A record of the recipients that are settled, kept between the attempts of one delivery."""

    def __init__(self, blobs: Blobs | None, attempt: Attempt) -> None:
        self._blobs = blobs
        self._attempt = attempt
        self._name = f"mail-{attempt.idempotency_key}"

    async def settled(self) -> dict[str, RecipientFate]:
        """Return the settled fates by address; none at the first attempt. Raises Temporary."""
        if self._blobs is None or self._attempt.attempt_number == 1:
            return {}
        content = await self._blobs.get(self._name)
        rows: list[list[str]] = json.loads(content) if content else []
        return {  # an earlier version wrote `refused`
            address: RecipientFate(address, "rejected" if fate in {"rejected", "refused"} else "accepted", message)
            for address, fate, message in rows
        }

    async def remember(self, fates: Iterable[RecipientFate]) -> None:
        """Store the settled fates. Mails have been sent by now, so a failure to store is logged and not raised."""
        rows: list[Json] = [[fate.address, fate.fate, fate.message] for fate in fates if fate.fate in SETTLED]
        try:
            if self._blobs is None:
                raise Temporary("blobs_unavailable", "this platform's settings name no place for blobs")
            await self._blobs.put(self._name, to_json(rows).encode())
        except Temporary as error:
            key = self._attempt.idempotency_key
            log("WARNING", "a retry will repeat mails", function="notify", delivery_id=key, detail=error.detail)
