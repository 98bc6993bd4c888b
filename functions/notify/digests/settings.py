"""The gathering of deliveries by a destination's settings: the group of each, and the time until which it waits. Pure.

A group is the destination, the key of the event, and the recipient. What waits in a group may go out at the next
digest, after a burst, or at the end of quiet hours.
"""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from functions.notify.bounded_texts import compiled_expression
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.jsontext import Json, JsonObject, texts_json

FIRST: Final = "first"
ALL: Final = "all"
ALERTS: Final = "alerts"
"""How the names of groups of Hookchain's own alerts begin. All other names are hexadecimal."""
DEFAULT_MAX_EVENTS: Final = 50
MAX_MESSAGE_BYTES: Final = 210_000
"""A larger delivery goes out by itself: the record of its group could not hold it."""
MAX_KEY_CHARACTERS: Final = 200
"""Of a key as a digest shows it."""
SPREAD_SECONDS: Final = 5.0
"""The span over which the due times of a group's members are spread, because a sweep reads them page by page by their
time."""
SPREAD_SHARE: Final = 1 / 6
"""The longest part of a digest's `every` and a burst's `wait` that the spread takes."""
DAY_MINUTES: Final = 24 * 60


class Coalesce(NamedTuple):
    """A burst on one key becomes one delivery.

    by                the JMESPath expression for the key; an event without one is delivered by itself
    wait_seconds      the pause that ends a burst
    max_wait_seconds  the longest time that a burst takes
    keep              `last` or `first` of its events, or `all`
    """

    by: str
    wait_seconds: float
    max_wait_seconds: float
    keep: str


class Digest(NamedTuple):
    """A digest at each multiple of `every_seconds` of Unix time, for each key that `by` finds; None: one for all."""

    every_seconds: float
    by: str | None


class QuietHours(NamedTuple):
    """Nothing goes out from `begin` to `end`, in minutes of the day. `timezone` None: the recipient's, or UTC."""

    begin: int
    end: int
    timezone: str | None


class GatherSettings(NamedTuple):
    """The reasons for which deliveries wait for others. At most one of `coalesce` and `digest` is there.

    is_rated    what is over the destination's `rate` waits in a digest
    per         the JMESPath expression for the key that the rate applies to
    line        the template of an event's line in a digest; None: its subject, its actor or its first fields
    max_events  the events that a digest lists
    is_alerts   for Hookchain's own alerts, which have groups of their own, and lines of our making
    keeps_all   what goes out together is the data of all of them, for a kind that has no digests
    """

    coalesce: Coalesce | None = None
    digest: Digest | None = None
    quiet_hours: QuietHours | None = None
    is_rated: bool = False
    per: str | None = None
    line: str | None = None
    max_events: int = DEFAULT_MAX_EVENTS
    is_alerts: bool = False
    keeps_all: bool = False

    @property
    def keep(self) -> str:
        """Return `last`, `first` or `all`; empty for a digest."""
        if self.coalesce is not None:
            return self.coalesce.keep
        return ALL if self.keeps_all else ""

    @property
    def by(self) -> str | None:
        if self.coalesce is not None:
            return self.coalesce.by
        return self.digest.by if self.digest is not None else None


def read_gather_settings(written: JsonObject, per: str | None = None) -> GatherSettings:
    """Return the settings as the compiler wrote them. Raises TypeError for others."""
    sections = {"coalesce": Coalesce, "digest": Digest, "quiet_hours": QuietHours}
    read = {
        name: sections[name](**cast("JsonObject", value)) if name in sections else value
        for name, value in written.items()
    }
    return GatherSettings(per=per, **read)  # type: ignore[arg-type]


def gathered_until(settings: GatherSettings, now: float, timezone: str | None = None) -> float | None:
    """Return the time until which a delivery that comes now waits; None if it need not wait.

    `timezone` is the recipient's, a name of the IANA database.
    """
    until: float | None = None
    if settings.digest is not None:
        every = settings.digest.every_seconds
        until = (now // every + 1) * every
    elif settings.coalesce is not None:
        until = now + settings.coalesce.wait_seconds
    if settings.quiet_hours is not None:
        until = quiet_end(settings.quiet_hours, now if until is None else until, timezone) or until
    return until


def spread_seconds(settings: GatherSettings) -> float:
    """Return within how long after `gathered_until` all members of a group are due."""
    if settings.coalesce is not None:
        return min(SPREAD_SECONDS, settings.coalesce.wait_seconds * SPREAD_SHARE)
    return min(SPREAD_SECONDS, settings.digest.every_seconds * SPREAD_SHARE) if settings.digest else SPREAD_SECONDS


def spread_of(settings: GatherSettings, key: str) -> float:
    """Return the part of the spread that the delivery waits: the same each time, and seldom another's."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return spread_seconds(settings) * share


def quiet_end(hours: QuietHours, now: float, timezone: str | None = None) -> float | None:
    """Return the end of the quiet hours that apply now; None if none do.

    The clock on the wall counts: where it is set forward over the end, they end at that moment; where it is set back,
    they last an hour longer, and begin again if it shows a time within them again.
    """
    zone = zone_of(hours.timezone or timezone)
    if not _is_quiet(hours, now, zone):
        return None
    end = now
    while _is_quiet(hours, end, zone):
        wall_end = end + _seconds_to_end(hours, end, zone)
        end = _clock_change(end, wall_end, zone) or wall_end
    return end


def _clock_change(begin: float, end: float, zone: ZoneInfo) -> float | None:
    """Return when the clock of the zone is set forward or back on the way to `end`; None if it is not."""
    offset = datetime.fromtimestamp(begin, zone).utcoffset()
    if datetime.fromtimestamp(end, zone).utcoffset() == offset:
        return None
    while end - begin > 0.5:
        middle = (begin + end) / 2
        is_changed = datetime.fromtimestamp(middle, zone).utcoffset() != offset
        begin, end = (begin, middle) if is_changed else (middle, end)
    return float(round(end))


def _is_quiet(hours: QuietHours, now: float, zone: ZoneInfo) -> bool:
    minute = _wall_minute(now, zone)
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end


def _wall_minute(now: float, zone: ZoneInfo) -> int:
    wall = datetime.fromtimestamp(now, zone)
    return wall.hour * 60 + wall.minute


def _seconds_to_end(hours: QuietHours, now: float, zone: ZoneInfo) -> float:
    wall = datetime.fromtimestamp(now, zone)
    minutes = (hours.end - wall.hour * 60 - wall.minute) % DAY_MINUTES or DAY_MINUTES
    return minutes * 60 - wall.second - wall.microsecond / 1e6


@lru_cache(maxsize=1_000)
def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone; UTC for none, and for one that this system does not know: people may come from a file."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def group_of(settings: GatherSettings, delivery: Delivery, person: str | None = None) -> str:
    """Return the group: a hash, because keys and names may be long, or somebody's. `person` is the recipient's name."""
    keys: list[Json] = [key_of(expression, delivery.event) for expression in (settings.by, settings.per)]
    name = hashlib.sha256(texts_json([delivery.destination, *keys, person or ""])).hexdigest()
    return f"{ALERTS if settings.is_alerts else ''}{name}"[:32]


def key_of(expression: str | None, event: Event) -> str | None:
    """Return what the expression finds, as text; None for a value that is neither text, a number nor a boolean."""
    if expression is None:
        return None
    try:
        found = compiled_expression(expression).search(view_of(event))
    except Permanent:
        return None
    if isinstance(found, bool):
        return str(found).lower()
    return _surrogates_replaced(str(found)) if isinstance(found, str | int | float) else None


def _surrogates_replaced(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
