"""The stages of the event that `hookchain smoke` sent, printed once each as soon as they are reached."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from deploy.cli import smoke_state
from deploy.cli.smoke_state import PENDING, DeliveryState, EventState
from deploy.terminal.output import DIM, GREEN, RED, YELLOW, Screen, count_of, printable
from deploy.terminal.progress import PassingLine
from shared.jsontext import JsonObject

STAGE_WIDTH: Final = 11


class Fault(NamedTuple):
    """The look of a delivery without success. `advice` is what to do next."""

    colour: str
    advice: str


FAULTS: Final = {
    smoke_state.RETRY_SCHEDULED: Fault(
        YELLOW, "it is retried automatically; `hookchain events list{where}` shows its status"
    ),
    smoke_state.HELD: Fault(YELLOW, "fix the reason, then: hookchain resume {destination}{where}"),
    smoke_state.DEAD_LETTERED: Fault(
        RED, "to see it: hookchain dead-letters list{where}; `dead-letters replay` sends it again"
    ),
}
"""By the state of the delivery."""


@dataclass(slots=True)
class StagePrinter:
    """A printer of the stages.

    clock      returns the seconds since the event was sent
    say        prints a line
    where      the options with which another command reads the same platform
    documents  the printed stages, for `--json`
    """

    screen: Screen
    clock: Callable[[], float]
    say: Callable[[str], None]
    where: str = ""
    documents: list[JsonObject] = field(default_factory=list)
    _is_routing_printed: bool = False
    _printed_states: dict[tuple[str, str], str] = field(default_factory=dict)
    """The state of each delivery that was printed last, by route and destination."""

    def print_success(self, name: str, detail: str) -> None:
        self._print("✓", GREEN, name, detail)

    def print_fault(self, colour: str, name: str, detail: str, todo: str) -> None:
        """Print a stage that was not reached, or without success. `todo` is what to do next."""
        took = self._print("✗", colour, name, detail, todo)
        arrow = self.screen.coloured("→", colour)
        self.say(f"  {' ' * STAGE_WIDTH} {' ' * len(took)}  {arrow} {printable(todo)}")

    def _print(self, mark: str, colour: str, name: str, detail: str, todo: str = "") -> str:
        """Print the stage, and return how long it took."""
        seconds = self.clock()
        is_ok = not todo
        self.documents.append(
            {"stage": name, "ok": is_ok, "seconds": round(seconds, 3), "detail": detail, "todo": todo}
        )
        took = f"{seconds:6.2f} s"
        self.say(f"{self.screen.coloured(mark, colour)} {name.ljust(STAGE_WIDTH)} {took}  {printable(detail)}")
        return took

    def print_changes(self, state: EventState) -> None:
        """Print the stages that the event has reached since the last call."""
        if state.expected is not None and not self._is_routing_printed:
            self._is_routing_printed = True
            self._print_routing(state)
        for each in state.deliveries:
            key = (each.route, each.destination)
            if each.state != PENDING and self._printed_states.get(key) != each.state:
                self._printed_states[key] = each.state
                self._print_delivery(each)

    def _print_routing(self, state: EventState) -> None:
        if state.expected:
            self.print_success("transformed", count_of(state.expected, "delivery", "deliveries"))
        elif any(route.outcome == "filtered" for route in state.routes):
            rule = "a step ended the event on purpose"
            self.print_fault(YELLOW, "transformed", rule, "see the filter of its route")
        elif not state.broken:
            self.print_fault(YELLOW, "transformed", "no route matched", "check `from`, `types` and `where`")
        for broken in state.broken:
            self.print_fault(RED, "transformed", broken, f"`hookchain dead-letters list{self.where}` shows it")
        for route in state.routes:
            if not route.code:
                targets = f" → {', '.join(route.destinations)}" if route.destinations else ""
                decision = "matched" if route.matched else "did not match"
                detail = printable(f"route {route.route!r} {decision}: {route.reason}{targets}")
                self.say(f"  {' ' * STAGE_WIDTH}           {self.screen.coloured(detail, DIM)}")

    def _print_delivery(self, delivery: DeliveryState) -> None:
        detail = delivery.destination
        if delivery.attempts > 1 or not delivery.is_success:
            detail += f", attempt {delivery.attempts}"
        if delivery.detail:
            detail += f": {delivery.detail}"
        if delivery.is_success:
            self.print_success(delivery.state, detail)
            return
        fault = FAULTS[delivery.state]
        advice = fault.advice.format(destination=delivery.destination, where=self.where)
        self.print_fault(fault.colour, delivery.state, detail, advice)

    def print_end(self, state: EventState, event_id: str, longest_seconds: float) -> None:
        """Print the result, and which stage was not reached in `longest_seconds`."""
        if state.is_good:
            line = f"It works: {len(state.deliveries)} of {state.expected} delivered."
            self.say(self.screen.coloured(line, GREEN))
            return
        if not state.is_complete:
            self._print_timeout(state, longest_seconds)
        self.say(f"It was not delivered. Details: hookchain events show {event_id[:12]}{self.where}")

    def _print_timeout(self, state: EventState, longest_seconds: float) -> None:
        detail = "transform did not process it"
        function = ""
        if state.expected is not None:
            missing = state.expected - state.count_with_result
            detail = f"{missing} of {count_of(state.expected, 'delivery', 'deliveries')} without an attempt"
            function = " --function notify"
        logs = f"`hookchain logs{function}{self.where}` may show why"
        todo = f"`hookchain status{self.where}` shows the backlog; {logs}"
        self.print_fault(RED, "stopped", f"{detail} within {longest_seconds:g} s", todo)


def follow(
    read_state: Callable[[], EventState], stages: StagePrinter, longest_seconds: float, pause: Callable[[], None]
) -> EventState:
    """Print the stages until every delivery has had a result, or until the time is over. Return the last state."""
    while True:
        state = read_state()
        stages.print_changes(state)
        if state.is_complete or stages.clock() >= longest_seconds:
            return state
        pause()


class WaitingLine:
    """The last line of the terminal, which shows the waiting time. Other lines are printed above it."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self._line = PassingLine(sys.stdout)
        self._is_silent = is_silent

    def print_above(self, text: str) -> None:
        if self._is_silent:
            return
        self._line.clear()
        print(text, flush=True)

    def wait(self, seconds: float, waited_seconds: float) -> None:
        if waited_seconds > 1 and not self._is_silent:
            self._line.show(f"  waiting … {waited_seconds:.0f} s")
        time.sleep(seconds)

    def clear(self) -> None:
        self._line.clear()
