"""A route: which events, through which steps, to which destinations."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue

from shared.config.values import Model, listed


def as_steps(value: object) -> object:
    """The name of a chain stands for going through it."""
    return [{"chain": value}] if isinstance(value, str) else value


StepConfig = dict[str, JsonValue]
StepsConfig = Annotated[list[StepConfig], BeforeValidator(as_steps)]


class RouteConfig(Model):
    """Which events, through which steps, to which destinations.

    `else`: of those, the ones that no other route takes. `on_error` says what becomes of an event that a step can never
    take: given up on and kept, gone on with as it was before that step, or dropped with a word in the journal.
    """

    name: str = Field(min_length=1, max_length=100)
    from_: Annotated[list[str], BeforeValidator(listed)] = Field(default=["all"], alias="from", min_length=1)
    types: Annotated[list[str], BeforeValidator(listed)] = Field(default=[], min_length=1)
    where: str | None = None
    else_: bool = Field(default=False, alias="else")
    enabled: bool = True
    on_error: Literal["dead_letter", "continue", "drop"] = "dead_letter"
    steps: StepsConfig = Field(default=[])
    to: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
