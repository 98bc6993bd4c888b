"""The hosts that steps ask: a host that fails or hangs gets few places of this process, and is not asked for a while.

Each step has a circuit breaker for its host, because one API of a host may fail while others answer. While the breaker
is open, the host is not asked, and the route waits. This is not counted as a try. Each instance counts what it sees
itself. Before a step asks its host:

1. requests to the host that hang are counted as failures
2. the step's breaker must let the request through. After a pause, it lets one through at a time: the probe
3. the request needs a place of this process, and on AWS a lease for this instance
4. the breaker must still let it through, because requests may have failed while this one waited for its place

After the answer, `leave` gives the place back and counts the outcome in the breaker.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from shared import logs, ports
from shared.event import Event
from shared.outgoing.circuit import CLOSED, BreakerSettings, Circuit, after_attempt
from shared.outgoing.gate import ADMITTED, ComeBack, ProcessGate
from shared.waiting_route import PROBE_SECONDS

if TYPE_CHECKING:
    from shared.outgoing.instance_leases import InstanceLeases


BREAKER: Final = BreakerSettings(failures=5, pause_seconds=30.0, max_pause_seconds=600.0)
MAX_KNOWN: Final = 10_000
"""The most circuits that are remembered, and the most events that found no place. The oldest is forgotten first."""
LONGEST_SECONDS: Final = 30.0
"""The longest `timeout` of a step."""
HANGS: Final = "it takes far longer than usual and has not answered yet"


class Asker(NamedTuple):
    """A step and the host that it asks. `step` is the `id()` of the step's settings object in this process."""

    step: int
    host: str


class NotNow(NamedTuple):
    """The decision that a step does not ask its host before `until`, in Unix seconds. `reason` is for people."""

    until: float
    reason: str


@dataclass(slots=True)
class StepHosts:
    """Decides when a step may ask its host. A question is one request of a step.

    gate       the places of this process
    instances  leases that limit how many instances one host can hold; None except on AWS

    _circuits       the circuits of the steps whose last request to a host failed; any other circuit is CLOSED
    _reasons        the reason for the last pause of each circuit that is not closed
    _probes         for each asker whose pause is over, the key of the question that asks first
    _under_way      the asker of each question, by the question's key
    _return_counts  for each event, by its id, the number of times that it found no place
    _numbers        the numbers in the keys of questions
    """

    gate: ProcessGate
    clock: ports.Clock
    instances: "InstanceLeases | None" = None
    _circuits: OrderedDict[Asker, Circuit] = field(default_factory=OrderedDict)
    _reasons: dict[Asker, str] = field(default_factory=dict)
    _probes: dict[Asker, str] = field(default_factory=dict)
    _under_way: dict[str, Asker] = field(default_factory=dict)
    _return_counts: dict[str, int] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    async def enter(self, step: int, host: str, event: Event) -> str | NotNow:
        """Wait for a place. Return the key to call `leave` with, or NotNow if the host is not asked now.

        Raises Temporary if a lease cannot be read. After that and after NotNow, there is nothing to leave.
        """
        asker = Asker(step, host)
        for hanging_key in self.gate.report_hanging(host):
            if hanging_key in self._under_way:
                self._note(self._under_way[hanging_key], has_failed=True, reason=HANGS)
        if pause := self._pause(asker):
            return pause
        key = f"{host} {next(self._numbers)}"
        if no_place := await self._take_place(key, host, event):
            return no_place
        if pause := self._pause(asker):
            # The lease stays: as after any failure, the other instances do not ask the host until it ends.
            self.gate.leave(key)
            return pause
        if not self._circuits.get(asker, CLOSED).is_closed:
            self._probes[asker] = key
        self._under_way[key] = asker
        self.gate.begin(key)
        return key

    async def _take_place(self, key: str, host: str, event: Event) -> NotNow | None:
        """Wait for a place of this process, and for a lease of this instance. Return NotNow if one of them is not free.

        All questions about events of one source share places at the host. Raises Temporary.
        """
        return_count = self._return_counts.pop(event.id, 0)
        place = await self.gate.enter(key, host, f"{event.source} {host}", return_count)
        if isinstance(place, ComeBack):
            reason = f"earlier requests to {host} use its whole share of the capacity"
            return self._come_back(event, return_count, place.seconds, reason)
        try:
            lease = await self.instances.enter(host, LONGEST_SECONDS, return_count) if self.instances else ADMITTED
        except BaseException:  # cancelled, too: the step's time may be over
            self.gate.leave(key)
            raise
        if isinstance(lease, ComeBack):
            self.gate.leave(key)
            return self._come_back(event, return_count, lease.seconds, f"another instance tries {host} first")
        return None

    def _come_back(self, event: Event, return_count: int, seconds: float, reason: str) -> NotNow:
        """Count that the event found no place, and return when it may try again."""
        self._return_counts[event.id] = return_count + 1
        if len(self._return_counts) > MAX_KNOWN:
            del self._return_counts[next(iter(self._return_counts))]
        return NotNow(self.clock.now() + seconds, reason)

    async def give_back(self, host: str) -> None:
        """Let all instances ask the host again. Call it after `leave`, unless the host has failed."""
        if self.instances:
            await self.instances.leave(host)

    def leave(self, key: str, *, has_failed: bool | None, reason: str = "") -> None:
        """End the question. `has_failed` is None if the outcome says nothing about the host: then it is not counted."""
        asker = self._under_way.pop(key)
        if self._probes.get(asker) == key:
            del self._probes[asker]
        was_counted_as_hanging = self.gate.is_known_to_hang(asker.host, key)
        self.gate.leave(key, has_failed=has_failed)
        if has_failed is False or (has_failed and not was_counted_as_hanging):
            self._note(asker, has_failed=has_failed, reason=reason)

    def _pause(self, asker: Asker) -> NotNow | None:
        """Return why the asker's breaker does not let a question through now; None if it does."""
        now = self.clock.now()
        circuit = self._circuits.get(asker, CLOSED)
        if circuit.is_open(now):
            return NotNow(circuit.open_until, f"{asker.host} is not asked for a while: {self._reasons[asker]}")
        if circuit.is_half_open(now) and asker in self._probes:
            return NotNow(now + PROBE_SECONDS, f"the pause of {asker.host} is over, and another route asks it first")
        return None

    def _note(self, asker: Asker, *, has_failed: bool, reason: str) -> None:
        """Count an outcome in the asker's circuit, and log a pause that begins or ends."""
        now = self.clock.now()
        before = self._circuits.get(asker, CLOSED)
        circuit = after_attempt(before, BREAKER, now, has_failed=has_failed)
        if circuit.is_closed and not circuit.failures:
            self._circuits.pop(asker, None)
        else:
            self._circuits[asker] = circuit
            self._circuits.move_to_end(asker)
        if len(self._circuits) > MAX_KNOWN:
            oldest, _ = self._circuits.popitem(last=False)
            self._reasons.pop(oldest, None)
        if circuit.open_until > before.open_until:
            failed = f"{BREAKER.failures} requests in a row" if before.is_closed else "the request after the last pause"
            self._reasons[asker] = f"{failed} failed, the last: {reason}"
            text = f"{asker.host}: paused for {circuit.pause_seconds:g} s"
            logs.log("WARNING", text, function="transform", breaker="open", reason=self._reasons[asker])
        elif circuit.is_closed and not before.is_closed:
            self._reasons.pop(asker, None)
            logs.log("INFO", f"{asker.host}: answers again", function="transform", breaker="closed")
