"""One mail, as the people it is addressed to would see it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypedDict


@dataclass(frozen=True, slots=True)
class Address:
    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """`disposition` is `attachment` or `inline`; an inline one is shown where the HTML says `cid:<content_id>`."""

    filename: str
    type: str
    disposition: str
    content_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Mail:
    """`id` is 0 until the mailbox has given it one. `received_at` is Unix seconds. All text in it is hostile.

    `message_id` is what SendGrid answered as X-Message-Id: one request's mails share it.
    """

    message_id: str
    received_at: float
    sender: Address
    to: tuple[Address, ...]
    subject: str
    text: str = ""
    html: str = ""
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    custom_args: Mapping[str, str] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    id: int = 0


_Addresses: TypeAlias = list[tuple[str, str]]


class _Envelope(TypedDict):
    sender: tuple[str, str]
    to: _Addresses
    cc: _Addresses
    bcc: _Addresses
    reply_to: _Addresses
    attachments: list[tuple[str, str, str, str, int]]
    headers: dict[str, str]
    custom_args: dict[str, str]
    categories: list[str]


def envelope_of(mail: Mail) -> str:
    """All but the columns that the mailbox keeps by themselves, as JSON text."""
    envelope: _Envelope = {
        "sender": (mail.sender.email, mail.sender.name),
        "to": _pairs(mail.to),
        "cc": _pairs(mail.cc),
        "bcc": _pairs(mail.bcc),
        "reply_to": _pairs(mail.reply_to),
        "attachments": [(a.filename, a.type, a.disposition, a.content_id, a.size_bytes) for a in mail.attachments],
        "headers": dict(mail.headers),
        "custom_args": dict(mail.custom_args),
        "categories": list(mail.categories),
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


MailRow: TypeAlias = tuple[int, str, float, str, str, str, str]
"""id, message_id, received_at, subject, text, html, envelope."""


def mail_from(row: MailRow) -> Mail:
    mail_id, message_id, received_at, subject, text, html, envelope_text = row
    envelope: _Envelope = json.loads(envelope_text)
    return Mail(
        id=mail_id,
        message_id=message_id,
        received_at=received_at,
        subject=subject,
        text=text,
        html=html,
        sender=Address(*envelope["sender"]),
        to=_addresses(envelope["to"]),
        cc=_addresses(envelope["cc"]),
        bcc=_addresses(envelope["bcc"]),
        reply_to=_addresses(envelope["reply_to"]),
        attachments=tuple(Attachment(*each) for each in envelope["attachments"]),
        headers=envelope["headers"],
        custom_args=envelope["custom_args"],
        categories=tuple(envelope["categories"]),
    )


def _pairs(addresses: Sequence[Address]) -> _Addresses:
    return [(each.email, each.name) for each in addresses]


def _addresses(pairs: _Addresses) -> tuple[Address, ...]:
    return tuple(Address(email, name) for email, name in pairs)
