"""The state of a circuit breaker, which pauses the attempts at a receiver after several failures in a row.

    closed      attempts are made; several failures in a row open the breaker
    open        no attempts are made. Each pause is twice as long as the previous one, up to a limit
    half open   after the pause, one attempt at a time is made: a success closes the breaker, a failure opens it

Times are in seconds, by the caller's clock. The functions are pure: the caller stores the circuit.
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
    """The state of a breaker in one instance.

    failures       the number of failures in a row while the breaker is closed
    pause_seconds  the length of the last pause; 0 if the breaker is closed
    open_until     the end of the last pause. It is kept when the breaker closes: the ledger has the pause, too, and if
                   it is read from there later, the same end shows that this pause is over
    """

    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0

    @property
    def is_closed(self) -> bool:
        return self.pause_seconds == 0

    def is_open(self, now: float) -> bool:
        return now < self.open_until

    def is_half_open(self, now: float) -> bool:
        return not self.is_closed and not self.is_open(now)


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
