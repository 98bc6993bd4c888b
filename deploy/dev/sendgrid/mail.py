"""One mail, as the people it is addressed to would see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    """`received_at` is Unix seconds. All text in it is hostile.

    `message_id` is what SendGrid answered as X-Message-Id: one request's mails share it.
    """

    id: int
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
