"""Faults of the bus on demand, chosen by a seeded generator, so that a run can be repeated."""

import random
from dataclasses import dataclass, fields, replace
from typing import Final

from shared.jsontext import Json, JsonObject

# A copy arrives at once, while the first may still be in progress, or long after.
_COPY_DELAYS: Final = (0.0, 1.5)
_REORDER_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares from 0 to 1.

    unavailable  publishes that are rejected with 503, nothing stored
    unconfirmed  publishes that are stored, and answered 503 nevertheless
    duplicate    deliveries that are made twice
    delay        messages that wait up to `delay_seconds` before their first delivery
    reorder      messages that are delivered after later ones
    nack         pushes whose acknowledgement is lost
    """

    unavailable: float = 0.0
    unconfirmed: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 2.0
    reorder: float = 0.0
    nack: float = 0.0

    def changed(self, changes: JsonObject) -> "Faults":
        """Return the faults with these changes. Raises ValueError."""
        names = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"bus: must have {', '.join(sorted(names))}; got {name!r}.")
            _verify(name, value, 600.0 if name == "delay_seconds" else 1.0)
        return replace(
            self, **{name: float(value) for name, value in changes.items() if isinstance(value, int | float)}
        )

    def document(self) -> JsonObject:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Arrival:
    """The delays of a message and of its copy, which is None without a copy."""

    delay_seconds: float = 0.0
    copy_after_seconds: float | None = None


AT_ONCE: Final = Arrival()


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
            return AT_ONCE
        delay = self.generator.uniform(0, faults.delay_seconds) if self._happens(faults.delay) else 0.0
        if self._happens(faults.reorder):
            delay += self.generator.uniform(0, _REORDER_SECONDS)
        copy = self.generator.choice(_COPY_DELAYS) if self._happens(faults.duplicate) else None
        return Arrival(delay, copy)

    def _happens(self, share: float) -> bool:
        return share > 0 and self.generator.random() < share


def _verify(name: str, value: Json, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{name}: must be a number from 0 to {most:g}; got {value!r}.")
