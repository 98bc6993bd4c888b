"""A chain: its steps in order, each taking the event that the one before made."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from functions.transform.bounded_await import bounded_await
from functions.transform.read_chains import NamedStep
from functions.transform.step import AskingStep, Services
from functions.transform.trail import Trail
from functions.transform.walk import Asked, Course, Walk, Walker
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.time_bound import bounded

OnError: TypeAlias = Literal["dead_letter", "continue", "drop"]
NamedChains: TypeAlias = Mapping[str, tuple[NamedStep, ...]]

ASK_SECONDS: Final = 60.0
"""More than any step's own bounds together: only an operator's own step that hangs comes to it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """`chains` are those that its steps may lead to, by name."""

    route: str
    steps: tuple[NamedStep, ...] = ()
    chains: NamedChains = field(default_factory=dict, repr=False)
    on_error: OnError = "dead_letter"
    asks: bool = field(init=False)
    """Whether a step of it asks outside of the event: then it is run by `ask`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", any(isinstance(named.step, AskingStep) for named in self.reachable()))

    def reachable(self) -> list[NamedStep]:
        """Its own steps, and those of every chain that they may lead to, each once."""
        found, seen = list(self.steps), set[str]()
        for named in found:  # which grows
            for name in named.step.chains():
                if name in self.chains and name not in seen:
                    seen.add(name)
                    found += self.chains[name]
        return found

    def run(self, event: Event, trail: Trail | None = None) -> Course:
        """For a chain that does not ask. A step that fails is in the answer; nothing is raised."""
        walker = self._walker(event, trail)
        if asked := _on_to_next(walker.walk(self.steps)):
            raise TypeError(f"{asked.step.step_name()} has to be asked")
        return walker.course

    async def ask(self, event: Event, services: Services, trail: Trail | None = None) -> Course:
        """Raises Temporary, naming the route, the step's number and the step: the event should come again."""
        walker = self._walker(event, trail)
        walk = walker.walk(self.steps)
        asked = _on_to_next(walk)
        while asked:
            asked = await _answered(walk, asked, services)
        return walker.course

    def _walker(self, event: Event, trail: Trail | None) -> Walker:
        return Walker(self.route, self.chains, self.on_error == "continue", event, trail)


def _on_to_next(walk: Walk) -> Asked | None:
    """The next step to ask, None at the end."""
    with bounded():
        return next(walk, None)


async def _answered(walk: Walk, asked: Asked, services: Services) -> Asked | None:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await bounded_await(asked.step.ask(asked.event, asked.context, services))
    except asyncio.CancelledError:
        walk.close()
        raise
    except TimeoutError:
        return _raised(walk, Temporary("step", f"it gave no answer within {ASK_SECONDS:g} s"))
    except GeneratorExit:  # thrown into the walk it would mean another thing
        return _raised(walk, Permanent("step", "GeneratorExit"))
    except BaseException as error:  # what it means is the walk's to say
        return _raised(walk, error)
    with bounded():
        try:
            return walk.send(answer)
        except StopIteration:
            return None


def _raised(walk: Walk, error: BaseException) -> Asked | None:
    with bounded():
        try:
            return walk.throw(error)
        except StopIteration:
            return None
