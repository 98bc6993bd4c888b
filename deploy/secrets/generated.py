"""Generating secrets for local use: which are missing or weak, and random values for the missing ones."""

import base64
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.jsontext import Json
from shared.secret_values import is_short, split_values, weakness
from shared.secrets import Reader, variable_name

RANDOM_BYTES: Final = 24


class WeakSecret(Exception):
    """A secret that protects nothing. The text names it with the reason, never its value."""


@dataclass(frozen=True, slots=True)
class Found:
    """The names of secrets that are not set, and of those that are short, which is worth a warning."""

    missing: tuple[str, ...]
    short: tuple[str, ...]


def find_missing(names: Iterable[str], readers: Sequence[Reader]) -> Found:
    """Return which secrets are missing or short. Raises WeakSecret, which lists every weak one."""
    missing: list[str] = []
    short: list[str] = []
    weak: list[str] = []
    for name in names:
        text = next((text for read in readers if (text := read(name)) is not None), None)
        if text is None:
            missing.append(name)
            continue
        values = split_values(text)
        reasons = [reason for value in values if (reason := weakness(value))] if values else ["is empty"]
        if reasons:
            weak.append(f"Secret {name!r} ({variable_name(name)}) {reasons[0]}. Set another, or remove it from .env.")
        elif any(is_short(value) for value in values):
            short.append(name)
    if weak:
        raise WeakSecret("\n".join(weak))
    return Found(tuple(missing), tuple(short))


def random_values(names: Iterable[str], standard_webhooks: Collection[str]) -> dict[str, str]:
    """Return a random value for each name. Those in `standard_webhooks` are keys for https://www.standardwebhooks.com."""
    return {name: random_signing_key() if name in standard_webhooks else random_value() for name in names}


def random_value() -> str:
    return secrets.token_urlsafe(RANDOM_BYTES)


def random_signing_key() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()


def as_variables(values: Mapping[str, str]) -> dict[str, str]:
    return {variable_name(name): value for name, value in values.items()}


_SIGNING: Final = ("call", "fetch")


def signing_secrets(*slices: Json) -> frozenset[str]:
    """Return the names of the secrets with which steps and webhooks sign by Standard Webhooks, in these slices."""
    return frozenset(name for slice_ in slices for name in _names(slice_))


def _names(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        webhook = value.get("settings") if value.get("kind") == "webhook" else None
        for settings in (webhook, *map(value.get, _SIGNING)):
            if isinstance(settings, dict) and isinstance(name := settings.get("secret"), str):
                yield name
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(each)
