"""A cache of limited size, whose values expire. When it is full, it drops the value that was used longest ago."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from shared.ports import Clock

SLACK_SECONDS: Final = 1.0
"""A value that lasts longer than it may, by more than this, was put there before the clock was set back."""

Value = TypeVar("Value")


def _weigh_one(_: object) -> int:
    return 1


class TimedCache(Generic[Value]):
    """`most` bounds the weight of all values together; a value weighs at least 1, and expires after `seconds`."""

    def __init__(self, clock: Clock, most: int, seconds: float, weight: Callable[[Value], int] = _weigh_one) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._weight = weight
        self._total = 0
        self._kept: OrderedDict[str, tuple[Value, float]] = OrderedDict()

    def get(self, name: str) -> Value | None:
        """Return the value; None where there is none, or it is too old."""
        found = self._kept.get(name)
        if found is None or not 0 < found[1] - self._clock.now() <= self._seconds + SLACK_SECONDS:
            return None
        self._kept.move_to_end(name)
        return found[0]

    def last(self, name: str) -> Value | None:
        """Return the value however old it is; None where there is none."""
        found = self._kept.get(name)
        return found[0] if found else None

    def put(self, name: str, value: Value) -> None:
        self.drop(name)
        self._kept[name] = value, self._clock.now() + self._seconds
        self._total += self._weighed(value)
        while self._total > self._most:
            self.drop(next(iter(self._kept)))

    def drop(self, name: str) -> None:
        if (found := self._kept.pop(name, None)) is not None:
            self._total -= self._weighed(found[0])

    def _weighed(self, value: Value) -> int:
        return max(1, self._weight(value))

    def __len__(self) -> int:
        return len(self._kept)
