"""The hosts that steps ask: a host that fails or hangs gets few places of this process, and is not asked for a while.

Each step has a circuit breaker for its host, because one API of a host may fail while others answer. While the breaker
is open, the host is not asked, and the route waits. This is not counted as a try. Each instance counts what it sees
itself.
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
LONGEST_SECONDS: Final = 30.0
"""The longest `timeout` of a step."""
HANGS: Final = "it takes far longer than usual and has not answered yet"


class Asker(NamedTuple):
    """A step and the host that it asks. `step` is the id of the object with its settings, in this process."""

    step: int
    host: str


class Closed(NamedTuple):
    """The decision that a host is not asked before `until`, in Unix seconds. `reason` is for people."""

    until: float
    reason: str


@dataclass(slots=True)
class StepHosts:
    """Decides when a step may ask its host. A question is one request of a step.

    gate       the places of this process
    instances  leases that limit how many instances one host can hold; None except on AWS

    _circuits   the circuits of the steps whose last request to a host failed; any other circuit is closed
    _reasons    the reason why each circuit is open
    _under_way  the asker of each question, by the question's key
    _probes     for each asker, the key of the question that tries first once a pause is over
    _turns      for each event, by its id, the number of times that it found no place
    """

    gate: ProcessGate
    clock: ports.Clock
    instances: "InstanceLeases | None" = None
    _circuits: OrderedDict[Asker, Circuit] = field(default_factory=OrderedDict)
    _reasons: dict[Asker, str] = field(default_factory=dict)
    _probes: dict[Asker, str] = field(default_factory=dict)
    _under_way: dict[str, Asker] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    async def enter(self, step: int, host: str, event: Event) -> str | Closed:
        """Wait for a place. Return the key to call `leave` with, or Closed if the host is not asked now.

        The questions of one source share places at the host. Raises Temporary if a lease cannot be read.
        """
        asker = Asker(step, host)
        for key in self.gate.report_hanging(host):
            if key in self._under_way:
                self._note(self._under_way[key], True, HANGS)
        if closed := self._closed(asker):
            return closed
        key = f"{host} {next(self._numbers)}"
        turns = self._turns.pop(event.id, 0)
        admission = await self.gate.enter(key, host, f"{event.source} {host}", turns)
        if isinstance(admission, ComeBack):
            reason = f"earlier requests to {host} use its whole share of the capacity"
            return self._turned_away(event, turns, admission.seconds, reason)
        try:
            lease = await self.instances.enter(host, LONGEST_SECONDS, turns) if self.instances else ADMITTED
        except BaseException:  # cancelled, too: the step's time may be over
            self.gate.leave(key)
            raise
        if isinstance(lease, ComeBack):
            self.gate.leave(key)
            return self._turned_away(event, turns, lease.seconds, f"another instance tries {host} first")
        if closed := self._closed(asker):  # it failed meanwhile
            self.gate.leave(key)
            return closed
        if not self._circuits.get(asker, CLOSED).is_closed:
            self._probes[asker] = key
        self._under_way[key] = asker
        self.gate.begin(key)
        return key

    def _turned_away(self, event: Event, turns: int, seconds: float, reason: str) -> Closed:
        """Count that the event found no place, and return when it may try again."""
        self._turns[event.id] = turns + 1
        if len(self._turns) > MAX_KNOWN:
            del self._turns[next(iter(self._turns))]
        return Closed(self.clock.now() + seconds, reason)

    async def give_back(self, host: str) -> None:
        """Let all instances ask the host again. Call it after the host has answered, and not failed."""
        if self.instances:
            await self.instances.leave(host)

    def leave(self, key: str, *, has_failed: bool | None, reason: str = "") -> None:
        """End the question. `has_failed`: whether the host failed; None if it was not asked."""
        asker = self._under_way.pop(key)
        if self._probes.get(asker) == key:
            del self._probes[asker]
        is_counted = has_failed and self.gate.is_known_to_hang(asker.host, key)
        self.gate.leave(key, has_failed=has_failed)
        if has_failed is not None and not is_counted:
            self._note(asker, has_failed, reason)

    def _closed(self, asker: Asker) -> Closed | None:
        """Return why the asker may not ask its host now; None if it may."""
        now, circuit = self.clock.now(), self._circuits.get(asker, CLOSED)
        if circuit.is_open(now):
            return Closed(circuit.open_until, f"{asker.host} is not asked for a while: {self._reasons[asker]}")
        if circuit.is_half_open(now) and asker in self._probes:
            return Closed(now + PROBE_SECONDS, f"the pause of {asker.host} is over, and another route asks it first")
        return None

    def _note(self, asker: Asker, has_failed: bool, reason: str) -> None:
        """Count an outcome in the asker's circuit, and log a pause that begins or ends."""
        before, now = self._circuits.get(asker, CLOSED), self.clock.now()
        circuit = after_attempt(before, BREAKER, now, has_failed=has_failed)
        if circuit.is_closed and not circuit.failures:
            self._circuits.pop(asker, None)
        else:
            self._circuits[asker] = circuit
            self._circuits.move_to_end(asker)
        if len(self._circuits) > MAX_KNOWN:
            self._reasons.pop(self._circuits.popitem(last=False)[0], None)
        if circuit.open_until > before.open_until:
            failed = f"{BREAKER.failures} requests in a row" if before.is_closed else "the request after the last pause"
            self._reasons[asker] = f"{failed} failed, the last: {reason}"
            text = f"{asker.host}: paused for {circuit.pause_seconds:g} s"
            logs.log("WARNING", text, function="transform", breaker="open", reason=self._reasons[asker])
        elif circuit.is_closed and not before.is_closed:
            self._reasons.pop(asker, None)
            logs.log("INFO", f"{asker.host}: answers again", function="transform", breaker="closed")
