"""The port to a store of secrets: `.env`, Secret Manager or Secrets Manager."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.secrets import split_values


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret as it is stored. `text` is None if it cannot be read; `trouble` says why.

    `where` is where it was found. `set_at` is in Unix seconds; None if it is unknown. `shadow` names a location that
    overrides this one.
    """

    text: str | None
    where: str
    set_at: float | None = None
    trouble: str = ""
    shadow: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        return split_values(self.text or "")


class BackendError(Exception):
    """The secrets cannot be read or written. The text says why and what to do, and contains no value."""


class SecretBackend(Protocol):
    """A store of secrets. Each method raises BackendError."""

    def find(self, names: Sequence[str]) -> Mapping[str, StoredSecret]:
        """Return the secrets that exist, by name."""
        ...

    def write(self, name: str, text: str, forget: bool) -> list[str]:
        """Replace the value, with `forget` so that the old one cannot be read again. Return lines for a person."""
        ...

    def how_to_read(self, name: str) -> str:
        """Return how a person can read the value."""
        ...
