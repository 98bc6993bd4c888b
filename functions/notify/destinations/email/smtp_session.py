"""One mail after another over one connection to an SMTP server, and what became of each recipient.

Over aiosmtplib, whose import takes 50 ms: only the first mail over SMTP imports this. The content of a mail is sent
here and not by the library, which does not say whether it had sent the end: a server accepts no mail before that.
https://www.rfc-editor.org/rfc/rfc5321#section-4.1.1.4
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

import aiosmtplib

from functions.notify.destinations.email.letters import Fate, Letter, RecipientFate, message_bytes
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.smtp_server import CannotSend, Login, SmtpServer
from shared.event import oneline

MIN_SECONDS: Final = 0.5
"""No further mail is begun with less time left."""
MAX_MESSAGE_CHARACTERS: Final = 300
DRAIN_SECONDS: Final = 0.005
END_OF_MAIL: Final = b".\r\n"
START_INPUT: Final = 354
AUTHENTICATION_REQUIRED: Final = 530

_DOT_FIRST: Final = re.compile(rb"(?m)^\.")
# Raised for a broken connection, an unusual answer or a value that cannot be sent; a timeout is an OSError.
_TROUBLE: Final = (aiosmtplib.SMTPException, OSError, ValueError)


async def send_letters(
    server: SmtpServer, login: Login | None, tls: ssl.SSLContext, letters: Sequence[Letter], now: float, deadline: float
) -> list[RecipientFate]:
    """Return the fate of every recipient, by the deadline on the loop's clock. `now` is the mails' date.

    Raises CannotSend where nothing was sent at all.
    """
    fates: list[RecipientFate] = []
    async with _session(server, login, tls, letters[0].mail.sender.domain, deadline) as smtp:
        for letter in letters:
            try:
                fates += await _send(smtp, letter, now, deadline)
            except CannotSend as fault:
                if not fates:
                    raise
                fates += _all(letter.recipients, "later", fault.message)
    return fates


@asynccontextmanager
async def _session(
    server: SmtpServer, login: Login | None, tls: ssl.SSLContext, ehlo_name: str, deadline: float
) -> AsyncIterator[aiosmtplib.SMTP]:
    """Connect, encrypt and log in. Raises CannotSend."""
    smtp = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        local_hostname=ehlo_name,
        timeout=None,  # the deadline bounds every wait
        use_tls=server.security == "tls",
        start_tls=False,  # `_start_tls` does it, and rejects a server that offers none
        tls_context=tls,
    )
    try:
        await _connect(smtp, server, deadline)
        if server.security == "starttls":
            await _start_tls(smtp, server.host, deadline)
        await _log_in(smtp, login, deadline)
        yield smtp
        with suppress(*_TROUBLE):
            async with asyncio.timeout_at(deadline):
                await smtp.quit()
    finally:
        smtp.close()


async def _connect(smtp: aiosmtplib.SMTP, server: SmtpServer, deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await smtp.connect()
    except _TROUBLE as error:
        reason = _reason(error)
        if isinstance(error, TimeoutError) and not smtp.use_tls:
            reason += ", or it waits for TLS from the start: write smtps:// then"
        raise CannotSend(f"{server.host} cannot be reached at port {server.port}: {reason}", held=False) from error


async def _start_tls(smtp: aiosmtplib.SMTP, host: str, deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await _greet(smtp)
            if smtp.supports_extension("starttls"):
                await smtp.starttls()
                return
    except _TROUBLE as error:
        raise CannotSend(f"{host} does not encrypt: {_reason(error)}", held=False) from error
    raise CannotSend(f"{host} offers no STARTTLS: name a server that encrypts, or use smtps://", held=True)


async def _log_in(smtp: aiosmtplib.SMTP, login: Login | None, deadline: float) -> None:
    """Authenticate by one mechanism: the library's own login tries one after another, until the server hangs up."""
    try:
        async with asyncio.timeout_at(deadline):
            await _greet(smtp)
            if login is None:
                return
            if "plain" in smtp.server_auth_methods:
                await smtp.auth_plain(login.user, login.password)
            elif "login" in smtp.server_auth_methods:
                await smtp.auth_login(login.user, login.password)
            elif "cram-md5" in smtp.server_auth_methods:
                await smtp.auth_crammd5(login.user, login.password)
            else:
                raise CannotSend("the SMTP server takes no password: leave the user out of SMTP_URL", held=True)
    except aiosmtplib.SMTPAuthenticationError as error:
        act = "correct the user in SMTP_URL, or the secret smtp-password"
        text = f"the SMTP server rejects the user or the password ({error.code}): {act}"
        raise CannotSend(text, held=error.code >= 500) from error
    except _TROUBLE as error:
        raise CannotSend(f"the SMTP server broke off: {_reason(error)}", held=False) from error


async def _greet(smtp: aiosmtplib.SMTP) -> None:
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError:
        await smtp.helo()


async def _send(smtp: aiosmtplib.SMTP, letter: Letter, now: float, deadline: float) -> list[RecipientFate]:
    """Send one letter; return the fate of each recipient. Raises CannotSend."""
    if not smtp.is_connected:
        return _all(letter.recipients, "later", "the connection broke")
    if deadline - asyncio.get_running_loop().time() < MIN_SECONDS:
        return _all(letter.recipients, "later", "no time was left")
    needs_utf8 = any(address.needs_smtputf8 for address in (letter.mail.sender, *letter.mail.recipients))
    if needs_utf8 and not smtp.supports_extension("smtputf8"):
        return _all(letter.recipients, "rejected", "the server accepts no address beyond ASCII (SMTPUTF8)")
    try:
        async with asyncio.timeout_at(deadline):
            fates, accepted = await _envelope(smtp, letter, needs_utf8)
    except _TROUBLE as error:
        smtp.close()
        return _all(letter.recipients, "later", _reason(error))
    return [*fates, *await _content(smtp, letter.mail, accepted, now, deadline)] if accepted else fates


async def _envelope(
    smtp: aiosmtplib.SMTP, letter: Letter, needs_utf8: bool
) -> tuple[list[RecipientFate], list[Address]]:
    """Return the fates of the rejected recipients, and the accepted recipients. Raises CannotSend."""
    sender = letter.mail.sender.address
    options = ["SMTPUTF8", "BODY=8BITMIME"] if needs_utf8 else []
    encoding = "utf-8" if needs_utf8 else "ascii"
    try:
        await smtp.mail(sender, options=options, encoding=encoding)
    except aiosmtplib.SMTPSenderRefused as error:
        text = _message(error.code, error.message)
        if _rejection(error.code) == "later":
            return _all(letter.recipients, "later", text), []
        act = "set EMAIL_FROM, or the destination's `from`, to an address that it lets you use"
        if error.code == AUTHENTICATION_REQUIRED:
            act = "write the user into SMTP_URL (smtp://user@host), and set the secret smtp-password"
        raise CannotSend(f"the SMTP server rejects the sender {sender} ({text}): {act}", held=True) from error
    fates: list[RecipientFate] = []
    accepted: list[Address] = []
    for address in letter.recipients:
        try:
            await smtp.rcpt(address.address, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as error:
            fates.append(RecipientFate(address.address, _rejection(error.code), _message(error.code, error.message)))
        else:
            accepted.append(address)
    if not accepted:
        await smtp.execute_command(b"RSET")
    return fates, accepted


async def _content(
    smtp: aiosmtplib.SMTP, mail: Mail, accepted: Sequence[Address], now: float, deadline: float
) -> list[RecipientFate]:
    is_end_sent = False
    reading: asyncio.Task[aiosmtplib.SMTPResponse] | None = None
    try:
        async with asyncio.timeout_at(deadline):
            answer = await smtp.execute_command(b"DATA")
            if answer.code != START_INPUT:  # rejected before any of it was sent
                with suppress(*_TROUBLE):
                    await smtp.execute_command(b"RSET")
                return _all(accepted, _rejection(answer.code), _message(*answer))
            protocol = smtp.protocol
            if protocol is None:
                raise aiosmtplib.SMTPServerDisconnected("the connection broke")
            reading = asyncio.create_task(protocol.read_response())
            await asyncio.sleep(0)  # it reads from now on: a server may answer before the end
            protocol.write(_DOT_FIRST.sub(b"..", message_bytes(mail, now)))
            transport = cast("asyncio.WriteTransport", smtp.transport)  # uvloop's is one, and no subclass
            while transport.get_write_buffer_size() and not reading.done():  # noqa: ASYNC110 no transport tells when
                await asyncio.sleep(DRAIN_SECONDS)
            if reading.done():
                smtp.close()  # the server would read further lines as commands
            else:
                protocol.write(END_OF_MAIL)
                is_end_sent = True
            answer = await reading
    except _TROUBLE as error:
        smtp.close()
        return _all(accepted, "unknown" if is_end_sent else "later", _reason(error))
    finally:
        if reading is not None:
            reading.cancel()
    if not _is_final(answer.code):  # a connection that ends early may leave 25 of a 250
        return _all(accepted, "unknown" if is_end_sent else "later", _message(*answer))
    if answer.code < 400 and not is_end_sent:
        return _all(accepted, "later", _message(*answer))
    return _all(accepted, "accepted" if answer.code < 400 else _rejection(answer.code), _message(*answer))


def _is_final(code: int) -> bool:
    """Return whether the reply says that a command is done or rejected (RFC 5321, section 4.2.1)."""
    return 200 <= code < 300 or 400 <= code < 600


def _rejection(code: int) -> Fate:
    return "rejected" if 500 <= code < 600 else "later"


def _all(addresses: Iterable[Address], fate: Fate, text: str) -> list[RecipientFate]:
    return [RecipientFate(address.address, fate, text) for address in addresses]


def _message(code: int, message: str) -> str:
    return f"{code} {oneline(message[:MAX_MESSAGE_CHARACTERS])}"


_CAUSES: Final[Mapping[type[Exception], str]] = {
    socket.gaierror: "DNS knows no address of that name",
    ConnectionRefusedError: "it refused the connection",
    TimeoutError: "no answer came in time",
    aiosmtplib.SMTPServerDisconnected: "it closed the connection",
}


def _reason(error: Exception) -> str:
    """Return the kind of the error, which the library may have wrapped; never the server's text."""
    cause = (
        error.__cause__
        if isinstance(error, aiosmtplib.SMTPException) and isinstance(error.__cause__, OSError)
        else error
    )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return "it does not speak TLS from the start there: correct the port, or write smtp://"
    return next((text for kind, text in _CAUSES.items() if isinstance(cause, kind)), type(cause).__name__)
