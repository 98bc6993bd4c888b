"""Mail addresses: one at a time, strictly. What a sender's payload fills in is hostile."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_ADDRESS_CHARACTERS: Final = 254
MAX_NAME_CHARACTERS: Final = 200

_NAMED: Final = re.compile(r'\s*(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[^<>"@,;]*?))\s*<(?P<address>[^<>]*)>\s*')
_LOCAL: Final = re.compile(r'[^\s"(),:;<>@\[\]\\]{1,64}')
_DOMAIN: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})*")


class AddressFault(ValueError):
    """What the text is or has that no address is or has; never the text itself."""


@dataclass(frozen=True, slots=True)
class Address:
    """`address` is `local@domain`, its domain in ASCII; `name` is printable and may be empty."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def needs_smtputf8(self) -> bool:
        return not self.address.isascii()


def parse_address(text: str) -> Address:
    """`ada@example.com`, `Ada <ada@example.com>` or `"Lovelace, Ada" <ada@example.com>`: exactly one.

    Raises AddressFault.
    """
    named = _NAMED.fullmatch(text)
    if named is None:
        return Address(_bare(text.strip(" ")))
    name = (named["quoted"] if named["quoted"] is not None else named["plain"]).strip()
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise AddressFault(f"has a name that is not printable or longer than {MAX_NAME_CHARACTERS} characters")
    return Address(_bare(named["address"]), name)


def _bare(text: str) -> str:
    if len(text) > MAX_ADDRESS_CHARACTERS:
        raise AddressFault(f"is longer than {MAX_ADDRESS_CHARACTERS} characters")
    local, _, domain = text.rpartition("@")
    if not _LOCAL.fullmatch(local) or not local.isprintable():
        raise AddressFault("is not one mail address such as ada@example.com")
    return f"{local}@{_ascii_domain(domain)}"


def _ascii_domain(domain: str) -> str:
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise AddressFault("has a domain that no mail can be sent to") from error
    if not _DOMAIN.fullmatch(ascii_domain):
        raise AddressFault("has a domain that no mail can be sent to")
    return ascii_domain


def is_allowed(address: Address, allowed: Iterable[str]) -> bool:
    """`allowed` holds addresses and domains (`example.com` or `@example.com`); case does not count."""
    own = {address.address.casefold(), address.domain.casefold()}
    return any(entry.casefold().removeprefix("@") in own for entry in allowed)


def without_doubles(addresses: Iterable[Address], beside: Iterable[Address] = ()) -> tuple[Address, ...]:
    """The first of each, and none of `beside`: SendGrid refuses a mail that names an address twice."""
    seen = {address.address.casefold() for address in beside}
    found: list[Address] = []
    for address in addresses:
        if address.address.casefold() not in seen:
            seen.add(address.address.casefold())
            found.append(address)
    return tuple(found)
