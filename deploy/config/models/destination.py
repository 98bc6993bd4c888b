"""A destination's rate as it is written: so many deliveries in a second, a minute, an hour or a day."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from shared.config.rules import rate_of


def _verified(value: object) -> object:
    rate_of(value)
    return value


RateText = Annotated[str, BeforeValidator(_verified), Field(examples=["10/s", "100/m", "20/h"])]
InFlight = Annotated[int, Field(ge=1, le=1_000)]
