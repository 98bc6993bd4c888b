"""An event's way through a chain's steps: one generator, which hands out each step that has to be asked for.

So one walk serves both: a chain that only computes runs without an event loop, and one that asks secrets or other
systems is awaited where it asks and nowhere else.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from functions.transform.lending import lent, taken_back
from functions.transform.output import verify_output, verify_several
from functions.transform.own_steps import place_in_own_step
from functions.transform.read_chains import MAX_STEPS, NamedStep
from functions.transform.step import AskingStep, Many, Noted, StepContext, StepResult, Stop, Switch, Through
from functions.transform.trail import Taken, Trail
from shared.errors import HookchainError, Permanent, Temporary
from shared.event import Event
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime

MAX_REASON_CHARACTERS: Final = 500


class ChainFault(Permanent):
    """A step failed for this event. `done` are the steps that it had taken before, as messages name them."""

    def __init__(self, code: str, detail: str, done: tuple[str, ...]) -> None:
        super().__init__(code, detail)
        self.done = done


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that the walk waits for: `send` it the answer, or `throw` what asking raised."""

    step: AskingStep
    event: Event
    context: StepContext


@dataclass(frozen=True, slots=True)
class Traveller:
    """An event, and the steps that it has taken."""

    event: Event
    done: tuple[NamedStep, ...] = ()


@dataclass(slots=True)
class Course:
    """What came of an event: `arrived` at the end; `stopped` on purpose, and why; `faults`; `skipped`, the faults that
    it went on from; and what steps `noted`. `stopped_logged` has no words of an operator's own step, which may quote
    the event."""

    arrived: list[Event] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    stopped_logged: list[str] = field(default_factory=list)
    faults: list[ChainFault] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)


Walk: TypeAlias = Generator[Asked, StepResult, None]
_Part: TypeAlias = Generator[Asked, StepResult, tuple[Traveller, ...]]
_Steps: TypeAlias = tuple[NamedStep, ...]


class Walker:
    """`goes_on`: from a step that failed with the event as it was before it. Raises Temporary and nothing else."""

    def __init__(
        self, route: str, chains: Mapping[str, _Steps], goes_on: bool, event: Event, trail: Trail | None
    ) -> None:
        self.course = Course()
        self._route = route
        self._chains = chains
        self._goes_on = goes_on
        self._context = StepContext(event, route)
        self._trail = trail
        self._events = 1
        self._characters = 0

    def walk(self, steps: _Steps) -> Walk:
        arrived = yield from self._through(steps, Traveller(self._context.original))
        self.course.arrived += [traveller.event for traveller in arrived]

    def _through(self, steps: _Steps, traveller: Traveller) -> _Part:
        """What the traveller has become at the end of these steps: nothing, or several."""
        event, done = traveller.event, traveller.done
        for position, step in enumerate(steps):
            try:
                result = yield from self._taken(step, event, done)
            except ChainFault as fault:
                if self._goes_on:
                    self.course.skipped.append(fault.detail)
                    continue
                self.course.faults.append(fault)
                return ()
            done = (*done, step)
            if isinstance(result, Noted):
                self.course.noted.append(f"{step.label}: {result.note}"[:MAX_REASON_CHARACTERS])
                result = result.event
            if not isinstance(result, Event):
                return (yield from self._parted(result, step, steps[position + 1 :], done))
            event = result
        return (Traveller(event, done),)

    def _parted(self, result: Many | Stop | Switch | Through, step: NamedStep, rest: _Steps, done: _Steps) -> _Part:
        if isinstance(result, Stop):
            reason = f"{step.label}: {result.reason}"[:MAX_REASON_CHARACTERS]
            self.course.stopped.append(reason)
            self.course.stopped_logged.append(step.label if step.is_own else reason)
            return ()
        if isinstance(result, Switch):
            return (yield from self._through(self._chains[result.chain], Traveller(result.event, done)))
        if isinstance(result, Through):
            parts = yield from self._through(self._chains[result.chain], Traveller(result.event, done))
        else:
            parts = tuple(Traveller(event, done) for event in result.events)
        arrived: list[Traveller] = []
        for part in parts:
            arrived += yield from self._through(rest, part)
        return tuple(arrived)

    def _taken(self, step: NamedStep, event: Event, done: _Steps) -> Generator[Asked, StepResult, StepResult]:
        try:
            if len(done) >= MAX_STEPS:
                raise Permanent("chain", f"an event takes at most {MAX_STEPS} steps of one route")
            given, context = self._given(step, event)
            if isinstance(step.step, AskingStep):
                result = yield Asked(step.step, given, context)
            else:
                result = step.step.apply(given, context)
            result = self._verified(result, step, event)
            if step.is_own:
                result = taken_back(result, given, event)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and isinstance(step.step, AskingStep):
                raise  # the walk was given up while it waited
            # A step may be the operator's own code. Whatever it raises, even SystemExit, costs this route's event and
            # no more.
            known = error if isinstance(error, HookchainError) else _of_any(error)
            self._note(step, event, known)
            raise self._placed(known, step, done) from error
        self._note(step, event, result)
        return result

    def _given(self, step: NamedStep, event: Event) -> tuple[Event, StepContext]:
        if not step.is_own:
            return event, self._context
        given = lent(event)
        original = self._context.original
        return given, replace(self._context, original=given if original is event else lent(original))

    def _note(self, step: NamedStep, event: Event, result: StepResult | HookchainError) -> None:
        if self._trail is not None:
            self._trail.append(Taken(step, event, result))

    def _placed(self, error: HookchainError, step: NamedStep, done: _Steps) -> HookchainError:
        detail = f"route {self._route!r}: {step.label}: {error.detail}"[:MAX_REASON_CHARACTERS]
        if isinstance(error, Temporary):
            return Temporary(error.code, detail)
        return ChainFault(error.code, detail, tuple(each.label for each in done))

    def _verified(self, result: StepResult, step: NamedStep, before: Event) -> StepResult:
        if isinstance(result, Event):
            _verify_event(result, before)
        elif isinstance(result, Noted):
            _verify_event(result.event, before)
        elif isinstance(result, Switch | Through):
            _verify_event(result.event, before)
            if result.chain not in step.step.chains() or result.chain not in self._chains:
                raise Permanent("chain", "it leads to a chain that it does not name")
        elif isinstance(result, Many):
            return self._numbered(result, before)
        elif not isinstance(result, Stop):
            raise Permanent("step", f"it answered {type(result).__name__}, not an event")
        return result

    def _numbered(self, result: Many, before: Event) -> Many | Stop:
        if not result.events:
            return Stop("there was nothing to make events of")
        self._events += len(result.events) - 1
        verify_several(self._events)
        for event in result.events:
            self._characters += _verify_event(event, before)
            verify_several(self._events, self._characters)
        return Many(tuple(replace(event, id=f"{before.id}-{n}") for n, event in enumerate(result.events, 1)))


def _verify_event(event: Event, before: Event) -> int:
    """The characters of what is new in it."""
    if not isinstance(event, Event):
        raise Permanent("step", f"it answered {type(event).__name__}, not an event")
    if event.id != before.id:
        raise Permanent("step", "it changed the event's id")
    return 0 if event.data is before.data else verify_output(event.data)


def _of_any(error: BaseException) -> Permanent:
    if isinstance(error, OutOfTime):
        return Permanent("time", f"it computed for more than {MAX_COMPUTING_SECONDS:g} s")
    return Permanent("step", place_in_own_step(error))
