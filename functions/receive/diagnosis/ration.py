"""How often a refusal is looked into: a diagnosis costs more than a refusal, and anybody can be refused."""

from typing import Final

BURST: Final = 5.0
SECONDS_EACH: Final = 2.0


class Ration:
    """Five at once, then one every two seconds, for this process."""

    def __init__(self) -> None:
        self._left = BURST
        self._at = 0.0

    def take(self, now: float) -> bool:
        self._left = min(BURST, self._left + max(0.0, now - self._at) / SECONDS_EACH)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
