"""A mail before a transport is chosen: its addresses, its parts and its subject; and how many are sent at a time.

Addresses are parsed strictly, and a subject is made one line, because values from a sender's payload are hostile.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from shared import errors, event

MAX_ADDRESS_CHARACTERS: Final = 254
MAX_NAME_CHARACTERS: Final = 200

_NAMED: Final = re.compile(r'(?:"(?P<quoted>[^"\\]*)"\s*|(?P<plain>[^<>"@,;]*))<(?P<address>[^<>]*)>')
"""No white space before or after it, nor beside `plain`: for each pair of these, a long text would take ever longer."""
_LOCAL: Final = re.compile(r'[^\s"(),:;<>@\[\]\\]{1,64}')
_DOMAIN: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})*")
_AMBIGUOUS: Final = re.compile("[ßẞς\u200c\u200d]")
"""Characters of a domain that Python's codec (IDNA 2003) replaces or drops, and today's registries keep (IDNA 2008)."""


class AddressFault(ValueError):
    """A text that is not an address. The message says what is wrong and never contains the text itself."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mail address. `address` is `local@domain` with the domain in ASCII; `name` is printable and may be empty."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def needs_smtputf8(self) -> bool:
        return not self.address.isascii()


def parse_address(text: str) -> Address:
    """Read `ada@example.com`, `Ada <ada@example.com>` or `"Lovelace, Ada" <ada@example.com>`: exactly one.

    Raises AddressFault.
    """
    match = _NAMED.fullmatch(text.strip())
    if match is None:
        return Address(_bare(text.strip(" ")))
    name = (match["quoted"] if match["quoted"] is not None else match["plain"]).strip()
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise AddressFault(f"has a name that is not printable or longer than {MAX_NAME_CHARACTERS} characters")
    return Address(_bare(match["address"]), name)


def _bare(text: str) -> str:
    if len(text) > MAX_ADDRESS_CHARACTERS:
        raise AddressFault(f"is longer than {MAX_ADDRESS_CHARACTERS} characters")
    local, _, domain = text.rpartition("@")
    if not _LOCAL.fullmatch(local) or not local.isprintable():
        advice = "; write several addresses as a list" if text.count("@") > 1 else ""
        raise AddressFault(f"is not one mail address such as ada@example.com{advice}")
    return f"{local}@{_ascii_domain(domain)}"


def _ascii_domain(domain: str) -> str:
    if _AMBIGUOUS.search(domain):  # the codec would make `strasse.example` of `straße.example`, another domain
        raise AddressFault("has a domain with a letter such as ß: write the domain in ASCII, as `xn--…`")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise AddressFault("has a domain that no mail can be sent to") from error
    if not _DOMAIN.fullmatch(ascii_domain):
        raise AddressFault("has a domain that no mail can be sent to")
    return ascii_domain


def allowed_recipient(text: str) -> str:
    """Return an entry of `allow_recipients` in the form of parsed addresses: the address, or the domain without its @.

    Raises AddressFault.
    """
    entry = text.strip().removeprefix("@")
    if "*" in entry:
        raise AddressFault("must be an address or a domain without `*`, such as example.com; write each subdomain too")
    if "@" in entry:
        return parse_address(entry).address.lower()
    try:
        return _ascii_domain(entry).lower()
    except AddressFault as error:
        raise AddressFault(f"must be an address or a domain such as example.com; it {error}") from None


def is_allowed(address: Address, allowed: Iterable[str]) -> bool:
    """Return whether `allowed` has the address or its domain, in any case. Its entries are of `allowed_recipient`.

    A slice that an earlier version wrote has them as in the configuration, so their case and their @ do not matter.
    """
    own = {_comparable(address), address.domain.lower()}
    return any(entry.lower().removeprefix("@") in own for entry in allowed)


def _comparable(address: Address) -> str:
    """Return the address as addresses are compared: in small letters.

    Not by casefold, by which `straße@` would be `strasse@`, another mailbox.
    """
    return address.address.lower()


def without_duplicates(addresses: Iterable[Address], beside: Iterable[Address] = ()) -> tuple[Address, ...]:
    """Return each address once, without those of `beside`: SendGrid rejects a mail that names an address twice."""
    seen = set(map(_comparable, beside))
    unique: list[Address] = []
    for address in addresses:
        if _comparable(address) not in seen:
            seen.add(_comparable(address))
            unique.append(address)
    return tuple(unique)


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attached file. `filename` may hold a part of the event, printable and without path separators.

    `media_type` never comes from a sender.
    """

    filename: str
    media_type: str
    content: bytes


class MailBody(NamedTuple):
    """The body of a mail: `text`, `html` or both."""

    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...] = ()


# Not frozen, because a frozen dataclass takes longer to create. Nothing changes it.
@dataclass(slots=True)
class Mail:
    """A mail, with `text`, `html` or both.

    key       the idempotency key of the attempt
    separate  each of `to` gets a mail of its own, and sees no other. Then there is no `cc` and no `bcc`
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
        """Return headers that are the same at each retry, so that a mailbox can recognise a second copy.

        A key is 64 hexadecimal digits, and `-r<generation>` after the delivery was reopened. Half of the digits are
        enough for an id.
        """
        return (
            ("Message-ID", f"<{self.key[:32]}{self.key[64:]}@{self.sender.domain}>"),
            ("Auto-Submitted", "auto-generated"),
            ("X-Hookchain-Delivery", self.key),
        )

    def each(self) -> "tuple[Mail, ...]":
        """Return the mails to send: one for each person where they are separate."""
        return tuple(replace(self, to=(address,)) for address in self.to) if self.separate else (self,)


MAX_SUBJECT_CHARACTERS: Final = 300
CUT_MARK: Final = "…"
_DIRECTIONS: Final = "[\u202a-\u202e\u2066-\u2069]"


def subject_line(text: str) -> str:
    """Return the text as a subject: one line, so that no value of an event can end the header's line.

    U+FFFD stands for each character that changes the direction of the text around it.
    """
    text = text.replace("\t", " ").strip(" ")
    if not text.isprintable():
        text = re.sub(_DIRECTIONS, "\ufffd", text)
        if re.search(event.UNFIT, text):
            text = event.oneline(text)
    if len(text) > MAX_SUBJECT_CHARACTERS:
        return text[: MAX_SUBJECT_CHARACTERS - 1] + CUT_MARK
    return text


class SendLimit(asyncio.Semaphore):
    """A bound for the mails that are sent at the same time."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._limit = limit

    async def enter(self, timeout_seconds: float) -> None:
        """Take a place for a mail that may take `timeout_seconds`. `release` frees the place.

        Raises Temporary (`mail_queue_full`) if none is free within half of this time: a mail that began later would
        have too little time left.
        """
        if not self.locked():  # almost always; the timer of a wait takes 5 µs
            await self.acquire()
            return
        try:
            async with asyncio.timeout(timeout_seconds / 2):
                await self.acquire()
        except TimeoutError as error:
            rule = f"{self._limit} mails are being sent, and none is done"
            raise errors.Temporary("mail_queue_full", rule) from error
