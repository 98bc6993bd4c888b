"""What a step is: a pydantic model of its settings, which takes an event and answers the event after it.

A family is one module of `functions.transform.steps`, and each model in it that is a Step is found and named by its
class: `Drop` is the step `drop`. A step that needs a heavy library imports it where it is used.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from shared.event import Event
from shared.jsontext import Json
from shared.ports import Blobs, Fetch, Owners, Secrets


@dataclass(frozen=True, slots=True)
class Example:
    """What a step does, shown; run as a test. `attributes` are the event's own, such as `type`, after the step.

    `secrets` are those that the settings name. `varies`: what comes out is another each time, `after` one of them.
    `answers` are what other systems say, by URL. Where the step makes several events, `after` lists their data; where
    it stops, `stops` is the reason; where it leads to a chain, `leads_to` is that.
    """

    settings: Json
    before: Json
    after: Json
    attributes: dict[str, str | None] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    varies: bool = False
    answers: dict[str, Json] = field(default_factory=dict)
    stops: str | None = None
    leads_to: str | None = None


@dataclass(frozen=True, slots=True)
class StepContext:
    """`original` is the event as it entered the route.

    It can come again, and its steps must answer the same: what a step needs of chance and of time it takes from the
    original's `id` and `receivedat`. `route` is the route's name.
    """

    original: Event
    route: str = ""


@dataclass(frozen=True, slots=True)
class Services:
    """What a step that asks outside of the event may use. `blobs` is None where the platform has none.

    `identity` gives a token that proves to an audience (a URL) who we are; None where the platform has none.
    `now` is the time in Unix seconds.
    """

    secrets: Secrets
    fetch: Fetch
    owners: Owners
    blobs: Blobs | None
    identity: Callable[[str], Awaitable[str]] | None = None
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Many:
    """One event became several, each of which goes on through the rest of the chain."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """The route ends here for this event, as it was meant to: the reason is journaled, nothing is delivered."""

    reason: str


@dataclass(frozen=True, slots=True)
class Noted:
    """The event goes on, and the note about it is journaled. It holds no value of the event's."""

    event: Event
    note: str


@dataclass(frozen=True, slots=True)
class Switch:
    """The event goes on in the named chain instead of this one's rest."""

    event: Event
    chain: str


@dataclass(frozen=True, slots=True)
class Through:
    """The event goes through the named chain, and then on with this one's rest."""

    event: Event
    chain: str


StepResult: TypeAlias = Event | Noted | Many | Stop | Switch | Through


def step_name(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


class Step(ABC):
    """Mixed into a pydantic model. `summary` is one line, for people who choose a step.

    `extras` names the extras of pyproject.toml that it may need; a bundle gets the `needs` of the steps it uses.
    `file_keys` are the settings that name a file beside the configuration: when that is compiled, the file's text takes
    the name's place, as `{"base64": …}` where it is not UTF-8. `{file: NAME}` does the same anywhere in the settings of
    any step.
    """

    summary: ClassVar[str]
    example: ClassVar[Example]
    extras: ClassVar[tuple[str, ...]] = ()
    file_keys: ClassVar[tuple[str, ...]] = ()

    def needs(self) -> tuple[str, ...]:
        """The extras that it needs with these settings."""
        return self.extras

    @classmethod
    def step_name(cls) -> str:
        return step_name(cls.__name__)

    def chains(self) -> tuple[str, ...]:
        """The names of the chains that it may answer with Switch or Through: no other is taken."""
        return ()

    @abstractmethod
    def apply(self, event: Event, context: StepContext) -> StepResult:
        """Pure: the event it is given stays as it was. Raises Permanent for what this event can never become."""


class AskingStep(Step):
    """A step that needs a secret's value, another system's answer or a memory: `ask` stands in for `apply`."""

    def apply(self, _: Event, __: StepContext) -> StepResult:
        raise TypeError(f"{self.step_name()} is asked, not applied")

    @abstractmethod
    async def ask(self, event: Event, context: StepContext, services: Services) -> StepResult:
        """Raises Permanent as `apply` does, and Temporary where the event should come again."""
