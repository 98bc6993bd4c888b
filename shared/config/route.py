"""A route: which events, through which steps, to which destinations."""

from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue

from shared.config.values import Model, listed


class RouteConfig(Model):
    """Which events, through which steps, to which destinations."""

    name: str = Field(min_length=1, max_length=100)
    from_: Annotated[list[str], BeforeValidator(listed)] = Field(default=["all"], alias="from", min_length=1)
    types: Annotated[list[str], BeforeValidator(listed)] = Field(default=[])
    where: str | None = None
    steps: list[dict[str, JsonValue]] = Field(default=[])
    to: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
