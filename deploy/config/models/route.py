"""A route and its steps."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue

from shared.config.rules import listed
from shared.config.values import Model


def as_steps(value: object) -> object:
    """Return the steps. The name of a chain is short for the step `chain`."""
    return [{"chain": value}] if isinstance(value, str) else value


StepConfig = dict[str, JsonValue]
StepsConfig = Annotated[list[StepConfig], BeforeValidator(as_steps)]


class RouteConfig(Model):
    """A route: which events go through which steps to which destinations.

    from      names of sources, or `all`
    types     patterns of event types; default: every type
    where     a JMESPath condition over the event
    else      take only events that no other route takes
    on_error  what happens to an event that a step can never process: `dead_letter` keeps it, `continue` passes it on as
              it was before the step, `drop` discards it with an entry in the journal
    to        names of destinations
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
