"""A mail as the bytes of RFC 5322, for SMTP and SES.

The headers are encoded here, value by value: email.message.EmailMessage reads encoded words in what it is given, and on
Python 3.11 one of them can bring a header of its own.
"""

import base64
import re
from collections.abc import Iterable
from email.encoders import encode_base64
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import formatdate
from typing import Final

from functions.notify.destinations.email.mail import Address, Attachment, Mail

WORD_BYTES: Final = 39
"""52 characters of base64 and 12 around them: a line has room for exactly one such word."""
MAX_LINE: Final = 100
"""Room for the delivery's id on the line of its header's name: some readers keep the blank of a folded value."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+./^_`{|}~:;,()<>@\[\]\"\\?=-]*")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]+")
_POLICY: Final = compat32.clone(linesep="\r\n", max_line_length=MAX_LINE)


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
