"""Secrets by name, from a mounted file, the environment or the platform's secret manager."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import Temporary
from shared.ports import Clock
from shared.secret_values import split_values, weakness

SECRET_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
CACHE_SECONDS: Final = 300.0
READ_SECONDS: Final = 2.0

Reader = Callable[[str], str | None]
"""Answers the secret's text, or None where this place does not have it. May block; may raise OSError or Temporary."""


def from_folder(folder: Path) -> Reader:
    """`<folder>/<name>/value`, else `<folder>/<name>`: a mounted secret shadows its folder, so each has its own."""

    def read(name: str) -> str | None:
        for path in (folder / name / "value", folder / name):
            if path.is_file():
                return path.read_text(encoding="utf-8")
        return None

    return read


def variable_name(name: str) -> str:
    return name.upper().replace("-", "_")


def from_environment(environ: Mapping[str, str]) -> Reader:
    return lambda name: environ.get(variable_name(name))


@dataclass(frozen=True, slots=True)
class _Cached:
    values: tuple[str, ...]
    until: float


class SecretMissing(Temporary):
    """No place has it. An operator may still make it."""


class SecretDenied(Temporary):
    """The platform lets us read no such secret; whether there is one, it does not say."""


class SecretStore:
    """The Secrets port over readers that are asked in order."""

    def __init__(self, readers: tuple[Reader, ...], clock: Clock) -> None:
        self._readers = readers
        self._clock = clock
        self._cache: dict[str, _Cached] = {}

    async def values(self, name: str) -> tuple[str, ...]:
        cached = self._cache.get(name)
        if cached and self._clock.now() < cached.until:
            return cached.values
        try:
            async with asyncio.timeout(READ_SECONDS):
                text = await asyncio.to_thread(self._read, name)
        except (OSError, UnicodeDecodeError) as error:  # a timeout is an OSError too
            raise Temporary("secret_unavailable", f"secret {name!r} cannot be read: {type(error).__name__}") from error
        values = usable_values(name, text)
        self._cache[name] = _Cached(values, self._clock.now() + CACHE_SECONDS)
        return values

    def _read(self, name: str) -> str | None:
        for reader in self._readers:
            text = reader(name)
            if text is not None:
                return text
        return None


def usable_values(name: str, text: str | None) -> tuple[str, ...]:
    """Raises Temporary: a secret that is missing or weak is an operator's fault that may be mended, never a 'yes'."""
    if text is None:
        where = f"set {variable_name(name)}, or make it where this platform keeps secrets"
        raise SecretMissing("secret_unavailable", f"secret {name!r} is not there: {where}")
    values = split_values(text)
    if not values:
        raise Temporary("secret_weak", f"secret {name!r} is empty")
    for value in values:
        if fault := weakness(value):
            raise Temporary("secret_weak", f"secret {name!r} {fault}")
    return values
