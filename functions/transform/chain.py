"""A chain of steps, and one event's run through it.

Each step takes the event that the step before it returned. A step can also end the event, split it, or send it to a
named chain. The fault of a step is an outcome of the chain, and says which route and step it was.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from functions.transform import output, step
from functions.transform.step import NamedStep, StepResult
from shared import errors, own_modules, time_bound
from shared.event import Event
from shared.jsontext import Json, to_json
from shared.missing_paths import IS_NOT_THERE, likely_path, removal_hint

OnError: TypeAlias = Literal["dead_letter", "continue", "drop"]
Steps: TypeAlias = tuple[NamedStep, ...]
NamedChains: TypeAlias = Mapping[str, Steps]

CHAINS_PATH: Final = "/chains/"
"""The path of requests that convert a document. The name of a chain follows it."""
ASK_SECONDS: Final = 60.0
"""The time for which a step may wait. The built-in steps have shorter limits of their own, so that only an operator's
own step that hangs reaches this one."""
MAX_REASON_CHARACTERS: Final = 500


class ChainFault(errors.Permanent):
    """A step that failed for one event. `previous_steps` are the labels of the steps that the event took before it."""

    def __init__(self, code: errors.PermanentCode, detail: str, previous_steps: tuple[str, ...]) -> None:
        super().__init__(code, detail)
        self.previous_steps = previous_steps


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step that one event took: the event before it, and what it returned or why it failed.

    Times are Unix seconds.
    """

    step: NamedStep
    before: Event
    result: StepResult | errors.HookchainError
    started_at: float = 0.0
    ended_at: float = 0.0


@dataclass(slots=True)
class ChainResult:
    """The outcome of one event in a chain.

    events          the events that reached the end of the chain
    stops           the reasons of steps that ended an event on purpose
    journal_stops   the same reasons for the journal, which also names the fields that the event lacks
    logged_stops    the same reasons for the log, without those of an operator's own steps, which may quote the event
    faults          the faults of steps that failed
    skipped_faults  the faults after which the chain continued, because of `on_error: continue`
    notes           the notes of steps that returned Noted
    """

    events: tuple[Event, ...] = ()
    stops: tuple[str, ...] = ()
    journal_stops: tuple[str, ...] = ()
    logged_stops: tuple[str, ...] = ()
    faults: tuple[ChainFault, ...] = ()
    skipped_faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of one route, or of one named chain.

    chains       the named chains that its steps may lead to
    asks         true if a step that an event can reach needs `services`
    asks_others  true if such a step waits for another system
    """

    route: str
    steps: Steps = ()
    chains: NamedChains = field(default_factory=dict, repr=False)
    on_error: OnError = "dead_letter"
    asks: bool = field(init=False)
    asks_others: bool = field(init=False)

    def __post_init__(self) -> None:
        steps = self.reachable_steps()
        # The attributes of a frozen dataclass are set so.
        object.__setattr__(self, "asks", any(named.asks for named in steps))
        object.__setattr__(self, "asks_others", any(named.asks_others for named in steps))

    def reachable_steps(self) -> list[NamedStep]:
        """Return its own steps and the steps of every chain that they may lead to, each once."""
        reached: list[NamedStep] = []
        seen_chains: set[str] = set()
        to_visit = deque(self.steps)
        while to_visit:
            named = to_visit.popleft()
            reached.append(named)
            for name in named.step.chains():
                if name in self.chains and name not in seen_chains:
                    seen_chains.add(name)
                    to_visit.extend(self.chains[name])
        return reached

    async def run(
        self,
        event: Event,
        services: step.Services | None = None,
        records: list[StepRecord] | None = None,
        characters: int | None = None,
    ) -> ChainResult:
        """Run the event through the steps, and return the outcome. A step that fails is an outcome too.

        services    may be None if the chain does not ask; then the coroutine never waits and needs no event loop
        records     a list to which a record of each step is appended
        characters  an upper bound of the characters in the event's data, if one is known

        Raises Temporary, which names the route and the step, if the event must be delivered again, and
        SystemUnavailable if the route has to wait.
        """
        verifier = output.ResultVerifier(self.chains, event, characters)
        run = _Run(self, step.StepContext(event, self.route), services, records, verifier)
        run.bounded = time_bound.BoundedCoroutine(run.run_steps(self.steps, event, ()))
        arrived = await run.bounded
        run.result.events = tuple([each.event for each in arrived])
        return run.result


class EventInChain(NamedTuple):
    """An event on its way through a chain, and the steps that it has taken."""

    event: Event
    steps_taken: Steps


@dataclass(slots=True)
class _Run:
    """One event's run through a chain.

    verifier  verifies what each step returns, and counts the events of the run
    result    what the run has collected so far; its `events` are set at the end
    bounded   the run itself, with a limit of the time in which it computes. It returns the events that reach the end.
              The run knows it to find out whether it was ended from outside
    """

    chain: Chain
    context: step.StepContext
    services: step.Services | None
    records: list[StepRecord] | None
    verifier: output.ResultVerifier
    result: ChainResult = field(default_factory=ChainResult)
    bounded: time_bound.BoundedCoroutine[tuple[EventInChain, ...]] = field(init=False)

    async def run_steps(self, steps: Steps, event: Event, steps_taken: Steps) -> tuple[EventInChain, ...]:
        """Return the events that reach the end of the steps: none, one or several."""
        for position, named in enumerate(steps):
            try:
                result = await self._take_step(named, event, steps_taken)
            except ChainFault as fault:
                if self.chain.on_error == "continue":
                    self.result.skipped_faults += (fault.detail,)
                    continue
                self.result.faults += (fault,)
                return ()
            previous_steps, steps_taken = steps_taken, (*steps_taken, named)
            if isinstance(result, Event):
                event = result
            elif isinstance(result, step.Noted):
                self._add_note(named, result.note, previous_steps)
                event = result.event
            else:
                return await self._branch(result, named, steps[position + 1 :], previous_steps)
        return (EventInChain(event, steps_taken),)

    def _add_note(self, named: NamedStep, note: str, previous_steps: Steps) -> None:
        self.result.notes += (_with_removals(f"{named.label}: {note}", previous_steps),)

    async def _branch(
        self,
        result: step.Many | step.Stop | step.Switch | step.Through,
        named: NamedStep,
        rest: Steps,
        previous_steps: Steps,
    ) -> tuple[EventInChain, ...]:
        """Return the events that reach the end of the chain after a step that ended, split or redirected its event.

        `rest` are the steps after this one. A Switch leaves them out.
        """
        steps_taken = (*previous_steps, named)
        if isinstance(result, step.Stop):
            reason = f"{named.label}: {result.reason}"[:MAX_REASON_CHARACTERS]
            self.result.stops += (reason,)
            self.result.journal_stops += (_with_removals(f"{reason}{result.missing}", previous_steps),)
            self.result.logged_stops += (named.label if named.is_own else reason,)
            return ()
        if isinstance(result, step.Many):
            if result.note:
                self._add_note(named, result.note, previous_steps)
            parts = tuple(EventInChain(event, steps_taken) for event in result.events)
        else:
            parts = await self.run_steps(self.chain.chains[result.chain], result.event, steps_taken)
            if isinstance(result, step.Switch):
                return parts
        arrived: list[EventInChain] = []
        for part in parts:
            arrived += await self.run_steps(rest, part.event, part.steps_taken)
        return tuple(arrived)

    async def _take_step(self, named: NamedStep, event: Event, steps_taken: Steps) -> StepResult:
        """Return the verified result of one step, and record it.

        Raises ChainFault and Temporary, and whatever ends the whole run while the step waits.
        """
        started_at = 0.0 if self.records is None else time.time()
        try:
            if len(steps_taken) >= step.MAX_STEPS:
                raise errors.Permanent("invalid_chain", f"an event takes at most {step.MAX_STEPS} steps of one route")
            if named.is_own:
                result = await self._apply_to_copy(named, event)
            else:
                context = self.context
                returned = await self._ask(named, event, context) if named.asks else named.step.apply(event, context)
                result = self.verifier.verify(returned, event, named)
        except BaseException as error:
            if named.asks and self._is_ended_by(error):  # only where it waits can the run be ended from outside
                raise
            # An operator's own step can raise anything, even SystemExit. It costs this route's event and nothing else.
            fault = error if isinstance(error, errors.Temporary | errors.Permanent) else step_fault(error)
            if self.records is not None:
                self.records.append(StepRecord(named, event, fault, started_at, time.time()))
            raise self._route_fault(fault, named, steps_taken, event) from error
        if self.records is not None:
            self.records.append(StepRecord(named, event, result, started_at, time.time()))
        return result

    def _is_ended_by(self, error: BaseException) -> bool:
        """Return whether the error ends the whole run: the task was destroyed or cancelled while a step waited.

        A step can also raise CancelledError because something of its own was cancelled. That is a fault of the step.
        """
        if self.bounded.is_closed:
            return True
        return isinstance(error, asyncio.CancelledError) and time_bound.is_cancelled()

    async def _apply_to_copy(self, named: NamedStep, event: Event) -> StepResult:
        """Return the verified result of an operator's own step, which gets a copy of the event."""
        copy = _copy_event(event)
        original = self.context.original
        context = replace(self.context, original=copy if original is event else _copy_event(original))
        returned = await self._ask(named, copy, context) if named.asks else named.step.apply(copy, context)
        return _without_copy(self.verifier.verify(returned, event, named), copy, event)

    async def _ask(self, named: NamedStep, event: Event, context: step.StepContext) -> StepResult:
        asking_step = named.step
        assert isinstance(asking_step, step.AskingStep)
        if self.services is None:
            raise TypeError(f"{asking_step.step_name()} needs services")
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await asking_step.ask(event, context, self.services)
        except TimeoutError:
            raise errors.Temporary("step_timeout", f"it did not answer within {ASK_SECONDS:g} s") from None

    def _route_fault(
        self, fault: errors.Temporary | errors.Permanent, named: NamedStep, steps_taken: Steps, event: Event
    ) -> errors.Temporary | ChainFault:
        """Return the step's fault with a detail that names the route and the step.

        If a field is missing, the detail also names the most similar field, and the steps that may have removed it.
        """
        # An operator's own step can raise a fault with any object, or with a text of any length.
        rule = str(fault.detail)[:MAX_REASON_CHARACTERS]
        if rule.endswith(IS_NOT_THERE):
            likely = likely_path(rule.removesuffix(IS_NOT_THERE), {"data": event.data})
            rule += f"; did you mean {likely!r}?" if likely else ""
        detail = _with_removals(f"route {self.chain.route!r}: {named.label}: {rule}", steps_taken)
        if isinstance(fault, errors.Permanent):
            return ChainFault(fault.code, detail, tuple(each.label for each in steps_taken))
        if named.asks_others and fault.code in step.UNAVAILABLE_CODES:
            return _system_unavailable(fault, detail, named)
        return errors.Temporary(fault.code, detail)


def _with_removals(reason: str, previous_steps: Steps) -> str:
    """Return the reason, cut. If it says that a field is missing, name the previous steps that may have removed it."""
    reason = reason[:MAX_REASON_CHARACTERS]  # an operator's own step can write a text of any length
    hint = removal_hint(reason, step.removals_of(previous_steps))
    return f"{reason}{hint}"[:MAX_REASON_CHARACTERS]


def _system_unavailable(fault: errors.Temporary, detail: str, named: NamedStep) -> step.SystemUnavailable:
    """Return the fault that lets the route wait for the system that the step asks, as the step's `retry` says."""
    until = fault.until if isinstance(fault, step.SystemUnavailable) else None
    return step.SystemUnavailable(fault.code, detail, named.retry_seconds, until)


def step_fault(error: BaseException) -> errors.Permanent:
    """Return the Permanent for any other exception of a step. An operator's own step can raise anything."""
    if isinstance(error, time_bound.OutOfTime):
        return errors.Permanent(
            "time_limit_exceeded", f"it computed for more than {time_bound.MAX_COMPUTING_SECONDS:g} s"
        )
    return errors.Permanent("step_failed", own_modules.place_in_own_module(error))


def _copy_event(event: Event) -> Event:
    """Return the event with a deep copy of its data."""
    return replace(event, data=_copy_data(event.data))


def _copy_data(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copy_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy_data(item) for item in value]
    return value


def _without_copy(result: StepResult, copy: Event, original: Event) -> StepResult:
    """Return the result of a step that was given `copy` in place of `original`.

    An event with the data of the copy gets the data of the original again, so that it counts as unchanged. If the step
    wrote into the copy, it keeps the data of the copy.
    """

    def restored(event: Event) -> Event:
        if event.data is not copy.data:
            return event
        unchanged = replace(event, data=original.data)
        if to_json(copy.data) == to_json(original.data):
            return unchanged
        # The step wrote into the copy. `with_data` leaves out the received body, which does not have what was written.
        return unchanged.with_data(copy.data, event.datatype)

    return _with_each_event(result, restored)


def _with_each_event(result: StepResult, change: Callable[[Event], Event]) -> StepResult:
    if isinstance(result, Event):
        return change(result)
    if isinstance(result, step.Many):
        return replace(result, events=tuple(change(event) for event in result.events))
    if isinstance(result, step.Noted | step.Switch | step.Through):
        return replace(result, event=change(result.event))
    return result
