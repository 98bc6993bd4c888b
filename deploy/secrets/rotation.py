"""Rules for the values of a secret, and their rotation: pure."""

import json
import secrets
from collections.abc import Sequence
from typing import Final

from deploy.requests.signing import generate_secret, is_asymmetric
from deploy.secrets.generated import random_value
from shared.errors import Temporary
from shared.secrets import is_short, split_values, weakness
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.keys import public_key
from shared.signatures.signature_scheme import HmacScheme, hmac_key
from shared.signatures.signing import standard_key, standard_private_key
from shared.signatures.standard_webhooks import StandardWebhooksScheme

DEFAULT_KEEP: Final = 1
MAX_KEEP: Final = 9
RANDOM_BYTES: Final = 32
_BLOCK: Final = "-----BEGIN "


class InvalidValue(Exception):
    """The value is weak or cannot be used. The text never contains it."""


def validated_values(text: str, schemes: Sequence[AuthScheme], least_characters: int = 0) -> tuple[str, ...]:
    """Return the values in `text`, newest first, of a secret for these auth schemes. Raises InvalidValue."""
    values = split_values(text)
    if not values:
        raise InvalidValue("the value is empty")
    for value in values:
        if fault := weakness(value) or _unusable(value, schemes):
            raise InvalidValue(f"the value {fault}")
        if len(value) < least_characters:
            raise InvalidValue(f"the value must have at least {least_characters} characters; got {len(value)}")
    return values


def rotated(new: str, old: Sequence[str], keep: int) -> tuple[str, ...]:
    """Return the new value, then at most `keep` of the old ones."""
    return (new, *[value for value in old if value != new][:keep])


def joined(values: Sequence[str]) -> str:
    """Return the values as split_values reads them: one value per line."""
    return "\n".join(value.removesuffix("\n") for value in values)


def count_short(values: Sequence[str]) -> int:
    return sum(is_short(value) for value in values)


def random_text(schemes: Sequence[AuthScheme]) -> str:
    """Return a random value in the form that the schemes need. Raises InvalidValue if only the sender can make one."""
    if any(map(is_asymmetric, schemes)):
        raise InvalidValue("it is a public key, whose private key the sender has: copy it from the sender's settings")
    shaped = (generate_secret(auth, secrets.token_bytes(RANDOM_BYTES)) for auth in schemes)
    return next((text for text in shaped if text), None) or random_value()


def _unusable(value: str, schemes: Sequence[AuthScheme]) -> str | None:
    if value.startswith(_BLOCK) and "-----END " not in value:
        return "is an incomplete PEM block"
    return _malformed(value) or next((fault for auth in schemes if (fault := _unfit(value, auth))), None)


def _malformed(value: str) -> str | None:
    if value.startswith(_BLOCK):
        return None
    if value.startswith("{\n"):
        return None if _is_json(value) else "is an incomplete JSON object"
    if value != value.strip():
        return "begins or ends with white space"
    if not value.isprintable():
        return "contains a control character"
    return None


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def _unfit(value: str, auth: AuthScheme) -> str | None:
    """Return why the key cannot be used. With such a key every request would be rejected."""
    try:
        if auth.scheme == "standard-webhooks" and value.startswith("whsk_"):
            standard_private_key(value)
        elif is_asymmetric(auth) or (auth.scheme == "standard-webhooks" and value.startswith("whpk_")):
            public_key(value)
        elif isinstance(auth, StandardWebhooksScheme) and auth.key_encoding != "utf8":
            standard_key(value)
        elif isinstance(auth, HmacScheme):
            hmac_key(value, auth.key_encoding, auth.key_prefix)
    except Temporary as fault:
        return f"is not a key for {auth.scheme}: {fault.detail}"
    except ValueError as fault:
        return f"is not a key for {auth.scheme}: {fault}"
    return None
