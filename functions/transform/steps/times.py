"""The step `parse_time`: read times in the formats of senders, and write them in one format."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Annotated, ClassVar, Final

from functions.transform import paths, step
from shared import errors, jsontext
from shared.config.rules import LISTED, limits, verified_by
from shared.event import Event
from shared.times import MILLISECONDS_FROM, rfc3339

_NAMED_FORMATS: Final = ("rfc3339", "unix", "unix_ms")
"""The output formats that have a name. Any other is a format of strftime."""
_OUTPUT_SCHEMA: Final[dict[str, object]] = {"anyOf": [{"enum": [*_NAMED_FORMATS]}, {"type": "string", "pattern": "%"}]}
"""The JSON Schema of the setting `to`."""
_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):?([0-5][0-9])")
_UNIX: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,9})?")


def _verify_zone(name: str) -> str:
    read_zone(name)
    return name


def _verify_format(form: str) -> str:
    """Return the format. Raises ValueError for one with which strptime would fail for every event."""
    # strptime compiles the format before it compares it with the text. So for an empty text it reports a bad format,
    # and for a good one that the text does not match, which is no fault here.
    try:
        datetime.strptime("", form)
    except re.error:  # strptime makes each part a group of a pattern, and a pattern has each group once
        raise ValueError(f"{form!r} has the same part of a time twice") from None
    except ValueError as error:
        if "directive in format" in str(error) or "stray %" in str(error):
            raise ValueError(f"{form!r} has a % that strptime does not know; write `%%` for a percent sign") from None
    return form


def _verify_output_format(form: str) -> str:
    if form not in _NAMED_FORMATS and "%" not in form:
        raise ValueError(f"must be rfc3339, unix, unix_ms, or a strftime format such as '%d %B %Y'; got {form!r}")
    return form


Zone = Annotated[str, verified_by(_verify_zone)]


class ParseTime(step.Settings, step.Step):
    """A path, a list of paths, or `{path, formats, zone, to, to_zone}`. A value that is not a time fails the step.

    path     one path, or a list, of texts or numbers. Null and missing values stay as they are
    formats  one or several strptime formats, such as `%d.%m.%Y %H:%M`, tried in their order (default: RFC 3339,
             ISO 8601, the format of mails, and Unix seconds or milliseconds)
    zone     the time zone of times without one, such as Europe/Berlin, UTC or +02:00 (default: such times fail)
    to       rfc3339 in UTC (default), unix, unix_ms, or a strftime format such as `%d %B %Y, %H:%M`
    to_zone  the time zone of a strftime format (default: UTC)
    """

    summary: ClassVar[str] = (
        "Read times in any usual format and write them as RFC 3339, Unix time or in another format."
    )
    example: ClassVar[step.Example] = step.Example(
        settings={"path": "data.at", "formats": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"},
        before={"at": "01.07.2026 14:30"},
        after={"at": "2026-07-01T12:30:00.000Z"},
    )

    short_form: ClassVar[str] = "path"
    short_form_lists: ClassVar[bool] = True

    path: Annotated[list[paths.DataPath], LISTED, limits(min_length=1)]
    formats: Annotated[Sequence[Annotated[str, verified_by(_verify_format)]], LISTED] = ()
    zone: Zone | None = None
    to: Annotated[str, verified_by(_verify_output_format), step.shown_as(_OUTPUT_SCHEMA)] = "rfc3339"
    to_zone: Zone = "UTC"

    def prepare(self) -> None:
        # Each value is rewritten in its own place: the path that is read is also the one that is written.
        self._changes = [(path, path, self._rewrite) for path in map(paths.parse_path, self.path)]
        self._formats = tuple(self.formats)
        self._zone = None if self.zone is None else read_zone(self.zone)
        self._to_zone = read_zone(self.to_zone)
        self._missing = paths.MissingPaths()

    def needs(self) -> tuple[str, ...]:
        """Return the extra with the time zone database, which some platforms lack."""
        are_fixed = all(isinstance(zone, timezone | None) for zone in (self._zone, self._to_zone))
        return () if are_fixed else ("zones",)

    def apply(self, event: Event, _: step.StepContext) -> Event | step.Noted:
        return self._missing.updated(event, self._changes, "nothing is rewritten there")

    def _rewrite(self, value: paths.MaybeJson, place: str) -> paths.MaybeJson:
        """Return the time in the format `to`. Raises Permanent (`invalid_time`)."""
        if value is None or isinstance(value, paths.Missing):
            return value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise errors.Permanent("invalid_time", f"{place} is {jsontext.kind_of(value)}, not a time")
        try:
            return self._write(read_time(str(value), self._formats, self._zone))
        except TimeFault as fault:
            raise errors.Permanent("invalid_time", f"{place} {fault}") from None
        # The time is in the calendar, but in the zone of the output it is not: it is before the year 1, or after 9999.
        except (ValueError, OverflowError):
            raise errors.Permanent("invalid_time", f"{place} is a time that cannot be written in this format") from None

    def _write(self, time: datetime) -> jsontext.Json:
        match self.to:
            case "rfc3339":
                return rfc3339(time.timestamp())
            case "unix":
                return int(time.timestamp())
            case "unix_ms":
                return int(time.timestamp() * 1000)
            case form:
                return time.astimezone(self._to_zone).strftime(form)


class TimeFault(ValueError):
    """A fault of a time's text. The message lacks its subject, which the caller adds: `has no zone; set `zone``."""


def read_zone(name: str) -> tzinfo:
    """Return the zone of `UTC`, `+02:00`, or a name such as `Europe/Berlin`. Raises ValueError."""
    if name in {"UTC", "Z"}:
        return UTC
    if match := _OFFSET.fullmatch(name):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    # Imported here, because it takes 5 ms, and few settings name a time zone.
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"there is no time zone {name!r}; write one such as Europe/Berlin, UTC or +02:00") from error


def read_time(text: str, formats: tuple[str, ...], zone: tzinfo | None) -> datetime:
    """Return the time that the text stands for, in UTC.

    `01.07.2026 14:30` by the format `%d.%m.%Y %H:%M` in the zone +02:00 is 2026-07-01 12:30 in UTC.

    `formats` are those of strptime. If there are none, the text may be RFC 3339, ISO 8601, the format of mails
    (RFC 5322), Unix seconds or Unix milliseconds. `zone` applies to a text that has no zone of its own. Raises
    TimeFault, also for a text without a zone if `zone` is None.
    """
    stripped = text.strip()
    try:
        time = _read_formats(stripped, formats) if formats else _read_usual(stripped)
        if time.tzinfo is None:
            if zone is None:
                raise TimeFault("has no zone; set `zone`")
            time = time.replace(tzinfo=zone)
        return time.astimezone(UTC)
    except TimeFault:
        raise
    except (ValueError, OverflowError, OSError) as error:
        raise TimeFault("is a time that is not in the calendar") from error


def _read_formats(text: str, formats: tuple[str, ...]) -> datetime:
    """Return the time that the first matching format reads. Its zone is None if the format has none.

    Raises TimeFault if no format matches.
    """
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise TimeFault("is in none of the formats")


def _read_usual(text: str) -> datetime:
    """Return the time of a text in one of the usual formats. Its zone is None if the text has none.

    Raises TimeFault for another format, and ValueError, OverflowError or OSError for a Unix time out of the calendar.
    """
    if _UNIX.fullmatch(text):
        number = float(text)
        seconds = number / 1000 if abs(number) >= MILLISECONDS_FROM else number
        return datetime.fromtimestamp(seconds, UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise TimeFault("is not a time in a known format; set `formats`") from error
