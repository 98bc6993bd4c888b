"""One mail after another over one connection, and what became of each recipient. Blocks; it runs in a thread.

Only a reply of three digits counts. smtplib makes -1 of anything else, and 25 of what is left of a 250 or 550 when a
connection ends: https://www.rfc-editor.org/rfc/rfc5321#section-4.2
"""

import smtplib
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from functions.notify.mail.addresses import Address
from functions.notify.mail.mail import Mail
from functions.notify.mail.mime import message_bytes
from functions.notify.mail.smtp_connection import BoundedSmtp, CannotSend, Login, connection, reason_of
from functions.notify.mail.smtp_url import SmtpServer

MIN_SECONDS: Final = 0.5
MAX_WORDS: Final = 300

Fate = Literal["taken", "refused", "later", "unknown"]


@dataclass(frozen=True, slots=True)
class RecipientFate:
    """`unknown`: the mail was sent to it and no answer came. `words` are the server's, or ours where it said none."""

    address: str
    fate: Fate
    words: str


class Sent:
    """A note of whether the content of a mail was sent, shared by the thread that sends and the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_any = self._is_over = False

    def begin(self) -> bool:
        """Return True where content may still be sent."""
        with self._lock:
            self._is_any = self._is_any or not self._is_over
            return not self._is_over

    def end(self) -> bool:
        """Let nothing more be sent, and return True where something was."""
        with self._lock:
            self._is_over = True
            return self._is_any


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail for those who do not have it yet; its headers name everyone all the same."""

    mail: Mail
    recipients: tuple[Address, ...]


def send_letters(
    server: SmtpServer,
    login: Login | None,
    tls: ssl.SSLContext,
    letters: Sequence[Letter],
    now: float,
    seconds: float,
    sent: Sent,
) -> list[RecipientFate]:
    """Takes at most that many seconds, and says of every recipient what became of it. `now` is the mails' date.

    Raises CannotSend where nothing was sent at all.
    """
    deadline = time.monotonic() + seconds
    fates: list[RecipientFate] = []
    with connection(server, login, tls, letters[0].mail.sender.domain, deadline) as smtp:
        for letter in letters:
            try:
                fates += _send(smtp, letter, now, deadline, sent)
            except CannotSend as fault:
                if not fates:
                    raise
                fates += _all(letter.recipients, "later", fault.words)
    return fates


def _send(smtp: BoundedSmtp, letter: Letter, now: float, deadline: float, sent: Sent) -> list[RecipientFate]:
    if smtp.sock is None:
        return _all(letter.recipients, "later", "the connection broke")
    if deadline - time.monotonic() < MIN_SECONDS:
        return _all(letter.recipients, "later", "no time was left")
    options = _options(smtp, letter)
    if options is None:
        return _all(letter.recipients, "refused", "the server takes no address beyond ASCII (SMTPUTF8)")
    try:
        fates, taken = _envelope(smtp, letter, options)
    except (smtplib.SMTPException, OSError) as error:
        smtp.close()
        return _all(letter.recipients, "later", reason_of(error))
    return [*fates, *_content(smtp, letter.mail, taken, now, sent)] if taken else fates


def _options(smtp: smtplib.SMTP, letter: Letter) -> list[str] | None:
    if not any(address.needs_smtputf8 for address in (letter.mail.sender, *letter.mail.recipients)):
        return []
    return ["SMTPUTF8", "BODY=8BITMIME"] if smtp.has_extn("smtputf8") else None


def _envelope(smtp: smtplib.SMTP, letter: Letter, options: list[str]) -> tuple[list[RecipientFate], list[Address]]:
    """What became of those whom the server does not take, and those whom it takes.

    Raises CannotSend, and SMTPException where a reply is none.
    """
    sender = letter.mail.sender.address
    code, words = _reply(smtp.mail(sender, options))
    if code >= 500:
        act = "set EMAIL_FROM, or the destination's `from`, to an address that it lets you use"
        raise CannotSend(f"the SMTP server refuses the sender {sender} ({_words(code, words)}): {act}", held=True)
    if code >= 400:
        return _all(letter.recipients, "later", _words(code, words)), []
    fates: list[RecipientFate] = []
    taken: list[Address] = []
    for address in letter.recipients:
        code, words = _reply(smtp.rcpt(address.address))
        if code < 400:
            taken.append(address)
        else:
            fates.append(RecipientFate(address.address, _refusal(code), _words(code, words)))
    if not taken:
        smtp.rset()
    return fates, taken


def _content(smtp: BoundedSmtp, mail: Mail, taken: list[Address], now: float, sent: Sent) -> list[RecipientFate]:
    if not sent.begin():
        smtp.close()
        return _all(taken, "later", "no time was left")
    try:
        code, words = _reply(smtp.data(message_bytes(mail, now)))
    except smtplib.SMTPDataError as error:  # refused before any of it was sent
        with suppress(smtplib.SMTPException, OSError):
            smtp.rset()
        return _all(taken, _refusal(error.smtp_code), _words(error.smtp_code, error.smtp_error))
    except (smtplib.SMTPException, OSError) as error:
        smtp.close()
        # A server accepts no mail whose end it did not get.
        return _all(taken, "unknown" if smtp.is_mail_sent else "later", reason_of(error))
    return _all(taken, "taken" if code < 400 else _refusal(code), _words(code, words))


def _reply(reply: tuple[int, bytes]) -> tuple[int, bytes]:
    """The reply, if it says that the command is done or refused. Raises SMTPResponseException."""
    code, words = reply
    if not (200 <= code < 300 or 400 <= code < 600):
        raise smtplib.SMTPResponseException(code, words)
    return code, words


def _refusal(code: int) -> Fate:
    return "later" if code < 500 else "refused"


def _all(addresses: Iterable[Address], fate: Fate, words: str) -> list[RecipientFate]:
    return [RecipientFate(address.address, fate, words) for address in addresses]


def _words(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} " + "".join(c if c.isprintable() else " " for c in text[:MAX_WORDS])
