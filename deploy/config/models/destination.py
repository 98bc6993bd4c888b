"""A destination: the settings that are the same for every kind.

The settings of a kind have models of their own, in functions/notify/destinations/.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from deploy.config.models.gathering import CoalesceConfig, DigestConfig, QuietHoursConfig
from shared.config.rules import Name, Seconds, rate_of
from shared.config.values import Model
from shared.jsontext import Json
from shared.times import duration_text


def _verified_rate(value: object) -> object:
    rate_of(value)
    return value


RateText = Annotated[str, BeforeValidator(_verified_rate), Field(examples=["10/s", "100/m", "20/h"])]
InFlight = Annotated[int, Field(ge=1, le=1_000)]


class BreakerConfig(Model):
    """The circuit breaker of a destination.

    failures   the failed attempts in a row that open it: its deliveries wait
    pause      how long they wait before one of them is tried; it doubles each time that this fails
    max_pause  the longest pause
    """

    failures: Annotated[int, Field(ge=1, le=1_000)] = 5
    pause: Annotated[Seconds, Field(ge=1)] = 60.0
    max_pause: Annotated[Seconds, Field(ge=1)] = 3_600.0

    @model_validator(mode="after")
    def _pauses_grow(self) -> "BreakerConfig":
        if self.pause > self.max_pause:
            found = f"got pause {duration_text(self.pause)} and max_pause {duration_text(self.max_pause)}"
            raise ValueError(f"pause: must not exceed max_pause; {found}. Lower the first or raise the other")
        return self


def _as_breaker(value: object) -> object:
    """Return None for `off`, which YAML reads as false."""
    return None if value in (False, "off") else value


class DestinationConfig(BaseModel):
    """A destination. One key names its kind and has the settings of that kind; the others are the same for every kind.

    retry        the waits between attempts
    timeout      how long one attempt may take
    on_unknown   what follows an attempt that was sent and not answered: `resend` waits for minutes and sends again,
                 `hold` keeps the delivery until `hookchain release`
    expires_after  the event's age from which on it is not delivered any more: dead letter `expired`
    otherwise      another destination, which gets each event that ends as a dead letter here
    success_when   a JMESPath condition over `status`, `headers` and `body` that a 2xx must meet; for kinds that speak
                   HTTP
    breaker        `off`, or when failures in a row let its deliveries wait
    rate           how often an attempt may begin, over all instances
    in_flight      how many attempts may be under way, over all instances
    per            a JMESPath expression over the event: `rate` and `in_flight` apply to each key that it returns
    coalesce       a burst of events on one key becomes one delivery
    digest         events go out together, for mail and messages
    quiet_hours    nothing goes out at these times of the day, for mail and messages
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    retry: list[Seconds] | None = Field(default=None, max_length=50)
    timeout: Seconds = Field(15.0, ge=1, le=60)
    on_unknown: Literal["resend", "hold"] = "resend"
    expires_after: Annotated[Seconds, Field(ge=1)] | None = None
    otherwise: Name | None = None
    success_when: str | None = None
    breaker: Annotated[BreakerConfig | None, BeforeValidator(_as_breaker)] = BreakerConfig()
    rate: RateText | None = None
    in_flight: InFlight | None = None
    per: str | None = None
    coalesce: CoalesceConfig | None = None
    digest: DigestConfig | None = None
    quiet_hours: QuietHoursConfig | None = None

    @property
    def kinds(self) -> Mapping[str, Json]:
        return self.model_extra or {}

    @model_validator(mode="after")
    def _one_kind(self) -> "DestinationConfig":
        if len(self.kinds) != 1:
            found = ", ".join(sorted(self.kinds)) or "none"
            raise ValueError(f"must have one key that names its kind, such as `email`; got {found}")
        return self

    @model_validator(mode="after")
    def _per_has_a_cap(self) -> "DestinationConfig":
        if self.per is not None and self.rate is None and self.in_flight is None:
            raise ValueError("per: needs `rate` or `in_flight`; got neither. Add one, or remove `per`")
        return self

    @model_validator(mode="after")
    def _gathers_in_one_way(self) -> "DestinationConfig":
        if self.coalesce is not None and self.digest is not None:
            raise ValueError("digest: must not be combined with `coalesce`; got both. Remove one of them")
        return self
