"""How long to wait before a process that died is started again."""

from dataclasses import dataclass
from typing import Final

FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """`failures` in a row, each before the process had run for long enough to count as settled."""

    failures: int = 0

    def after(self, ran_seconds: float) -> "Backoff":
        return Backoff(1 if ran_seconds >= SETTLED_SECONDS else self.failures + 1)

    @property
    def wait_seconds(self) -> float:
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** (self.failures - 1)) if self.failures else 0.0
