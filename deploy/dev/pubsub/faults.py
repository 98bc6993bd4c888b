"""Trouble on demand: what a bus may do to you, decided by a seeded generator so that a run can be had again."""

import random
from dataclasses import dataclass, fields, replace
from typing import Final

from shared.jsontext import Json, JsonObject

# A copy comes at once, while the first may still be in work, or when the first is long done.
_COPY_DELAYS: Final = (0.0, 1.5)
_REORDER_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares from 0 to 1.

    unavailable  publishes that are refused with 503, nothing kept
    unconfirmed  publishes that are kept, and answered 503 all the same
    duplicate    deliveries that come twice
    delay        messages that wait up to `delay_seconds` before their first delivery
    reorder      messages that later ones overtake
    nack         pushes whose acknowledgement is lost on its way back
    """

    unavailable: float = 0.0
    unconfirmed: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 2.0
    reorder: float = 0.0
    nack: float = 0.0

    def changed(self, changes: JsonObject) -> "Faults":
        """Raises ValueError, in words for a person."""
        names = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"unknown bus fault {name!r}; known are {', '.join(sorted(names))}")
            _verify(name, value, 600.0 if name == "delay_seconds" else 1.0)
        return replace(
            self, **{name: float(value) for name, value in changes.items() if isinstance(value, int | float)}
        )

    def document(self) -> JsonObject:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message reaches a subscription: after how long, and how long after that a copy (None: no copy)."""

    delay_seconds: float = 0.0
    copy_after_seconds: float | None = None


UNTROUBLED: Final = Arrival()


class FaultPlan:
    def __init__(self, faults: Faults, generator: random.Random) -> None:
        self.faults = faults
        self.generator = generator

    def rejects_publish(self) -> bool:
        return self._happens(self.faults.unavailable)

    def loses_confirmation(self) -> bool:
        return self._happens(self.faults.unconfirmed)

    def loses_acknowledgement(self) -> bool:
        return self._happens(self.faults.nack)

    def arrival(self) -> Arrival:
        faults = self.faults
        if not (faults.duplicate or faults.delay or faults.reorder):
            return UNTROUBLED
        delay = self.generator.uniform(0, faults.delay_seconds) if self._happens(faults.delay) else 0.0
        if self._happens(faults.reorder):
            delay += self.generator.uniform(0, _REORDER_SECONDS)
        copy = self.generator.choice(_COPY_DELAYS) if self._happens(faults.duplicate) else None
        return Arrival(delay, copy)

    def _happens(self, share: float) -> bool:
        return share > 0 and self.generator.random() < share


def _verify(name: str, value: Json, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"the bus fault {name!r} is a number from 0 to {most:g}; found {value!r}")
