"""What a step is: a pydantic model of its settings, which takes an event and answers the event after it.

A family is one module of `functions.transform.steps`, and each model in it that is a Step is found and named by its
class: `Drop` is the step `drop`. A step that needs a heavy library imports it where it is used.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from shared.event import Event
from shared.jsontext import Json


@dataclass(frozen=True, slots=True)
class Example:
    """What a step does, shown; run as a test. `attributes` are the event's own, such as `type`, after the step."""

    settings: Json
    before: Json
    after: Json
    attributes: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepContext:
    """`original` is the event as it entered the route.

    It can come again, and its steps must answer the same: what a step needs of chance and of time it takes from the
    original's `id` and `receivedat`.
    """

    original: Event


class Step(ABC):
    """Mixed into a pydantic model. `summary` is one line, for people who choose a step."""

    summary: ClassVar[str]
    example: ClassVar[Example]

    @classmethod
    def step_name(cls) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @abstractmethod
    def apply(self, event: Event, context: StepContext) -> Event:
        """Pure: the event it is given stays as it was. Raises Permanent for what this event can never become."""
