"""A circuit breaker's state: after several failures in a row, nothing more is tried for a while. Pure.

closed      everything is tried; failures in a row open it
open        nothing is tried. Each pause is twice as long as the one before, up to a limit
half open   after the pause one thing at a time is tried: its success closes the breaker, its failure opens it
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`failures` in a row open the circuit breaker, for `pause_seconds` at first and at most `max_pause_seconds`."""

    failures: int
    pause_seconds: float
    max_pause_seconds: float


class Circuit(NamedTuple):
    """A breaker's state in this instance. `pause_seconds` is the length of the last pause; 0 for a closed breaker."""

    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0

    def is_half_open(self, now: float) -> bool:
        return self.pause_seconds > 0 and self.open_until <= now


CLOSED: Final = Circuit()


def after_attempt(circuit: Circuit, settings: BreakerSettings, now: float, *, has_failed: bool) -> Circuit:
    """Return the circuit after an attempt. What was under way when it opened says nothing new."""
    if circuit.open_until > now:
        return circuit
    if not has_failed:
        return Circuit(open_until=circuit.open_until) if circuit.failures or circuit.pause_seconds else circuit
    if circuit.pause_seconds:
        pause = min(circuit.pause_seconds * 2, settings.max_pause_seconds)
    elif circuit.failures + 1 < settings.failures:
        return circuit._replace(failures=circuit.failures + 1)
    else:
        pause = settings.pause_seconds
    return Circuit(0, pause, now + pause)
