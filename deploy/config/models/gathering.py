"""Options of a destination by which deliveries wait for others: `coalesce`, `digest` and `quiet_hours`."""

import re
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from functions.notify.digests.settings import DEFAULT_MAX_EVENTS
from functions.notify.kind_settings import LineTemplate
from shared.config.rules import Seconds
from shared.config.values import Model
from shared.times import duration_text

MAX_EVENTS: Final = 200
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def _time_of_day(value: object) -> object:
    """Return the time; YAML may read one without quotes as a number in base 60."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(f'must be a time of day from 00:00 to 23:59, such as "22:00"; got {value!r}')
    return value


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        rule = "must be the name of a time zone in the IANA database, such as Europe/Berlin or UTC"
        raise ValueError(f"{rule}; got {name!r}") from None
    return name


TimeOfDay = Annotated[str, BeforeValidator(_time_of_day), Field(examples=["22:00"])]
TimeZone = Annotated[str, AfterValidator(_timezone), Field(examples=["Europe/Berlin"])]


class CoalesceConfig(Model):
    """A burst of events on one key becomes one delivery.

    by        a JMESPath expression over the event for the key; an event without one is delivered by itself
    wait      how long no further event of the key may come
    max_wait  the longest time that a burst is waited for
    keep      `last` or `first` delivers that event, `all` the data of all of them
    """

    by: str
    wait: Annotated[Seconds, Field(ge=1, le=3_600)] = 30.0
    max_wait: Annotated[Seconds, Field(ge=1, le=86_400)] = 300.0
    keep: Literal["last", "first", "all"] = "last"

    @model_validator(mode="after")
    def _burst_can_end(self) -> "CoalesceConfig":
        if self.max_wait < self.wait:
            found = f"got wait {duration_text(self.wait)} and max_wait {duration_text(self.max_wait)}"
            raise ValueError(f"max_wait: must not be less than wait; {found}. Raise the first or lower the other")
        return self


class DigestConfig(Model):
    """Events go out together.

    every  the time from one digest to the next
    by     a JMESPath expression over the event: each key that it finds gets a digest of its own
    max    how many events a digest lists; it counts all of them
    line   a template for an event's line
    """

    every: Annotated[Seconds, Field(ge=1, le=7 * 86_400)] = 900.0
    by: str | None = None
    max: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = DEFAULT_MAX_EVENTS
    line: LineTemplate | None = None


class QuietHoursConfig(Model):
    """Nothing goes out between two times of the day; what comes meanwhile goes out together at their end.

    tz  the time zone; default: the recipient's, or UTC
    """

    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay
    tz: TimeZone | None = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> "QuietHoursConfig":
        if minute_of(self.from_) == minute_of(self.to):
            rule = f"to: must be another time than from; got {self.to!r} for both"
            raise ValueError(f"{rule}. Choose an end, or remove quiet_hours")
        return self


def minute_of(time: str) -> int:
    """Return the minute of the day of a time that is valid."""
    hour, _, minute = time.partition(":")
    return int(hour) * 60 + int(minute)
