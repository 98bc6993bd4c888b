"""Where secrets are kept: one port, for `.env` and for Secret Manager."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.secret_values import split_values


@dataclass(frozen=True, slots=True)
class Kept:
    """One secret as a place has it: `text` is None where it cannot be read, and `trouble` says why.

    `set_at` is Unix seconds, None where it is not known. `shadow` names a nearer place, which counts instead.
    """

    text: str | None
    where: str
    set_at: float | None = None
    trouble: str = ""
    shadow: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        return split_values(self.text or "")


class PlaceFault(Exception):
    """The place cannot be read or written; the text says why and what to do, and holds no value."""


class Place(Protocol):
    """Each raises PlaceFault."""

    def find(self, names: Sequence[str]) -> Mapping[str, Kept]:
        """Those that are there."""
        ...

    def write(self, name: str, text: str, forget: bool) -> list[str]:
        """In place of what was there, which with `forget` is not to be had again. Answers lines for a person."""
        ...

    def how_to_read(self, name: str) -> str:
        """What a person does to see the value."""
        ...
