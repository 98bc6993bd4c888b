"""Options of a destination by which deliveries wait for others: `coalesce`, `digest` and `quiet_hours`."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from deploy.config.config_file import ConfigFile, DocumentPath, Fault
from deploy.config.model_faults import expression_faults, fault_at, names_in, unknown_names
from deploy.config.sections.kinds import KindFault, destination_kinds, speaks_http
from functions.notify.digests.settings import DEFAULT_MAX_EVENTS
from functions.notify.kind_settings import LineTemplate
from functions.notify.success_when import SuccessCondition
from shared.config.rules import Name, Seconds, rate_of
from shared.config.values import Model
from shared.expressions import ExpressionFault
from shared.jsontext import Json, JsonObject
from shared.templating.template import TemplateFault, is_template, one_line_template
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


def option_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    destinations = document.get("destinations")
    for name, settings in destinations.items() if isinstance(destinations, dict) else ():
        if isinstance(settings, dict):
            at: DocumentPath = ("destinations", name)
            yield from _otherwise_faults(file, document, name, settings.get("otherwise"))
            yield from _success_faults(file, (*at, "success_when"), settings)
            yield from expression_faults(file, (*at, "per"), settings.get("per"))
            for option in ("coalesce", "digest"):
                written = settings.get(option)
                if isinstance(written, dict):
                    yield from expression_faults(file, (*at, option, "by"), written.get("by"))


def _otherwise_faults(file: ConfigFile, document: JsonObject, name: str, otherwise: Json) -> Iterator[Fault]:
    at: DocumentPath = ("destinations", name, "otherwise")
    yield from unknown_names(file, at, otherwise, names_in(document, "destinations"), "destination")
    path = _path_from(document, name)
    if len(path) > 1 and path[-1] == name:
        yield fault_at(file, at, f"must not lead back to {name!r}; got {' → '.join(path)}. Take one of them out")


def _path_from(document: JsonObject, name: str) -> list[str]:
    """Return the destinations that get what the ones before do not, up to the first that is there already."""
    destinations = document.get("destinations")
    path = [name]
    while isinstance(destinations, dict):
        settings = destinations.get(path[-1])
        following = settings.get("otherwise") if isinstance(settings, dict) else None
        if not isinstance(following, str):
            break
        path.append(following)
        if following in path[:-1]:
            break
    return path


def _success_faults(file: ConfigFile, at: DocumentPath, settings: JsonObject) -> Iterator[Fault]:
    condition = settings.get("success_when")
    if not isinstance(condition, str):
        return
    try:
        SuccessCondition(condition)
    except ExpressionFault as fault:
        yield fault_at(file, at, f"must be a JMESPath expression over the response; got {condition!r}: {fault}")
    for kind in settings.keys() & set(destination_kinds()):
        try:
            if not speaks_http(kind):
                yield fault_at(file, at, f"must be a condition over an HTTP response, which {kind!r} does not get")
        except KindFault:
            return  # the kind has a fault of its own


FOR_PEOPLE = ("digest", "quiet_hours")


def gathering_faults(
    file: ConfigFile, destinations: Mapping[str, DestinationConfig], settings: Mapping[str, BaseModel]
) -> Iterator[Fault]:
    """Yield options that do not fit their destination. `settings` are those of each destination without faults."""
    for name in settings:
        yield from _misplaced(file, ("destinations", name), destinations[name], settings[name])


def _misplaced(
    file: ConfigFile, at: DocumentPath, destination: DestinationConfig, settings: BaseModel
) -> Iterator[Fault]:
    [kind] = destination.kinds
    options = [option for option in FOR_PEOPLE if getattr(destination, option) is not None]
    for option in options:
        if not can_digest(type(settings)):
            rule = f"needs a kind that can deliver a digest, such as `email` or `slack`; got `{kind}`"
            act = "Remove it" if kind == "subscribers" else "Remove it, or use `coalesce`"
            yield fault_at(file, (*at, option), f"{rule}. {act}")
        elif named := event_recipients(settings):
            rule = f"must not be combined with recipients that each event names; got a template in `{named[0]}`"
            act = "Write the recipients out, or name them by `people`"
            yield fault_at(file, (*at, option), f"{rule}: the events of a digest may name several. {act}")
    yield from _expired(file, at, destination)


def _expired(file: ConfigFile, at: DocumentPath, destination: DestinationConfig) -> Iterator[Fault]:
    expiry = destination.expires_after
    waits = {
        "digest.every": destination.digest.every if destination.digest else 0.0,
        "coalesce.max_wait": destination.coalesce.max_wait if destination.coalesce else 0.0,
    }
    for option, wait in waits.items():
        if expiry is not None and 0 < expiry <= wait:
            found = f"got expires_after {duration_text(expiry)} and {option} {duration_text(wait)}"
            rule = f"must be longer than {option}, or events expire while they wait; {found}"
            yield fault_at(file, (*at, "expires_after"), f"{rule}. Raise the first or lower the other")


LINES = ("subject", "title", "text")
"""The settings of kinds whose first line serves as an event's line in a digest, in the order of preference."""
RECIPIENTS = ("to", "cc", "bcc", "topic", "token", "fid", "channel", "urls")
"""The settings of kinds that say who gets a message."""


def gather_settings(destination: DestinationConfig, settings: BaseModel) -> Json:
    """Return the settings as notify reads them; None for a destination that does not gather."""
    is_rated = destination.rate is not None and can_digest(type(settings)) and not event_recipients(settings)
    if not (destination.coalesce or destination.digest or destination.quiet_hours or is_rated):
        return None
    written: JsonObject = {
        "coalesce": _coalesce(destination.coalesce),
        "digest": _digest(destination.digest),
        "quiet_hours": quiet_hours(destination.quiet_hours),
        "is_rated": is_rated or None,
        "line": destination.digest.line if destination.digest and destination.digest.line else own_line(settings),
        "max_events": destination.digest.max if destination.digest else DEFAULT_MAX_EVENTS,
    }
    return {name: value for name, value in written.items() if value is not None}


def can_digest(model: type[BaseModel]) -> bool:
    """Return whether the kind can deliver a digest: it declares `digests`, as those for people do."""
    return getattr(model, "digests", False) is True


def event_recipients(settings: BaseModel) -> list[str]:
    """Return the settings by which an event names its recipients: the events of one digest might name several."""
    found: list[str] = []
    for name in RECIPIENTS:
        value = getattr(settings, name, None)
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(text, str) and is_template(text) for text in texts):
            found.append(name)
    return found


def own_line(settings: BaseModel) -> str | None:
    """Return the first line of the kind's own text, where the operator wrote one and it is a template by itself."""
    for name in LINES:
        text = getattr(settings, name, None)
        if name in settings.model_fields_set and isinstance(text, str) and (line := text.strip().partition("\n")[0]):
            try:
                one_line_template("line", line)
            except TemplateFault:
                continue
            return line
    return None


def _coalesce(config: CoalesceConfig | None) -> Json:
    if config is None:
        return None
    return {
        "by": config.by,
        "wait_seconds": config.wait,
        "max_wait_seconds": config.max_wait,
        "keep": config.keep,
    }


def _digest(config: DigestConfig | None) -> Json:
    return None if config is None else {"every_seconds": config.every, "by": config.by}


def quiet_hours(config: QuietHoursConfig | None) -> Json:
    if config is None:
        return None
    return {"begin": minute_of(config.from_), "end": minute_of(config.to), "timezone": config.tz}
