"""A chain: it runs its steps in order, and each step takes the event that the step before it returned."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from functions.transform.output import verify_change, verify_events, verify_output
from functions.transform.step import (
    MAX_STEPS,
    UNAVAILABLE_CODES,
    AskingStep,
    Many,
    NamedStep,
    Noted,
    Services,
    Step,
    StepContext,
    StepResult,
    Stop,
    Switch,
    SystemUnavailable,
    Through,
)
from shared.errors import HookchainError, Permanent, PermanentCode, Temporary
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.jsontext import Json, from_json, texts_json, to_json
from shared.own_modules import place_in_own_module
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded, is_cancelled

OnError: TypeAlias = Literal["dead_letter", "continue", "drop"]
Steps: TypeAlias = tuple[NamedStep, ...]
NamedChains: TypeAlias = Mapping[str, Steps]

CHAINS_PATH: Final = "/chains/"
"""A request to this path and a chain's name converts a document."""
ASK_SECONDS: Final = 60.0
"""Longer than the bounds of all built-in steps together, so that only an operator's own step that hangs reaches it."""
MAX_REASON_CHARACTERS: Final = 500


class ChainFault(Permanent):
    """A step that failed for one event. `previous_steps` are the labels of the steps that the event took before it."""

    def __init__(self, code: PermanentCode, detail: str, previous_steps: tuple[str, ...]) -> None:
        super().__init__(code, detail)
        self.previous_steps = previous_steps


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step that one event took: the event before it, and what it returned or why it failed."""

    step: NamedStep
    before: Event
    result: StepResult | HookchainError


@dataclass(slots=True)
class ChainResult:
    """The outcome of one event in a chain.

    events          that reached the end of the chain
    stops           why a step ended an event on purpose
    logged_stops    the same for the log: without the words of an operator's own step, which may quote the event
    faults          of steps that failed
    skipped_faults  after which the chain continued, as `on_error: continue` says
    notes           of steps that return Noted
    """

    events: tuple[Event, ...] = ()
    stops: tuple[str, ...] = ()
    logged_stops: tuple[str, ...] = ()
    faults: tuple[ChainFault, ...] = ()
    skipped_faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of one route, or of one named chain.

    chains  the named chains that its steps may lead to
    asks    true if one of the steps that an event can reach needs `services`
    asks_others  true if one of these waits for another system
    """

    route: str
    steps: Steps = ()
    chains: NamedChains = field(default_factory=dict, repr=False)
    on_error: OnError = "dead_letter"
    asks: bool = field(init=False)
    asks_others: bool = field(init=False)

    def __post_init__(self) -> None:
        steps = self.reachable_steps()
        object.__setattr__(self, "asks", any(named.asks for named in steps))
        object.__setattr__(self, "asks_others", any(named.asks_others for named in steps))

    def reachable_steps(self) -> list[NamedStep]:
        """Return its own steps and those of every chain that they may lead to, each once."""
        steps, seen_chains = list(self.steps), set[str]()
        for named in steps:  # the list grows while it is read
            for name in named.step.chains():
                if name in self.chains and name not in seen_chains:
                    seen_chains.add(name)
                    steps += self.chains[name]
        return steps

    async def run(
        self,
        event: Event,
        services: Services | None = None,
        records: list[StepRecord] | None = None,
        characters: int | None = None,
    ) -> ChainResult:
        """Run the event through the steps. A step that fails is in the result.

        `services` may be None if the chain does not ask; then the coroutine never waits and needs no event loop.
        Each step is appended to `records`. `characters` is an upper bound of those in the event's data, if one is
        known. Raises Temporary, which names the route and the step, if the event must come again, and
        SystemUnavailable if the route has to wait.
        """
        return await _Run(self, StepContext(event, self.route), services, records, (event, characters))


class EventInChain(NamedTuple):
    """An event on its way through a chain, and the steps that it has taken."""

    event: Event
    done: Steps


@dataclass(slots=True)
class _Run:
    """One event's run through a chain, as an awaitable.

    Only the time of computing is limited, from one wait to the next; what a step waits for is not counted.
    """

    chain: Chain
    context: StepContext
    services: Services | None
    records: list[StepRecord] | None
    measured: tuple[Event, int | None]
    """The event that was verified last, and an upper bound of the characters in its data, if one is known."""
    result: ChainResult = field(default_factory=ChainResult)
    events: int = 1
    characters: int = 0
    is_closed: bool = False

    def __await__(self) -> Generator[object, object, ChainResult]:
        """Drive the steps by hand, as the event loop would, so that only the code between two waits is bounded."""
        coroutine = self._run_steps(self.chain.steps, self.context.original, ())
        answer: object = None
        error: BaseException | None = None
        while True:
            with bounded():
                try:
                    wait = coroutine.throw(error) if error else coroutine.send(answer)
                except StopIteration as end:
                    self.result.events = tuple([arrived.event for arrived in end.value])
                    return self.result
            answer = error = None
            try:
                answer = yield wait
            except GeneratorExit:  # the task was destroyed: no step may answer that
                self.is_closed = True
                coroutine.close()
                raise
            except BaseException as raised:  # also a cancellation: the step decides what it means
                error = raised

    async def _run_steps(self, steps: Steps, event: Event, done: Steps) -> tuple[EventInChain, ...]:
        """Return the events that reach the end of the steps: none, one or several. `done` led to the event."""
        for position, step in enumerate(steps):
            try:
                result = await self._take_step(step, event, done)
            except ChainFault as fault:
                if self.chain.on_error == "continue":
                    self.result.skipped_faults += (fault.detail,)
                    continue
                self.result.faults += (fault,)
                return ()
            done = (*done, step)
            if isinstance(result, Event):
                event = result
            elif isinstance(result, Noted):
                self.result.notes += (f"{step.label}: {result.note}"[:MAX_REASON_CHARACTERS],)
                event = result.event
            else:
                return await self._branch(result, step, steps[position + 1 :], done)
        return (EventInChain(event, done),)

    async def _branch(
        self, result: Many | Stop | Switch | Through, step: NamedStep, rest: Steps, done: Steps
    ) -> tuple[EventInChain, ...]:
        if isinstance(result, Stop):
            reason = f"{step.label}: {result.reason}"[:MAX_REASON_CHARACTERS]
            self.result.stops += (reason,)
            self.result.logged_stops += (step.label if step.is_own else reason,)
            return ()
        if isinstance(result, Many):
            parts = tuple(EventInChain(event, done) for event in result.events)
        else:
            parts = await self._run_steps(self.chain.chains[result.chain], result.event, done)
            if isinstance(result, Switch):
                return parts
        arrived: list[EventInChain] = []
        for part in parts:
            arrived += await self._run_steps(rest, part.event, part.done)
        return tuple(arrived)

    async def _take_step(self, step: NamedStep, event: Event, done: Steps) -> StepResult:
        """Return the verified result of one step. Raises ChainFault, and Temporary."""
        try:
            if len(done) >= MAX_STEPS:
                raise Permanent("invalid_chain", f"an event takes at most {MAX_STEPS} steps of one route")
            input_event, context = event, self.context
            if step.is_own:
                input_event, context = self._copies(event)
            if step.asks:
                result = await self._ask(step.step, input_event, context)
            else:
                result = step.step.apply(input_event, context)
            # Most steps return an event: a check for the exact type comes first, because this runs for every step.
            if type(result) is not Event:
                result = self._verify(result, step, event)
            elif result is not event:
                self._verify_event(result, event, step)
            if step.is_own:
                result = without_copy(result, input_event, event)
        except BaseException as error:
            if step.asks and (self.is_closed or (isinstance(error, asyncio.CancelledError) and is_cancelled())):
                raise
            # An operator's own step can raise anything, even SystemExit. It costs this route's event and nothing else.
            fault = error if isinstance(error, Temporary | Permanent) else step_fault(error)
            if self.records is not None:
                self.records.append(StepRecord(step, event, fault))
            raise self._with_place(fault, step, done) from error
        if self.records is not None:
            self.records.append(StepRecord(step, event, result))
        return result

    def _copies(self, event: Event) -> tuple[Event, StepContext]:
        """Return copies for an operator's own step, which may write into what it is given: other routes have the same
        event."""
        copy = copy_event(event)
        original = self.context.original
        return copy, replace(self.context, original=copy if original is event else copy_event(original))

    async def _ask(self, step: Step, event: Event, context: StepContext) -> StepResult:
        assert isinstance(step, AskingStep)
        if self.services is None:
            raise TypeError(f"{step.step_name()} needs services")
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await step.ask(event, context, self.services)
        except TimeoutError:
            raise Temporary("step_timeout", f"it did not answer within {ASK_SECONDS:g} s") from None

    def _with_place(self, error: Temporary | Permanent, step: NamedStep, done: Steps) -> Temporary | ChainFault:
        detail = f"route {self.chain.route!r}: {step.label}: {error.detail}"[:MAX_REASON_CHARACTERS]
        if isinstance(error, Temporary):
            if not step.asks_others or error.code not in UNAVAILABLE_CODES:
                return Temporary(error.code, detail)
            # An operator's own step may mean another thing by `retry`.
            retry_seconds = None if step.is_own else getattr(step.step, "retry", None)
            until = error.until if isinstance(error, SystemUnavailable) else None
            return SystemUnavailable(error.code, detail, retry_seconds, until)
        return ChainFault(error.code, detail, tuple(each.label for each in done))

    def _verify(self, result: StepResult, step: NamedStep, before: Event) -> StepResult:
        """Return the result. Raises Permanent for what a step must not return."""
        if isinstance(result, Event):
            self._verify_event(result, before, step)
        elif isinstance(result, Noted):
            self._verify_event(result.event, before, step)
        elif isinstance(result, Switch | Through):
            self._verify_event(result.event, before, step)
            if result.chain not in step.step.chains() or result.chain not in self.chain.chains:
                raise Permanent("invalid_chain", "it leads to a chain that its `chains` method does not return")
        elif isinstance(result, Many):
            return self._number(result, before, step)
        elif not isinstance(result, Stop):
            raise Permanent("step_failed", f"it returned {type(result).__name__}, not an event")
        return result

    def _verify_event(self, event: Event, before: Event, step: NamedStep) -> int:
        """Return the number of characters in its data; 0 if the data is unchanged, or cannot have become larger.

        If the size of what was before it is known, only the change is looked at, and the number is an upper bound.
        """
        if not isinstance(event, Event):
            raise Permanent("step_failed", f"it returned {type(event).__name__}, not an event")
        if event.id != before.id:
            raise Permanent("step_failed", "it changed the event's id")
        if step.is_own:
            verify_attributes(event)
        measured_event, measured_characters = self.measured
        known = measured_characters if measured_event is before else None
        characters = 0
        if event.data is not before.data and not step.only_removes:
            characters = verify_output(event.data) if known is None else verify_change(event.data, before.data, known)
            known = characters
        self.measured = event, known
        return characters

    def _number(self, result: Many, before: Event, step: NamedStep) -> Many | Stop:
        """Return the events with ids of their own, `<id>-1`, `<id>-2` …"""
        if not result.events:
            return Stop("there was nothing to make events of")
        self.events += len(result.events) - 1
        verify_events(self.events)
        self.measured = before, None  # each is counted whole
        for event in result.events:
            self.characters += self._verify_event(event, before, step)
            verify_events(self.events, self.characters)
        return Many(tuple(replace(event, id=f"{before.id}-{n}") for n, event in enumerate(result.events, 1)))


def step_fault(error: BaseException) -> Permanent:
    """Return the Permanent for any other exception of a step. An operator's own step can raise anything."""
    if isinstance(error, OutOfTime):
        return Permanent("time_limit_exceeded", f"it computed for more than {MAX_COMPUTING_SECONDS:g} s")
    return Permanent("step_failed", place_in_own_module(error))


def copy_event(event: Event) -> Event:
    """Return the event with a deep copy of its data, for code that may write into it."""
    return replace(event, data=_copy(event.data))


def verify_attributes(event: Event) -> None:
    """Verify that the event's attributes can be written and read again. Raises Permanent (`invalid_output`)."""
    try:
        from_cloudevent(from_json(texts_json(to_cloudevent(replace(event, data=None)))))
    except Permanent as error:
        raise Permanent("invalid_output", f"it returned an event that cannot be read: {error.detail}") from error
    except (TypeError, ValueError) as error:  # half a surrogate pair, too
        reason = "it returned an event with an attribute that JSON cannot hold"
        raise Permanent("invalid_output", reason) from error


def without_copy(result: StepResult, copy: Event, before: Event) -> StepResult:
    """Return the result of a step that was given `copy` in place of `before`.

    Data that the step left as it was is that of `before` again. Data that it wrote into is new data, so the event no
    longer has the body as it was received.
    """

    def restored(event: Event) -> Event:
        if event.data is not copy.data:
            return event
        data = before.data if to_json(event.data) == to_json(before.data) else event.data
        return replace(event, data=before.data).with_data(data, event.datatype)

    return _with_each_event(result, restored)


def _with_each_event(result: StepResult, change: Callable[[Event], Event]) -> StepResult:
    if isinstance(result, Event):
        return change(result)
    if isinstance(result, Many):
        return Many(tuple(change(event) for event in result.events))
    if isinstance(result, Noted | Switch | Through):
        return replace(result, event=change(result.event))
    return result


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
