"""A connection to an SMTP server, encrypted and logged in, whose every wait ends by one deadline.

https://www.rfc-editor.org/rfc/rfc5321
"""

import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from functions.notify.destinations.email.smtp_url import SmtpServer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

END_OF_MAIL: Final = b"\r\n.\r\n"


class CannotSend(Exception):
    """The server takes nothing from us: `held` until an operator acts, as its words say, or only for now."""

    def __init__(self, words: str, *, held: bool) -> None:
        super().__init__(words)
        self.words = words
        self.held = held


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str


class BoundedSmtp(smtplib.SMTP):
    """`deadline` is a time of time.monotonic(). `is_mail_sent`: what was sent last is a mail with its end.

    A server accepts no mail before its end: https://www.rfc-editor.org/rfc/rfc5321#section-4.1.1.4
    """

    deadline = float("inf")
    is_mail_sent = False

    def send(self, s: "ReadableBuffer | str") -> None:
        self.is_mail_sent = False
        super().send(s)
        self.is_mail_sent = isinstance(s, bytes) and s.endswith(END_OF_MAIL)

    def getreply(self) -> tuple[int, bytes]:
        if self.sock and self.deadline != float("inf"):
            self.sock.settimeout(max(0.001, self.deadline - time.monotonic()))
        return super().getreply()


class _BoundedTls(BoundedSmtp, smtplib.SMTP_SSL):
    """The same over TLS from the start."""


@contextmanager
def connection(
    server: SmtpServer, login: Login | None, tls: ssl.SSLContext, ehlo_name: str, deadline: float
) -> Iterator[BoundedSmtp]:
    """Raises CannotSend."""
    smtp = _connect(server, tls, ehlo_name, deadline)
    try:
        if server.security == "starttls":
            _start_tls(smtp, server.host, tls)
        _log_in(smtp, login)
        yield smtp
    finally:
        _close(smtp)


def _connect(server: SmtpServer, tls: ssl.SSLContext, ehlo_name: str, deadline: float) -> BoundedSmtp:
    seconds = max(0.001, deadline - time.monotonic())
    try:
        if server.security == "tls":
            smtp: BoundedSmtp = _BoundedTls(server.host, server.port, ehlo_name, timeout=seconds, context=tls)
        else:
            smtp = BoundedSmtp(server.host, server.port, ehlo_name, timeout=seconds)
    except (smtplib.SMTPException, OSError) as error:
        raise CannotSend(f"{server.host} cannot be reached: {reason_of(error)}", held=False) from error
    smtp.deadline = deadline
    return smtp


def _start_tls(smtp: smtplib.SMTP, host: str, tls: ssl.SSLContext) -> None:
    try:
        smtp.starttls(context=tls)
    except smtplib.SMTPNotSupportedError as error:
        raise CannotSend(
            f"{host} offers no STARTTLS: name a server that encrypts, or use smtps://", held=True
        ) from error
    except (smtplib.SMTPException, OSError) as error:
        raise CannotSend(f"{host} does not encrypt: {reason_of(error)}", held=False) from error


def _log_in(smtp: smtplib.SMTP, login: Login | None) -> None:
    try:
        smtp.ehlo_or_helo_if_needed()
        if login:
            _authenticate(smtp, login)
    except smtplib.SMTPAuthenticationError as error:
        act = "correct the user in SMTP_URL, or the secret smtp-password"
        words = f"the SMTP server refuses the user or the password ({error.smtp_code}): {act}"
        raise CannotSend(words, held=error.smtp_code >= 500) from error
    except (smtplib.SMTPException, OSError, UnicodeEncodeError) as error:
        raise CannotSend(f"the SMTP server broke off: {reason_of(error)}", held=False) from error


def _authenticate(smtp: smtplib.SMTP, login: Login) -> None:
    """By one mechanism: smtplib's own login tries one after another, until the server hangs up on it."""
    smtp.user, smtp.password = login.user, login.password
    offered = smtp.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in offered:
        smtp.auth("PLAIN", smtp.auth_plain)
    elif "LOGIN" in offered:
        smtp.auth("LOGIN", smtp.auth_login)
    elif "CRAM-MD5" in offered:
        smtp.auth("CRAM-MD5", smtp.auth_cram_md5)
    else:
        raise CannotSend("the SMTP server takes no password: leave the user out of SMTP_URL", held=True)


def _close(smtp: smtplib.SMTP) -> None:
    try:
        smtp.quit()
    except (smtplib.SMTPException, OSError):
        smtp.close()


def reason_of(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    return type(error).__name__
