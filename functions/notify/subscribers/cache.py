"""A cache of at most so many values, each for a time. Of what is used least, nothing is kept."""

from collections import OrderedDict
from typing import Generic, TypeVar

from shared.ports import Clock

Value = TypeVar("Value")


class TimedCache(Generic[Value]):
    def __init__(self, clock: Clock, most: int, seconds: float) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[Value, float]] = OrderedDict()

    def get(self, name: str) -> Value | None:
        """Return the value; None where there is none, or it is too old."""
        found = self._kept.get(name)
        if found is None or self._clock.now() >= found[1]:
            return None
        self._kept.move_to_end(name)
        return found[0]

    def last(self, name: str) -> Value | None:
        """Return the value however old it is; None where there is none."""
        found = self._kept.get(name)
        return found[0] if found else None

    def put(self, name: str, value: Value) -> None:
        self._kept[name] = value, self._clock.now() + self._seconds
        self._kept.move_to_end(name)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, name: str) -> None:
        self._kept.pop(name, None)

    def __len__(self) -> int:
        return len(self._kept)
