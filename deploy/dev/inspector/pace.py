"""How often to look at something, by what looking costs."""

from dataclasses import dataclass
from typing import Final

REST_FACTOR: Final = 40.0
"""A look is followed by a rest of at least so many times what it took: two or three hundredths of a core."""


@dataclass(slots=True)
class Pace:
    interval_seconds: float
    next_at: float = 0.0

    def is_due(self, now: float) -> bool:
        return now >= self.next_at

    def took(self, began: float, ended: float) -> None:
        self.next_at = ended + max(self.interval_seconds, (ended - began) * REST_FACTOR)
