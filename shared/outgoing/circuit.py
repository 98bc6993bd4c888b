"""A circuit breaker's state, which stops a receiver's work for a while after several failures in a row.

    closed      everything is tried; failures in a row open it
    open        nothing is tried. Each pause is twice as long as the one before, up to a limit
    half open   after the pause one thing at a time is tried: its success closes the breaker, its failure opens it

Times are those of the caller's clock, in seconds. The functions here keep nothing: the caller stores the circuit.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

PAUSE_FACTOR: Final = 2
"""The factor from each pause to the next. A larger factor tries a receiver that stays down less often, and takes longer
to notice that it is back."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`failures` in a row open the circuit breaker, for `pause_seconds` at first and at most `max_pause_seconds`."""

    failures: int
    pause_seconds: float
    max_pause_seconds: float


class Circuit(NamedTuple):
    """A breaker's state in this instance.

    failures       in a row, while the breaker is closed
    pause_seconds  the length of the last pause; 0 for a closed breaker
    open_until     the end of the last pause. It stays when the breaker closes, because the ledger has the pause too: if
                   it is read from there later, the same end shows that this pause is over
    """

    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0

    def is_open(self, now: float) -> bool:
        return now < self.open_until

    def is_half_open(self, now: float) -> bool:
        return self.pause_seconds > 0 and not self.is_open(now)


CLOSED: Final = Circuit()


def after_attempt(circuit: Circuit, settings: BreakerSettings, now: float, *, has_failed: bool) -> Circuit:
    """Return the circuit after an attempt at the receiver.

    An open circuit stays as it is: such an attempt began before it opened, and its pause has been decided.
    """
    if circuit.is_open(now):
        return circuit
    if not has_failed:
        return CLOSED._replace(open_until=circuit.open_until)
    if circuit.is_half_open(now):
        return _opened(min(circuit.pause_seconds * PAUSE_FACTOR, settings.max_pause_seconds), now)
    failures = circuit.failures + 1
    if failures < settings.failures:
        return circuit._replace(failures=failures)
    return _opened(settings.pause_seconds, now)


def _opened(pause_seconds: float, now: float) -> Circuit:
    return Circuit(pause_seconds=pause_seconds, open_until=now + pause_seconds)
