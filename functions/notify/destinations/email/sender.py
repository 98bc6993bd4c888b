"""From whom a mail comes."""

from collections.abc import Sequence

from functions.notify.destinations.email.addresses import Address, AddressFault, parse_address
from shared.delivery import Disabled
from shared.templates import is_template


def sender_of(own: str | None, default: str | None, to: Sequence[str]) -> Address | Disabled:
    """The destination's `from`, else EMAIL_FROM, else the first address in `to`."""
    for text, where in ((own, "`from`"), (default, "EMAIL_FROM")):
        if text:
            try:
                return parse_address(text)
            except AddressFault as error:
                return Disabled(f"{where} {error}; correct it")
    plain = [text for text in to if not is_template(text)]
    if not plain:
        return Disabled("nobody to send from: set EMAIL_FROM, or the destination's `from`")
    return parse_address(plain[0])
