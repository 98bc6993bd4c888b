"""The values of secrets: the rules that they follow, random ones, and the first value of each in a cloud.

Nothing here reads or writes a place of secrets: see backend.py for the stores, and local_secrets.py for this machine.
No text ever contains a value.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.requests.sender_keys import generate_secret, is_asymmetric
from deploy.requests.sources import auth_entries, compiled_sources
from deploy.secrets.backend import StoredSecret
from deploy.secrets.needs import Need
from deploy.terminal.command_line import CommandError, Questions
from shared.errors import Temporary
from shared.jsontext import JsonObject, value_at, values_in
from shared.secrets import is_short, split_values, variable_name, weakness
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.keys import public_key
from shared.signatures.passwords import HeaderScheme
from shared.signatures.signature_scheme import HmacScheme, hmac_key
from shared.signatures.signing import standard_key, standard_private_key
from shared.signatures.standard_webhooks import StandardWebhooksScheme

RANDOM_BYTES: Final = 24
"""192 bits: more than anybody can guess, and 32 characters in base64 without padding."""


def random_value() -> str:
    return secrets.token_urlsafe(RANDOM_BYTES)


def step_keys(transform: JsonObject) -> frozenset[str]:
    """Return the names of the secrets with which steps sign their requests by Standard Webhooks."""
    found = [value_at(value, step, "secret") for _, value in values_in(transform) for step in ("call", "fetch")]
    return frozenset(name for name in found if isinstance(name, str))


# Rules and rotation

DEFAULT_KEEP: Final = 1
MAX_KEEP: Final = 9
"""The most old values that `rotate` keeps, so that a secret has at most 10 values."""
KEY_BYTES: Final = 32
_PEM_BEGINNING: Final = "-----BEGIN "
_HEADER_VALUES: Final = {"x-telegram-bot-api-secret-token": re.compile(r"[A-Za-z0-9_-]{1,256}")}
"""The values that a provider accepts for its header: https://core.telegram.org/bots/api#setwebhook"""


PRESENT: Final = "present"
SHORT: Final = "short"
WEAK: Final = "weak"
MISSING: Final = "missing"
UNREADABLE: Final = "unreadable"


class InvalidValue(CommandError):
    """The value is weak or cannot be used. The text never contains it."""


def validated_values(text: str, schemes: Sequence[AuthScheme], least_characters: int = 0) -> tuple[str, ...]:
    """Return the values in `text`, newest first, of a secret for these auth schemes. Raises InvalidValue."""
    values = split_values(text)
    if not values:
        raise InvalidValue("the value is empty")
    for value in values:
        if fault := weakness(value) or _value_fault(value, schemes):
            raise InvalidValue(f"the value {fault}")
        if len(value) < least_characters:
            raise InvalidValue(f"the value must have at least {least_characters} characters; got {len(value)}")
    return values


def state_of(need: Need, stored: StoredSecret | None) -> str:
    """Return MISSING, UNREADABLE, WEAK, SHORT or PRESENT. `stored` is None if no place has the secret."""
    if stored is None:
        return MISSING
    if stored.text is None:
        return UNREADABLE
    if why_weak(need, stored):
        return WEAK
    return SHORT if count_short(stored.values) else PRESENT


def why_weak(need: Need, stored: StoredSecret) -> str:
    """Return the reason why the stored values cannot serve; empty if they can."""
    try:
        validated_values(stored.text or "", need.schemes, need.least_characters)
    except InvalidValue as fault:
        return str(fault)
    return ""


def joined(values: Sequence[str]) -> str:
    """Return the values as one text, one per line, as split_values reads them."""
    return "\n".join(value.removesuffix("\n") for value in values)


def count_short(values: Sequence[str]) -> int:
    return sum(is_short(value) for value in values)


def random_text(schemes: Sequence[AuthScheme]) -> str:
    """Return a random value in the form that the schemes need. Raises InvalidValue if only the sender can make one."""
    if any(map(is_asymmetric, schemes)):
        raise InvalidValue("it is a public key, whose private key the sender has: copy it from the sender's settings")
    for auth in schemes:
        if text := generate_secret(auth, secrets.token_bytes(KEY_BYTES)):
            return text
    return random_value()


def _value_fault(value: str, schemes: Sequence[AuthScheme]) -> str | None:
    """Return why the value cannot be used, as the end of a sentence; None if it can."""
    faults = [_key_fault(value, auth) for auth in schemes if not auth.variant]
    # Of a provider's variants, one that can use the value is enough: each takes its own from a secret's values.
    variant_faults = [_key_fault(value, auth) for auth in schemes if auth.variant]
    if all(variant_faults):
        faults += variant_faults
    return _text_fault(value) or next(filter(None, faults), None)


def _text_fault(value: str) -> str | None:
    if value.startswith(_PEM_BEGINNING):
        return None if "-----END " in value else "is an incomplete PEM block"
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


def _key_fault(value: str, auth: AuthScheme) -> str | None:
    """Return why the auth scheme would reject every request with this value; None if it can use it."""
    pattern = _HEADER_VALUES.get(auth.header.lower()) if isinstance(auth, HeaderScheme) else None
    if pattern and not pattern.fullmatch(value):
        return f"is rejected by the provider: it must match {pattern.pattern}"
    try:
        if auth.scheme == "standard-webhooks" and value.startswith("whsk_"):
            standard_private_key(value)
        elif is_asymmetric(auth) or (auth.scheme == "standard-webhooks" and value.startswith("whpk_")):
            public_key(value)
        elif isinstance(auth, StandardWebhooksScheme) and auth.key_encoding == "base64":
            standard_key(value)
        elif isinstance(auth, HmacScheme):
            hmac_key(value, auth.key_encoding, auth.key_prefix)
    except Temporary as fault:
        return f"is not a key for {auth.scheme}: {fault.detail}"
    except ValueError as fault:
        return f"is not a key for {auth.scheme}: {fault}"
    return None


# First values: from the environment, random, or typed by the operator

OPERATORS_CHOICE: Final = frozenset({"basic", "header", "bearer", "path", "query"})
"""Auth schemes whose secret the operator may choose. The sender may determine the secret of a signature."""


def first_values(
    missing: Sequence[Need], receive: JsonObject, shell: Mapping[str, str], ask: Questions, where: str
) -> tuple[dict[str, str], list[str]]:
    """Return the texts by name, and the names of the random ones. An optional secret has a value only in the shell.

    A text comes from the shell, or is random, or is asked for. If more texts are lacking than questions are left, as
    without a terminal, nothing is asked. `receive` is its slice. `where` are the options that find the deployment in
    printed commands. Raises CommandError, which lists every missing secret with what to do.
    """
    texts = {need.name: _checked(need, text) for need in missing if (text := shell.get(variable_name(need.name)))}
    lacking = [need for need in missing if need.name not in texts and not need.is_optional]
    generated = [need for need in lacking if is_generated(need, receive)]
    prompted = [need for need in lacking if need not in generated]
    if len(prompted) > ask.left:
        raise CommandError(_how_to_set(prompted, where))
    for need in prompted:
        if typed := _ask_value(need, ask, where):
            texts[need.name] = typed
        else:
            generated.append(need)
    texts |= {need.name: random_text(need.schemes) for need in generated}
    return texts, sorted(need.name for need in generated)


def is_generated(need: Need, receive: JsonObject) -> bool:
    """Return whether a first deployment generates the secret without a question."""
    is_free = need.readers == ("receive",) and need.name in _free_choices(receive)
    return need.is_signing_key or need.origin == "internal" or is_free


def _free_choices(receive: JsonObject) -> frozenset[str]:
    schemes = [scheme for source in compiled_sources(receive).values() for scheme in auth_entries(source)]
    signed = {str(scheme.get("secret")) for scheme in schemes if scheme.get("scheme") not in OPERATORS_CHOICE}
    return frozenset(str(scheme.get("secret")) for scheme in schemes) - signed


def _ask_value(need: Need, ask: Questions, where: str) -> str:
    """Return the typed text; empty for a random value, if that can serve."""
    hint = "; press Enter for a random value" if need.can_be_random else ""
    prompt = f"Secret {need.name}, for {need.uses_text} (not shown while you type{hint})"
    text = ask.ask_secret(prompt, _how_to_set([need], where))
    if not text and need.can_be_random:
        return ""
    return _checked(need, text)


def _checked(need: Need, text: str) -> str:
    try:
        return joined(validated_values(text, need.schemes, need.least_characters))
    except InvalidValue as error:
        raise CommandError(f"secret {need.name}: {error}") from error


def _how_to_set(missing: Sequence[Need], where: str) -> str:
    """Return the commands that set the secrets, and their variables, which a shell or a CI may have already."""
    lines = [f"  .venv/bin/hookchain secrets set {need.name} {where}  # {need.uses_text}" for need in missing]
    variables = ", ".join(variable_name(need.name) for need in missing)
    is_one = len(missing) == 1
    count = "a secret is missing. Set it" if is_one else f"{len(missing)} secrets are missing. Set them"
    return "\n".join([f"nothing was changed: {count} with", *lines, f"or in the environment: {variables}"])
