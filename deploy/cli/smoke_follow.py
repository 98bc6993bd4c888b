"""Following one event to its end: each stage is told once, as soon as it is seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.cli.smoke_sight import DELIVERED, FAILED, HELD, PENDING, RETRYING, Seen, Sight
from deploy.terminal.tables import DIM, GREEN, RED, YELLOW, Screen, printable

STAGE_WIDTH: Final = 11
_MARKS: Final = {DELIVERED: ("✓", GREEN), RETRYING: ("✗", YELLOW), HELD: ("✗", YELLOW), FAILED: ("✗", RED)}
_ADVICE: Final = {
    RETRYING: "it is tried again by itself, for days; `hookchain events list{where}` tells how it goes",
    HELD: "mend what it says, then: hookchain release {destination}{where}",
    FAILED: "`hookchain dead-letters list{where}` shows it, and `replay` tries it anew",
}


@dataclass(slots=True)
class Told:
    """Prints each stage once. `clock` is the time since the event was posted, in seconds; `where` is what a command
    needs to look there too."""

    screen: Screen
    clock: Callable[[], float]
    say: Callable[[str], None]
    where: str = ""
    is_routed: bool = False
    states: "dict[tuple[str, str], str] | None" = None

    def stage(self, mark: str, colour: str, name: str, words: str, todo: str = "") -> None:
        took = f"{self.clock():6.2f} s"
        self.say(f"{self.screen.coloured(mark, colour)} {name.ljust(STAGE_WIDTH)} {took}  {printable(words)}")
        if todo:
            self.say(f"  {' ' * STAGE_WIDTH} {' ' * len(took)}  {self.screen.coloured('→', colour)} {printable(todo)}")

    def look(self, sight: Sight) -> None:
        if sight.expected is not None and not self.is_routed:
            self.is_routed = True
            self._routed(sight)
        seen = self.states if self.states is not None else {}
        self.states = seen
        for each in sight.deliveries:
            key = (each.route, each.destination)
            if each.state != PENDING and seen.get(key) != each.state:
                seen[key] = each.state
                self._delivery(each)

    def _routed(self, sight: Sight) -> None:
        if sight.expected:
            self.stage("✓", GREEN, "transformed", f"{sight.expected} {_plural(sight.expected)} owed")
        elif any(route.word == "stopped" for route in sight.routes):
            self.stage("✗", YELLOW, "transformed", "a route took it, and ended it on purpose", "its steps say when")
        elif not sight.broken:
            self.stage("✗", YELLOW, "transformed", "no route leads it anywhere", "look at `from`, `types` and `where`")
        for broken in sight.broken:
            self.stage("✗", RED, "transformed", broken, f"`hookchain dead-letters list{self.where}` shows it")
        for route in sight.routes:
            if not route.code:
                taken = f" → {', '.join(route.destinations)}" if route.destinations else ""
                decision = "takes it" if route.matched else "does not take it"
                words = printable(f"route {route.route!r} {decision}: {route.reason}{taken}")
                self.say(f"  {' ' * STAGE_WIDTH}           {self.screen.coloured(words, DIM)}")

    def _delivery(self, each: Seen) -> None:
        mark, colour = _MARKS[each.state]
        tried = f", attempt {each.attempts}" if each.attempts > 1 or each.state != DELIVERED else ""
        words = f"{each.destination}{tried}" + (f": {each.words}" if each.words else "")
        self.stage(
            mark,
            colour,
            each.state,
            words,
            _ADVICE.get(each.state, "").format(destination=each.destination, where=self.where),
        )


def _plural(count: int) -> str:
    return "delivery" if count == 1 else "deliveries"


def follow(look: Callable[[], Sight], told: Told, longest_seconds: float, sleep: Callable[[], None]) -> Sight:
    """What was seen last. It ends once every delivery has come to an end or will be tried again, or time is over."""
    while True:
        sight = look()
        told.look(sight)
        if sight.is_complete or told.clock() >= longest_seconds:
            return sight
        sleep()


def stuck(sight: Sight, longest_seconds: float, where: str = "") -> tuple[str, str]:
    """What did not happen in time, and what to do."""
    within = f"within {longest_seconds:g} s"
    if sight.expected is None:
        return (
            f"transform has not seen it {within}",
            f"`hookchain status{where}` shows what waits; `hookchain logs{where}` may say why",
        )
    lacking = sight.expected - sum(each.state != PENDING for each in sight.deliveries)
    words = f"{lacking} of {sight.expected} {_plural(sight.expected)} without an attempt {within}"
    return words, f"`hookchain status{where}` shows what waits; `hookchain logs --function notify{where}` may say why"
