"""A mail, whole, before it is decided how it is sent."""

from dataclasses import dataclass, replace
from typing import Final

from functions.notify.mail.addresses import Address
from shared.errors import Permanent
from shared.one_line import UNFIT

MAX_SUBJECT_CHARACTERS: Final = 300
CUT_MARK: Final = "…"


@dataclass(frozen=True, slots=True)
class Attachment:
    """`filename` may hold a part of the event: printable, without separators. `media_type` is never a sender's."""

    filename: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """`separate`: each of `to` gets a mail of its own, and sees no other; there is no `cc` nor `bcc` then.

    `key` is the idempotency key of the attempt. `text` or `html` is there, or both.
    """

    key: str
    sender: Address
    to: tuple[Address, ...]
    subject: str
    text: str | None
    html: str | None
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: Address | None = None
    attachments: tuple[Attachment, ...] = ()
    separate: bool = False

    @property
    def recipients(self) -> tuple[Address, ...]:
        return (*self.to, *self.cc, *self.bcc)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The same at each retry, so that a mailbox that gets the mail twice can tell."""
        return (
            ("Message-ID", f"<{self.key[:32]}{self.key[64:]}@{self.sender.domain}>"),
            ("Auto-Submitted", "auto-generated"),
            ("X-Hookchain-Delivery", self.key),
        )

    def each(self) -> "tuple[Mail, ...]":
        """The mails that are really sent."""
        return tuple(replace(self, to=(address,)) for address in self.to) if self.separate else (self,)


def subject_line(text: str) -> str:
    """Raises Permanent (`header`) for what could end the header's line."""
    text = text.replace("\t", " ").strip(" ")
    if UNFIT.search(text):
        rule = "the subject holds a line break or another control character; write {{ … | oneline }}"
        raise Permanent("header", rule)
    if len(text) > MAX_SUBJECT_CHARACTERS:
        return text[: MAX_SUBJECT_CHARACTERS - 1] + CUT_MARK
    return text
