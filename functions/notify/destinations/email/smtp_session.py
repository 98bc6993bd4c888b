"""Send mails one after another over one connection to an SMTP server, and return the result for each recipient.

A fate is one of `letters.Fate`: `accepted`, `rejected`, `later` (the server has certainly not accepted the mail) or
`unknown` (it may have accepted the mail, but no reply came).

If the server accepts no mail from us, CannotSend is raised. With `held`, the delivery waits until an operator has acted
as the message says, and otherwise it is retried.

Everything but the content of a mail is sent by aiosmtplib, whose import takes 50 ms, so this module is imported for the
first mail over SMTP. The content is sent here, because the library does not report whether the end of the content was
sent. A server must not accept a mail before its end (RFC 5321, section 4.1.1.4), so until then the fate is `later`.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

import aiosmtplib

from functions.notify.destinations.email.letters import Fate, Letter, RecipientResult
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.mail_bytes import message_bytes
from functions.notify.destinations.email.smtp_server import CannotSend, Login, SmtpServer
from shared.event import oneline

MIN_SECONDS: Final = 0.5
"""No further mail is begun with less time left."""
MAX_MESSAGE_CHARACTERS: Final = 300
"""How much of a server's reply is kept for people."""
DRAIN_SECONDS: Final = 0.005
"""The pause between two looks at whether the content has left the write buffer."""
END_OF_CONTENT: Final = b".\r\n"
START_INPUT: Final = 354
"""The reply's code to DATA: send the content."""
AUTHENTICATION_REQUIRED: Final = 530
"""The reply's code to MAIL if the server wants a login first (RFC 4954)."""

_DOT_AT_LINE_START: Final = re.compile(rb"(?m)^\.")
"""Such a dot is doubled, because a line with a single dot ends the content (RFC 5321, section 4.5.2)."""
_SESSION_ERRORS: Final = (aiosmtplib.SMTPException, OSError, ValueError)
"""The errors of a session: of the library, of the connection (OSError, of which TimeoutError is a kind), and of a value
that cannot be sent (ValueError)."""
_CAUSES: Final[Mapping[type[Exception], str]] = {
    socket.gaierror: "DNS knows no address of that name",
    ConnectionRefusedError: "it refused the connection",
    TimeoutError: "no answer came in time",
    aiosmtplib.SMTPServerDisconnected: "it closed the connection",
}
_PLAIN_TEXT: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons if the server answers a TLS handshake in plain text."""


async def send_letters(
    server: SmtpServer, login: Login | None, tls: ssl.SSLContext, letters: Sequence[Letter], now: float, deadline: float
) -> list[RecipientResult]:
    """Send the letters in their order, and return the result for every recipient.

    `now` is the date of the mails, in Unix seconds. `deadline` is a time of the event loop's clock.

    Raises CannotSend if the server accepts no mail from us, as it says before the first letter or for it. Once a
    recipient has a fate, an error would lose it. So any further letter for which the server says this gets the fate
    `later`, and the next one is sent.
    """
    results: list[RecipientResult] = []
    async with _session(server, login, tls, letters[0].mail.sender.domain, deadline) as smtp:
        for letter in letters:
            try:
                results += await _send(smtp, letter, now, deadline)
            except CannotSend as fault:
                if not results:
                    raise
                results += _same_fate(letter.recipients, "later", fault.message)
    return results


@asynccontextmanager
async def _session(
    server: SmtpServer, login: Login | None, tls: ssl.SSLContext, ehlo_name: str, deadline: float
) -> AsyncIterator[aiosmtplib.SMTP]:
    """Connect, encrypt and log in; at the end, say goodbye and close the connection. Raises CannotSend."""
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
        with suppress(*_SESSION_ERRORS):  # all mails have their fates, so a failure to say goodbye changes nothing
            async with asyncio.timeout_at(deadline):
                await smtp.quit()
    finally:
        smtp.close()


async def _connect(smtp: aiosmtplib.SMTP, server: SmtpServer, deadline: float) -> None:
    """Open the connection, with TLS if the server speaks it from the start. Raises CannotSend."""
    try:
        async with asyncio.timeout_at(deadline):
            await smtp.connect()
    except _SESSION_ERRORS as error:
        reason = _reason(error)
        if isinstance(error, TimeoutError) and not smtp.use_tls:
            reason += ", or it waits for TLS from the start: write smtps:// then"
        cause = _cause(error)
        if smtp.use_tls and isinstance(cause, ssl.SSLError) and cause.reason in _PLAIN_TEXT:
            reason = "it does not speak TLS from the start there: correct the port, or write smtp://"
        raise CannotSend(f"{server.host} cannot be reached at port {server.port}: {reason}", held=False) from error


async def _start_tls(smtp: aiosmtplib.SMTP, host: str, deadline: float) -> None:
    """Encrypt the connection. Raises CannotSend, also if the server offers no encryption: nothing is sent in plain."""
    try:
        async with asyncio.timeout_at(deadline):
            await _greet(smtp)
            if smtp.supports_extension("starttls"):
                await smtp.starttls()
                return
    except _SESSION_ERRORS as error:
        raise CannotSend(f"the connection to {host} cannot be encrypted: {_reason(error)}", held=False) from error
    raise CannotSend(f"{host} offers no STARTTLS: name a server that encrypts, or use smtps://", held=True)


async def _log_in(smtp: aiosmtplib.SMTP, login: Login | None, deadline: float) -> None:
    """Authenticate by one mechanism, because the library's own login tries one after another until the server hangs up.

    Without a login, only greet the server. Raises CannotSend.
    """
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
            elif smtp.supports_extension("starttls"):  # it was not used, because the server is on this machine
                rule = (
                    "the SMTP server takes no password before STARTTLS, which is not used with a server on this machine"
                )
                raise CannotSend(f"{rule}: let it take one, or write another address of it in SMTP_URL", held=True)
            else:
                raise CannotSend("the SMTP server takes no password: leave the user out of SMTP_URL", held=True)
    except aiosmtplib.SMTPAuthenticationError as error:
        advice = "correct the user in SMTP_URL, or the secret smtp-password"
        text = f"the SMTP server rejects the user or the password ({error.code}): {advice}"
        raise CannotSend(text, held=error.code >= 500) from error
    except _SESSION_ERRORS as error:
        raise CannotSend(f"the SMTP server broke off: {_reason(error)}", held=False) from error


async def _greet(smtp: aiosmtplib.SMTP) -> None:
    """Send EHLO, after which the extensions of the server are known; HELO to a server that does not know it."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError:
        await smtp.helo()


async def _send(smtp: aiosmtplib.SMTP, letter: Letter, now: float, deadline: float) -> list[RecipientResult]:
    """Send one letter; return the result for each recipient. Raises CannotSend."""
    if not smtp.is_connected:
        return _same_fate(letter.recipients, "later", "the connection broke")
    if deadline - asyncio.get_running_loop().time() < MIN_SECONDS:
        return _same_fate(letter.recipients, "later", "no time was left")
    needs_utf8 = any(address.needs_smtputf8 for address in (letter.mail.sender, *letter.mail.recipients))
    if needs_utf8 and not smtp.supports_extension("smtputf8"):
        return _same_fate(letter.recipients, "rejected", "the server accepts no address beyond ASCII (SMTPUTF8)")
    try:
        async with asyncio.timeout_at(deadline):
            results, accepted = await _send_envelope(smtp, letter, needs_utf8)
    except _SESSION_ERRORS as error:
        # Those that the server had rejected before are tried again with the others.
        smtp.close()
        return _same_fate(letter.recipients, "later", _reason(error))
    if accepted:
        results += await _send_content(smtp, letter.mail, accepted, now, deadline)
    return results


async def _send_envelope(
    smtp: aiosmtplib.SMTP, letter: Letter, needs_utf8: bool
) -> tuple[list[RecipientResult], list[Address]]:
    """Send the sender's and the recipients' addresses. Return the results of the recipients that the server does not
    accept, and the addresses of those that it accepts, who have no fate yet.

    Raises CannotSend if it rejects the sender permanently, and _SESSION_ERRORS, of which CannotSend is none.
    """
    sender = letter.mail.sender.address
    options = ["SMTPUTF8", "BODY=8BITMIME"] if needs_utf8 else []
    encoding = "utf-8" if needs_utf8 else "ascii"
    try:
        await smtp.mail(sender, options=options, encoding=encoding)
    except aiosmtplib.SMTPSenderRefused as error:
        text = _reply_text(error.code, error.message)
        if _rejection_fate(error.code) == "later":
            return _same_fate(letter.recipients, "later", text), []
        advice = "set EMAIL_FROM, or the destination's `from`, to an address that it lets you use"
        if error.code == AUTHENTICATION_REQUIRED:
            advice = "write the user into SMTP_URL (smtp://user@host), and set the secret smtp-password"
        raise CannotSend(f"the SMTP server rejects the sender {sender} ({text}): {advice}", held=True) from error
    results: list[RecipientResult] = []
    accepted: list[Address] = []
    for address in letter.recipients:
        try:
            await smtp.rcpt(address.address, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as error:
            text = _reply_text(error.code, error.message)
            results.append(RecipientResult(address.address, _rejection_fate(error.code), text))
        else:
            accepted.append(address)
    if not accepted:
        await smtp.execute_command(b"RSET")
    return results, accepted


async def _send_content(
    smtp: aiosmtplib.SMTP, mail: Mail, accepted: Sequence[Address], now: float, deadline: float
) -> list[RecipientResult]:
    """Send the content of the mail, and return the results of the recipients that the server has accepted."""
    is_end_sent = False
    reply_task: asyncio.Task[aiosmtplib.SMTPResponse] | None = None
    try:
        async with asyncio.timeout_at(deadline):
            data_reply = await smtp.execute_command(b"DATA")
            if data_reply.code != START_INPUT:
                return await _content_rejected(smtp, data_reply, accepted)
            protocol = smtp.protocol
            if protocol is None:
                raise aiosmtplib.SMTPServerDisconnected("the connection broke")
            # A server may reply before the end of the content, for instance if the mail is too large. So the task reads
            # while the content is sent; `sleep(0)` lets it start.
            reply_task = asyncio.create_task(protocol.read_response())
            await asyncio.sleep(0)
            protocol.write(_DOT_AT_LINE_START.sub(b"..", message_bytes(mail, now)))
            await _sent_or_replied(smtp, reply_task)
            if reply_task.done():
                # The server would take any further line of the content as a command.
                smtp.close()
            else:
                protocol.write(END_OF_CONTENT)
                is_end_sent = True
            reply = await reply_task
    except _SESSION_ERRORS as error:
        smtp.close()
        return _same_fate(accepted, "unknown" if is_end_sent else "later", _reason(error))
    finally:
        if reply_task is not None:
            reply_task.cancel()
    return _same_fate(accepted, _content_fate(reply.code, is_end_sent), _reply_text(*reply))


async def _content_rejected(
    smtp: aiosmtplib.SMTP, reply: aiosmtplib.SMTPResponse, accepted: Sequence[Address]
) -> list[RecipientResult]:
    """Reset the session after the server has rejected DATA, so that the next mail can be sent."""
    with suppress(*_SESSION_ERRORS):  # a connection that broke is found by the next mail
        await smtp.execute_command(b"RSET")
    return _same_fate(accepted, _rejection_fate(reply.code), _reply_text(*reply))


async def _sent_or_replied(smtp: aiosmtplib.SMTP, reply_task: "asyncio.Task[aiosmtplib.SMTPResponse]") -> None:
    """Wait until all that was written is sent, or until the server has replied."""
    # A cast and no isinstance: the transport of uvloop is not a subclass of asyncio.WriteTransport.
    transport = cast("asyncio.WriteTransport", smtp.transport)
    # Polled, because a transport does not tell when its buffer is empty.
    while transport.get_write_buffer_size() and not reply_task.done():  # noqa: ASYNC110
        await asyncio.sleep(DRAIN_SECONDS)


def _content_fate(code: int, is_end_sent: bool) -> Fate:
    """Return what the reply to the content means. Before the end was sent, the server cannot have accepted the mail."""
    # A connection that breaks during the reply can leave a part of its code, such as 25 of 250.
    if not _is_final(code):
        return "unknown" if is_end_sent else "later"
    if code >= 400:
        return _rejection_fate(code)
    return "accepted" if is_end_sent else "later"


def _is_final(code: int) -> bool:
    """Return whether the reply says that a command is done or rejected (RFC 5321, section 4.2.1)."""
    return 200 <= code < 300 or 400 <= code < 600


def _rejection_fate(code: int) -> Fate:
    """Return `rejected` for a permanent error (5xx), and `later` for a temporary or unusual reply."""
    return "rejected" if 500 <= code < 600 else "later"


def _same_fate(addresses: Iterable[Address], fate: Fate, text: str) -> list[RecipientResult]:
    return [RecipientResult(address.address, fate, text) for address in addresses]


def _reply_text(code: int, message: str) -> str:
    return f"{code} {oneline(message[:MAX_MESSAGE_CHARACTERS])}"


def _reason(error: Exception) -> str:
    """Return the kind of the error, which the library may have wrapped; never the server's text."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"it does not speak TLS as we do ({cause.reason or 'UNKNOWN'})"
    return next((text for kind, text in _CAUSES.items() if isinstance(cause, kind)), type(cause).__name__)


def _cause(error: Exception) -> BaseException:
    """Return the error of the connection that the library has wrapped, or the error itself."""
    if isinstance(error, aiosmtplib.SMTPException) and isinstance(error.__cause__, OSError):
        return error.__cause__
    return error
