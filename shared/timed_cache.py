"""A cache of this process: values that expire, up to a weight of all together. Times are Unix seconds."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

SLACK_SECONDS: Final = 1.0
"""A value that lasts longer than it may, by more than this, was put there before the clock was set back."""
Value = TypeVar("Value")


class TimedCache(Generic[Value]):
    """`most` bounds the weight of all values together, each of which weighs at least 1. The value that was used the
    longest time ago is removed first."""

    def __init__(self, most: int, weight: Callable[[Value], int] = lambda _: 1) -> None:
        self._most = most
        self._weight = weight
        self._total = 0
        self._kept: OrderedDict[str, tuple[Value, float, float]] = OrderedDict()

    def get(self, name: str, now: float) -> Value | None:
        """Return the value; None if there is none, or it is too old."""
        value, until, seconds = self._kept.get(name, (None, now, 0.0))
        if not 0 < until - now <= seconds + SLACK_SECONDS:
            return None
        self._kept.move_to_end(name)
        return value

    def last(self, name: str) -> Value | None:
        """Return the value however old it is; None if there is none."""
        found = self._kept.get(name)
        return found[0] if found else None

    def put(self, name: str, value: Value, now: float, seconds: float) -> None:
        """Put the value there for `seconds`."""
        self.drop(name)
        self._kept[name] = value, now + seconds, seconds
        self._total += self._weighed(value)
        while self._total > self._most:
            self.drop(next(iter(self._kept)))

    def drop(self, name: str) -> None:
        if (found := self._kept.pop(name, None)) is not None:
            self._total -= self._weighed(found[0])

    def _weighed(self, value: Value) -> int:
        return max(1, self._weight(value))
