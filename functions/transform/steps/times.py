"""Times: read as senders write them, written as one."""

import re
from datetime import datetime, tzinfo
from typing import Annotated, ClassVar, Final
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    WithJsonSchema,
)

from functions.transform.expressions import kind_of
from functions.transform.fields import ReadPath
from functions.transform.paths import Path, parse_path
from functions.transform.step import Example, Step, StepContext
from functions.transform.times_read import TimeFault, time_of, zone_of
from functions.transform.updates import Missing, Place, update
from shared.config.values import listed
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json
from shared.times import rfc3339


def _zone(name: str) -> str:
    zone_of(name)
    return name


def _path(settings: object) -> object:
    return {"path": settings} if isinstance(settings, str | list) else settings


def _readable(form: str) -> str:
    """What strptime would refuse for its form alone, with every event; that a text is none of its times is no fault."""
    try:
        datetime.strptime("", form)
    except re.error:
        raise ValueError(f"{form!r} says a part of a time twice") from None
    except ValueError as error:
        if "directive in format" in str(error) or "stray %" in str(error):
            raise ValueError(f"{form!r} has a % before no letter of strptime's; `%%` is a % itself") from None
    return form


def _written_as(form: str) -> str:
    if form not in _NAMED and "%" not in form:
        raise ValueError(f"write rfc3339, unix or unix_ms, or a form of strftime's such as '%d %B %Y'; found {form!r}")
    return form


_NAMED: Final = ("rfc3339", "unix", "unix_ms")
_WRITTEN: Final[dict[str, object]] = {"anyOf": [{"enum": [*_NAMED]}, {"type": "string", "pattern": "%"}]}
Zone = Annotated[str, AfterValidator(_zone)]


class ParseTimeSettings(BaseModel):
    """
    path     one, or several, whose texts or numbers are made times where they are; null, and nothing, stay so
    formats  as strptime has them (`%d.%m.%Y %H:%M`), tried in their order; default: RFC 3339, ISO 8601, the form of
             mails, and Unix seconds or milliseconds
    zone     of times that say none: Europe/Berlin, UTC, +02:00
    to       rfc3339 (UTC), unix or unix_ms; or a form of strftime's (`%d %B %Y, %H:%M`), shown in `to_zone`
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[list[ReadPath], BeforeValidator(listed), Field(min_length=1)]
    formats: Annotated[list[Annotated[str, AfterValidator(_readable)]], BeforeValidator(listed)] = Field(default=[])
    zone: Zone | None = None
    to: Annotated[str, AfterValidator(_written_as), WithJsonSchema(_WRITTEN)] = "rfc3339"
    to_zone: Zone = "UTC"


class ParseTime(
    RootModel[
        Annotated[ParseTimeSettings, BeforeValidator(_path, json_schema_input_type=str | list[str] | ParseTimeSettings)]
    ],
    Step,
):
    """A path, a list of paths, or {path, formats, zone, to, to_zone}."""

    summary: ClassVar[str] = "Read times in any usual form and write them as RFC 3339, Unix time or as you say."
    example: ClassVar[Example] = Example(
        settings={"path": "data.at", "formats": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"},
        before={"at": "01.07.2026 14:30"},
        after={"at": "2026-07-01T12:30:00.000Z"},
    )
    model_config = ConfigDict(frozen=True)
    _paths: list[Path] = PrivateAttr()
    _formats: tuple[str, ...] = PrivateAttr()
    _zone: tzinfo | None = PrivateAttr()
    _to_zone: tzinfo = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._paths = [parse_path(text) for text in self.root.path]
        self._formats = tuple(self.root.formats)
        self._zone = None if self.root.zone is None else zone_of(self.root.zone)
        self._to_zone = zone_of(self.root.to_zone)

    def needs(self) -> tuple[str, ...]:
        """The names of zones come with the system, which some platforms have without them."""
        named = isinstance(self._zone, ZoneInfo) or isinstance(self._to_zone, ZoneInfo)
        return ("zones",) if named else ()

    def apply(self, event: Event, _: StepContext) -> Event:
        for path in self._paths:
            event = update(event, path, self._written)
        return event

    def _written(self, value: Place, place: str) -> Place:
        if value is None or isinstance(value, Missing):
            return value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Permanent("time", f"{place} is {kind_of(value)}, not a time")
        try:
            return self._as(time_of(str(value), self._formats, self._zone))
        except TimeFault as fault:
            raise Permanent("time", f"{place} {fault}") from None
        except (ValueError, OverflowError):  # midnight of the first year is before it elsewhere
            raise Permanent("time", f"{place} is a time that cannot be written so") from None

    def _as(self, time: datetime) -> Json:
        match self.root.to:
            case "rfc3339":
                return rfc3339(time.timestamp())
            case "unix":
                return int(time.timestamp())
            case "unix_ms":
                return int(time.timestamp() * 1000)
            case form:
                return time.astimezone(self._to_zone).strftime(form)
