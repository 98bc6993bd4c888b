"""The pauses of a destination, by its circuit breaker or by an operator, and whether it is disabled.

    closed      deliveries are attempted; `failures` in a row open the breaker
    open        the destination is paused in the ledger, for every instance: deliveries wait, and their attempts do not
                count. A pause is twice as long as the previous pause, up to `max_pause`
    half open   after the pause one delivery at a time is attempted: success closes the breaker, failure opens it

An attempt that runs far longer than usual counts as a failure before it ends. So a destination that hangs is paused
after seconds, and not after its timeout.

Each instance counts the failures of its own attempts (`Breakers`). It reads the ledger at most every ten seconds
(`DestinationStates`) and writes it only when a breaker opens. The sweep moves due deliveries to the end of the pause
(`SweepPauses`). That costs one write for each delivery. To publish it, claim it and let it wait again would cost
three.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from functions.notify.registry import DeliveryOptions
from functions.notify.waiting.schedule import Wait, spread
from shared import batching, errors, logs, ports, times
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater, Unknown
from shared.ledger import PAUSED_BY_OPERATOR, DestinationState, Ledger, LedgerRow, Move
from shared.outgoing.circuit import CLOSED, BreakerSettings, Circuit, after_attempt
from shared.outgoing.gate import ProcessGate
from shared.subscribers.names import SEPARATOR

CACHE_SECONDS: Final = 10.0
"""How long a state that was read is used."""
CLOCK_TOLERANCE_SECONDS: Final = 1.0
"""A state that was read is still used if the clock was set back by no more than this."""
STEP_SECONDS: Final = 1.0
"""A pause is not written if it is longer than the known pause by less than this."""
MAX_KNOWN: Final = 10_000
"""The number of destinations and endpoints whose states are remembered."""
RECENT_SECONDS: Final = 300.0
"""After a pause that another instance began, an instance without attempts of its own tries a single delivery first. It
does so for this time."""
_FAILURES: Final = frozenset({RetryLater, Unknown})
PROBE_WAIT_SECONDS: Final = 5.0
"""The wait of a delivery while another one is the first that is tried after the pause."""
_HANGS: Final = Unknown("it takes far longer than usual and has not ended yet")
"""The outcome that counts for an attempt that hangs, before it has one."""
RECHECK_SECONDS: Final = 61.0
"""The longest wait for a pause, because an operator may end the pause meanwhile. After it, the sweep reads the state
again, and moves the delivery to the end of the pause. It is longer than any wait with a timer (due.TIMER_SECONDS)."""


class DestinationStates:
    """The states of the destinations as the ledger has them, remembered for a while.

    A disabled destination is looked up each time. Otherwise a delivery could be held after an operator has released
    the destination, and nothing would ever release that delivery.

    A write is remembered before it is made, so that the deliveries of the same moment see it and do not write it too.
    """

    def __init__(self, ledger: Ledger, clock: ports.Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, tuple[DestinationState, float]] = {}

    async def state(self, name: str, *, is_fresh: bool = False) -> DestinationState:
        """Return the state. It may be CACHE_SECONDS old unless `is_fresh` is true. Raises Temporary."""
        now = self._clock.now()
        if name in self._known and not is_fresh:
            known_state, known_until = self._known[name]
            is_recent = 0 < known_until - now <= CACHE_SECONDS + CLOCK_TOLERANCE_SECONDS
            if is_recent and known_state.disabled_reason is None:
                return known_state
        state = await self._ledger.destination_state(name)
        self._known[name] = (state, now + CACHE_SECONDS)
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return state

    async def disable(self, name: str, reason: str) -> bool:
        """Disable the destination. Return whether the reason is new, so that it is logged once. Raises Temporary."""
        known_state, _ = self._known.get(name, (DestinationState(), 0.0))
        is_news = known_state.disabled_reason != reason
        now = self._clock.now()
        self._known[name] = (DestinationState(disabled_reason=reason), now)
        try:
            await self._ledger.disable(name, reason, now)
        except errors.Temporary:  # not recorded yet, so the reason is new again in the next call
            self._known.pop(name, None)
            raise
        return is_news

    async def end_pause(self, name: str) -> None:
        """End a pause that began because of failures. A pause by an operator is not ended. Raises Temporary."""
        state = await self.state(name, is_fresh=True)
        now = self._clock.now()
        if state.is_paused_by_failures(now):
            await self._ledger.release(name, now)
            self._known[name] = (DestinationState(), now + CACHE_SECONDS)

    async def pause(self, name: str, seconds: float, reason: str) -> None:
        """Pause the destination for so many seconds. Raises Temporary.

        Nothing is written if it is paused for that long already: many failures come at the same time, and a store
        accepts only a few writes of one document in a second.
        """
        now = self._clock.now()
        state, known_until = self._known.get(name, (DestinationState(), 0.0))
        if state.paused_until is not None and now < known_until and now + seconds < state.paused_until + STEP_SECONDS:
            return
        # Based on the known state, because the destination may be disabled.
        paused_state = replace(state, paused_until=now + seconds, pause_reason=reason)
        self._known[name] = (paused_state, now + CACHE_SECONDS)
        try:
            await self._ledger.pause(name, now + seconds, now, reason)
        except errors.Temporary:  # not recorded yet: the next rejected delivery records it
            self._known.pop(name, None)
            raise


@dataclass(slots=True)
class Breakers:
    """The circuit breakers of all destinations. Deliveries to a destination whose `breaker` is off always pass.

    gate       has the attempts that are under way
    _circuits  the circuit of each destination, by its name
    _probes    by destination: the id of the one delivery that tries it after a pause
    """

    states: DestinationStates
    clock: ports.Clock
    gate: ProcessGate
    _circuits: dict[str, Circuit] = field(default_factory=dict)
    _probes: dict[str, str] = field(default_factory=dict)

    async def enter(self, configured: DeliveryOptions, delivery: Delivery, state: DestinationState) -> Wait | None:
        """Return None if the delivery may be attempted, or else its wait. `state` is the state of the destination.

        Raises Temporary.
        """
        settings = configured.breaker
        if settings is None:
            return None
        name = configured.name
        now = self.clock.now()
        circuit = with_pause_of_ledger(self._circuits.get(name, CLOSED), settings, state.paused_until, now)
        self._circuits[name] = circuit
        if len(self._circuits) > MAX_KNOWN:  # a circuit that is forgotten is read from the ledger's pause again
            oldest = next(iter(self._circuits))
            del self._circuits[oldest]
        if circuit.is_open(now):
            wait = pause_wait(configured, circuit.open_until, now)
            reason = pause_text(configured, state.pause_reason or "attempts in a row failed")
            return Wait(now + spread(wait, delivery.id, 0), reason)
        # No timer watches attempts that hang: each is counted when the next delivery to its destination arrives.
        for _ in self.gate.report_hanging(name):
            await self._note(configured, settings, _HANGS)
        circuit = self._circuits.get(name, circuit)
        if circuit.is_open(now):
            return Wait(now + spread(PROBE_WAIT_SECONDS, delivery.id, 0), pause_text(configured, _HANGS.reason))
        # After a pause, the first delivery that comes here tries the destination, and the others wait for it.
        if circuit.is_closed or self._probes.setdefault(name, delivery.id) == delivery.id:
            return None
        wait = spread(PROBE_WAIT_SECONDS, delivery.id, 0)
        return Wait(now + wait, "the pause is over, and another delivery is tried first")

    def was_paused(self, configured: DeliveryOptions) -> bool:
        """Return whether the destination was paused, and no attempt of this instance has succeeded since."""
        return not self._circuits.get(configured.name, CLOSED).is_closed

    async def leave(self, configured: DeliveryOptions, delivery: Delivery, outcome: Outcome | None) -> None:
        """Note the outcome of an attempt; None if no attempt was made.

        Raises Temporary if the outcome opens the breaker and the pause cannot be written.
        """
        settings = configured.breaker
        name = configured.name
        if settings is None:
            return
        if self._probes.get(name) == delivery.id:
            del self._probes[name]
        if outcome is None:
            return
        if not destination_has_failed(outcome):
            circuit = self._circuits.get(name, CLOSED)
            if circuit.is_closed and not circuit.failures:  # a success changes nothing, which is the usual case
                return
        elif self.gate.is_known_to_hang(name, delivery.id):
            return  # it was counted as a failure while it was hanging
        await self._note(configured, settings, outcome)

    async def _note(self, configured: DeliveryOptions, settings: BreakerSettings, outcome: Outcome) -> None:
        """Note the outcome of an attempt, and write the pause if it opens the breaker. Raises Temporary."""
        name = configured.name
        now = self.clock.now()
        before = self._circuits.get(name, CLOSED)
        circuit = after_outcome(before, settings, outcome, now)
        self._circuits[name] = circuit
        if circuit.open_until > before.open_until:
            reason = _pause_reason(before, settings, outcome)
            text = f"paused for {times.duration_text(circuit.pause_seconds)}"
            logs.log("WARNING", text, function="notify", destination=name, breaker="open", reason=reason)
            await self.states.pause(name, circuit.pause_seconds, reason)
        elif circuit.is_closed and not before.is_closed:
            logs.log("INFO", "answers again", function="notify", destination=name, breaker="closed")


def with_pause_of_ledger(
    circuit: Circuit, settings: BreakerSettings, paused_until: float | None, now: float
) -> Circuit:
    """Return the circuit with what the ledger says: a pause that another instance or an operator began, or the end of a
    pause that an operator ended. After such an end the circuit is half open, as after any pause.

    `paused_until` is the end of the pause in the ledger. It stays there after its end, and is None only if the
    destination was never paused, or after `hookchain resume`.
    """
    if paused_until is None:
        was_ended_by_operator = circuit.is_open(now)
        return circuit._replace(open_until=now) if was_ended_by_operator else circuit
    is_known_already = paused_until <= circuit.open_until
    is_long_over = paused_until <= now - RECENT_SECONDS
    if is_known_already or is_long_over:
        return circuit
    pause = min(max(circuit.pause_seconds, settings.pause_seconds, paused_until - now), settings.max_pause_seconds)
    return Circuit(0, pause, paused_until)


def destination_has_failed(outcome: Outcome) -> bool | None:
    """Return whether the outcome counts as a failure of the destination; None if it says nothing about the destination.

    RetryLater and Unknown count. A destination whose answer rejects a delivery is there, and one that is disabled gets
    no more attempts, so neither counts. Failed without an answer was decided by Hookchain itself, and says nothing.
    """
    if isinstance(outcome, Failed) and not outcome.answer:
        return None
    return type(outcome) in _FAILURES


def after_outcome(circuit: Circuit, settings: BreakerSettings, outcome: Outcome, now: float) -> Circuit:
    """Return the circuit after an attempt. An outcome that says nothing about the destination does not change it."""
    has_failed = destination_has_failed(outcome)
    return circuit if has_failed is None else after_attempt(circuit, settings, now, has_failed=has_failed)


def _pause_reason(before: Circuit, settings: BreakerSettings, outcome: Outcome) -> str:
    last = "" if isinstance(outcome, Delivered) else outcome.reason
    if not before.is_closed:
        return f"the attempt after the last pause failed too: {last}"
    several = "s in a row" if settings.failures > 1 else ""
    return f"{settings.failures} attempt{several} failed, the last: {last}"


def pause_wait(configured: DeliveryOptions, end: float, now: float) -> float:
    """Return how many seconds a delivery waits at least for a pause until `end`."""
    if configured.expires_after_seconds is not None:  # the sweep does not move deliveries that may expire
        return end - now
    return min(end - now, RECHECK_SECONDS)


def pause_text(configured: DeliveryOptions, why: str) -> str:
    """Return why a delivery waits. The tenant of an endpoint can read its reason, so it must not mention
    destinations."""
    if not configured.is_endpoint:
        return f"the destination is paused{f': {why}' if why else ''}"
    if why == PAUSED_BY_OPERATOR:
        return "the operator paused this endpoint"
    return f"paused after failures{f': {why}' if why else ''}"


@dataclass(slots=True)
class SweepPauses:
    """The pauses in a sweep: they decide which of the due rows are published, and until when the others wait."""

    states: DestinationStates
    configured: Mapping[str, DeliveryOptions]

    async def split(self, rows: Sequence[LedgerRow], now: float) -> tuple[list[LedgerRow], list[Move]]:
        """Return the rows that may be published, and for the others the moves to the ends of their pauses.

        Raises Temporary.
        """
        # With subscribers, there can be as many names as rows.
        names = list(dict.fromkeys(row.destination for row in rows))
        ends = dict(zip(names, await batching.await_all(map(self._end, names)), strict=True))
        due: list[LedgerRow] = []
        moves: list[Move] = []
        for row in rows:
            end = ends[row.destination]
            if end > max(now, row.retry_at or now):
                moves.append((row.key, row.fence, now + spread(end - now, row.key, row.attempt_number)))
            else:
                due.append(row)
        return due, moves

    async def resumed(self, rows: Sequence[LedgerRow]) -> set[str]:
        """Return the destinations of the rows that are not paused any more. Raises Temporary."""
        names = dict.fromkeys(row.destination for row in rows)
        states = {name: await self.states.state(name, is_fresh=True) for name in names}
        return {name for name, state in states.items() if state.paused_until is None}

    async def _end(self, name: str) -> float:
        """Return the end of the destination's pause; 0 if its deliveries must be published now. Raises Temporary.

        They must be published if the destination has no pause. They must also be published if it is disabled, because
        notify then holds them, or if they may expire, because notify then gives them up.
        """
        # The name of an endpoint begins with that of its destination, whose options it has.
        configured = self.configured.get(name.partition(SEPARATOR)[0])
        if configured is None or configured.expires_after_seconds is not None:
            return 0.0
        state = await self.states.state(name)
        return 0.0 if state.disabled_reason is not None else state.paused_until or 0.0
