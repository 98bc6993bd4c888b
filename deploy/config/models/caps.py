"""A destination's rate as it is written: so many deliveries in a second, a minute, an hour or a day."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

MAX_COUNT: Final = 10_000
_RATE: Final = re.compile(r"\s*([1-9][0-9]{0,4})\s*/\s*(s|m|h|d)\s*")
_UNIT_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def _verified(value: object) -> object:
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found[1]) > MAX_COUNT:
        raise ValueError(
            f"must be a number of deliveries from 1 to {MAX_COUNT} and the time for them, such as 10/s, 100/m, 20/h or "
            f"500/d; got {value!r}"
        )
    return value


RateText = Annotated[str, BeforeValidator(_verified), Field(examples=["10/s", "100/m", "20/h"])]
InFlight = Annotated[int, Field(ge=1, le=1_000)]


def rate_of(text: str) -> tuple[int, float]:
    """Return the deliveries and the seconds of a rate that is valid."""
    found = _RATE.fullmatch(text)
    assert found
    return int(found[1]), _UNIT_SECONDS[found[2]]
