"""Steps that a test makes chains of, and what came of an event in one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from functions.transform.chain import Chain, ChainFault, ChainResult, OnError
from functions.transform.program import read_chain
from functions.transform.step import (
    AskingStep,
    Many,
    NamedStep,
    Services,
    Step,
    StepContext,
    StepResult,
    Switch,
    Through,
)
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets

EVENT = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", {"a": 1, "text": "hunter2"})


@dataclass
class Answering(Step):
    """Answers what it was made with, or raises it; `leads_to` are the chains that it names."""

    answer: object
    leads_to: Sequence[str] = ()

    def chains(self) -> tuple[str, ...]:
        return tuple(self.leads_to)

    def apply(self, event: Event, context: StepContext) -> StepResult:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value] # an operator's own step may answer anything


@dataclass
class Adding(Step):
    """Puts its letter into the data, so that the way of an event can be read from it."""

    letter: str

    def apply(self, event: Event, context: StepContext) -> Event:
        return event.with_data(f"{event.data if isinstance(event.data, str) else ''}{self.letter}")


@dataclass
class Splitting(Step):
    parts: int

    def apply(self, event: Event, context: StepContext) -> Many:
        return Many(tuple(event.with_data(f"{event.data}{n}") for n in range(self.parts)))


@dataclass
class To(Step):
    """Goes to the chain, or through it."""

    chain: str
    kind: type[Switch] | type[Through]

    def chains(self) -> tuple[str, ...]:
        return (self.chain,)

    def apply(self, event: Event, context: StepContext) -> StepResult:
        return self.kind(event, self.chain)


@dataclass
class Asking(AskingStep):
    answer: object = None
    asked: list[str] = field(default_factory=list)

    async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
        await asyncio.sleep(0)
        self.asked.append(event.id)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return event.with_data(f"{event.data}?")


def named(*steps: Step, chain: str | None = None) -> tuple[NamedStep, ...]:
    return tuple(NamedStep(number, type(step).__name__.lower(), step, chain) for number, step in enumerate(steps, 1))


def chain(*steps: Step, on_error: OnError = "dead_letter", **chains: Sequence[Step]) -> Chain:
    known = {name: named(*others, chain=name) for name, others in chains.items()}
    return Chain("tell the list", named(*steps), known, on_error)


def services() -> Services:
    return Services(FakeSecrets({}), lambda: FakeFetch(), FakeOwners(), None)


def configured(raw: Json) -> Chain:
    steps, faults = read_chain(raw)
    assert not faults
    return Chain("tell the list", tuple(steps))


def the_event(course: ChainResult) -> Event:
    [event] = course.events
    return event


def the_fault(course: ChainResult) -> ChainFault:
    assert course.events == ()
    [fault] = course.faults
    return fault


def letters(course: ChainResult) -> list[Json]:
    return [event.data for event in course.events]


START = replace(EVENT, data="")
