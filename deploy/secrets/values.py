"""What a secret's text may be, and how one value takes another's place: pure."""

from collections.abc import Sequence
from typing import Final

from shared.errors import Temporary
from shared.secret_values import is_short, split_values, weakness
from shared.signatures.standard_webhooks import standard_key

DEFAULT_KEEP: Final = 1
MAX_KEEP: Final = 9
_BLOCK: Final = "-----BEGIN "


class Refused(Exception):
    """A value that would protect nothing, or could not be used; the text never holds it."""


def checked_values(text: str, is_signing_key: bool) -> tuple[str, ...]:
    """The values in `text`, newest first. `is_signing_key`: of Standard Webhooks. Raises Refused."""
    values = split_values(text)
    if not values:
        raise Refused("the value is empty")
    for value in values:
        if fault := weakness(value) or _unusable(value, is_signing_key):
            raise Refused(f"the value {fault}")
    return values


def rotated(new: str, old: Sequence[str], keep: int) -> tuple[str, ...]:
    """The new value, then at most `keep` of the old ones."""
    return (new, *[value for value in old if value != new][:keep])


def joined(values: Sequence[str]) -> str:
    """As split_values reads it: one value a line."""
    return "\n".join(value.removesuffix("\n") for value in values)


def short_ones(values: Sequence[str]) -> int:
    return sum(is_short(value) for value in values)


def _unusable(value: str, is_signing_key: bool) -> str | None:
    if value.startswith(_BLOCK):
        return None if "-----END " in value else "begins a PEM block and does not end it"
    if value != value.strip():
        return "begins or ends with white space, as if pasted with too much"
    if not value.isprintable():
        return "holds a control character"
    if is_signing_key:
        try:
            standard_key(value)
        except Temporary as fault:
            return f"is not one that signs: {fault.detail}"
    return None
