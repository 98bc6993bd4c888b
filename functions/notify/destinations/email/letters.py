"""Letters: a mail as RFC 5322 bytes for SMTP and SES, and the recipients who do not have it yet.

The headers are encoded here, value by value: email.message.EmailMessage reads encoded words in what it is given, and on
Python 3.11 one of them can bring a header of its own. Who has a mail is remembered between the attempts of a delivery.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.encoders import encode_base64
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import formatdate
from typing import Final, Literal

from functions.notify.destination import Attempt
from functions.notify.destinations.email.mail import Address, Attachment, Mail
from shared import errors, jsontext, logs, ports
from shared.delivery import Delivered, Failed, Outcome, RetryLater, Unknown

WORD_BYTES: Final = 39
"""52 characters of base64 and 12 around them: a line has room for exactly one such word."""
MAX_LINE: Final = 100
"""Room for the delivery's id on the line of its header's name: some readers keep the blank of a folded value."""

SETTLED: Final = frozenset({"accepted", "rejected"})
"""The fates after which a recipient gets no further mail of the delivery."""
PROGRESS: Final = "mail-"
"""The beginning of the name of the blob with the recipients of a delivery that are settled. Its id follows."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+./^_`{|}~:;,()<>@\[\]\"\\?=-]*")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]+")
_POLICY: Final = compat32.clone(linesep="\r\n", max_line_length=MAX_LINE)
_CODES: Final = re.compile(r"[0-9]{3}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?\b")
"""A reply's code, and its enhanced status code if it has one (RFC 3463)."""
Fate = Literal["accepted", "rejected", "later", "unknown"]
"""The result of a mail for a recipient. `later`: it was certainly not accepted, and can be sent again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and the recipients who do not have it yet. Its headers still name all recipients."""

    mail: Mail
    recipients: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class RecipientFate:
    """The result of a mail for one recipient. `unknown`: the mail was sent and no answer came.

    `message` is the answer's, or ours if there was none.
    """

    address: str
    fate: Fate
    message: str


def message_bytes(mail: Mail, now: float) -> bytes:
    """Return the mail as bytes. `now` (Unix seconds) is its Date. No header holds Bcc."""
    message = _body(mail)
    message["From"] = _address(mail.sender)
    message["To"] = _addresses(mail.to)
    if mail.cc:
        message["Cc"] = _addresses(mail.cc)
    if mail.reply_to:
        message["Reply-To"] = _address(mail.reply_to)
    message["Subject"] = encoded(mail.subject)
    message["Date"] = formatdate(now)
    for name, value in mail.headers:
        message[name] = value
    return message.as_bytes(policy=_POLICY)


def encoded(text: str) -> str:
    """Return the text as encoded words, or unchanged if it is ASCII in which nothing reads as an encoded word."""
    if _PLAIN.fullmatch(text) and "=?" not in text:
        return text
    return " ".join(f"=?utf-8?b?{base64.b64encode(piece).decode()}?=" for piece in _pieces(text))


def _pieces(text: str) -> Iterable[bytes]:
    """Yield pieces that are cut between characters, never within one."""
    piece = b""
    for character in text:
        more = character.encode("utf-8", "replace")
        if len(piece) + len(more) > WORD_BYTES:
            yield piece
            piece = b""
        piece += more
    yield piece


def _address(address: Address) -> str:
    """Return the address as a header has it: with its name plain, quoted or encoded."""
    # An address beyond ASCII is sent as raw UTF-8 (SMTPUTF8); compat32 takes raw bytes in this form.
    bare = address.address.encode().decode("ascii", "surrogateescape")
    if not address.name:
        return bare
    if _PLAIN_NAME.fullmatch(address.name):
        return f"{address.name} <{bare}>"
    if address.name.isascii() and "=?" not in address.name:
        return '"{}" <{}>'.format(address.name.replace("\\", "\\\\").replace('"', '\\"'), bare)
    return f"{encoded(address.name)} <{bare}>"


def _addresses(addresses: Iterable[Address]) -> str:
    return ", ".join(_address(address) for address in addresses)


def _body(mail: Mail) -> Message:
    """Return the message without its headers. Its texts are alternatives; attachments come after them."""
    texts = [_text(subtype, text) for subtype, text in (("plain", mail.text), ("html", mail.html)) if text is not None]
    body: Message = texts[0]
    if len(texts) > 1:
        body = MIMEMultipart("alternative", _subparts=texts)
    if mail.attachments:
        attached = [_attachment(attachment) for attachment in mail.attachments]
        return MIMEMultipart("mixed", _subparts=[body, *attached])
    return body


def _text(subtype: str, text: str) -> Message:
    """Return a text as base64, so that no line is too long and no server changes it."""
    part = MIMENonMultipart("text", subtype, charset="utf-8")
    part.set_payload(text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace"))
    encode_base64(part)
    return part


def _attachment(attachment: Attachment) -> Message:
    maintype, _, subtype = attachment.media_type.partition("/")
    part = MIMEBase(maintype, subtype)
    part.set_payload(attachment.content)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=attachment.filename)
    return part


def unsent_letters(mail: Mail, settled: Mapping[str, RecipientFate]) -> list[Letter]:
    """Return the mails that are still to be sent, each with the recipients who do not have it."""
    letters = []
    for single_mail in mail.each():
        recipients = tuple(address for address in single_mail.recipients if address.address not in settled)
        if recipients:
            letters.append(Letter(single_mail, recipients))
    return letters


def conclude(fates: Sequence[RecipientFate], service: str) -> Outcome:
    """Return the delivery's outcome. `service` is who answered, such as `the SMTP server`.

    It is Unknown if it is not known whether a recipient has the mail, a retry if recipients remain, and Failed if all
    are rejected.
    """
    total = len(fates)
    unknown = [fate.message for fate in fates if fate.fate == "unknown"]
    if unknown:
        return Unknown(f"{service} did not say whether it took the mail for {len(unknown)} of {total} recipients")
    later = [fate.message for fate in fates if fate.fate == "later"]
    if later:
        return RetryLater(f"not yet for {len(later)} of {total} recipients: {_status(later[0])}", answer=later[0])
    rejections = [fate.message for fate in fates if fate.fate == "rejected"]
    if len(rejections) == total:
        return Failed("mail_rejected", f"{service} rejects the mail: {_status(rejections[0])}", rejections[0])
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
    """A record of the recipients that are settled, kept between the attempts of one delivery.

    A replay of a delivery that failed goes on with it, so nobody gets the mail again. A delivery that is reopened after
    it was delivered has a new record.
    """

    def __init__(self, blobs: ports.Blobs | None, attempt: Attempt) -> None:
        self._blobs = blobs
        self._attempt = attempt
        self._name = f"{PROGRESS}{attempt.row_key}"

    async def settled(self) -> dict[str, RecipientFate]:
        """Return the settled fates by address; none at the first attempt. Raises Temporary.

        The attempts of a replay ask again for the recipients that were rejected, because somebody may have corrected
        the cause.
        """
        if self._blobs is None or not self._attempt.may_be_there:
            return {}
        content = await self._blobs.get(self._name)
        rows: list[list[str]] = json.loads(content) if content else []
        fates = {  # an earlier version wrote `refused`
            address: RecipientFate(address, "rejected" if fate in {"rejected", "refused"} else "accepted", message)
            for address, fate, message in rows
        }
        if self._attempt.generation == 0:
            return fates
        return {address: fate for address, fate in fates.items() if fate.fate == "accepted"}

    async def remember(self, fates: Iterable[RecipientFate]) -> None:
        """Store the settled fates. Mails have been sent by now, so a failure to store is logged and not raised."""
        rows: list[jsontext.Json] = [[fate.address, fate.fate, fate.message] for fate in fates if fate.fate in SETTLED]
        try:
            if self._blobs is None:
                raise errors.Temporary("blobs_unavailable", "this platform's settings name no place for blobs")
            await self._blobs.put(self._name, jsontext.to_json(rows).encode())
        except errors.Temporary as error:
            key = self._attempt.idempotency_key
            logs.log("WARNING", "a retry will repeat mails", function="notify", delivery_id=key, detail=error.detail)

    def conclude(self, fates: Sequence[RecipientFate], service: str) -> Outcome:
        """Return the outcome of `conclude`. Log a warning if the mail is delivered, but not to all recipients."""
        outcome = conclude(fates, service)
        rejections = [fate.message for fate in fates if fate.fate == "rejected"]
        if rejections and isinstance(outcome, Delivered):
            detail = f"{service} rejects {len(rejections)} of {len(fates)} recipients: {_status(rejections[0])}"
            key = self._attempt.idempotency_key
            logs.log(
                "WARNING", "delivered, but not to all recipients", function="notify", delivery_id=key, detail=detail
            )
        return outcome
