"""The settings by which a destination gathers deliveries: the group of each delivery, and until when it waits. Pure.

Deliveries are in one group if they have the same destination, the same key of the event, and the same recipient. A
group is sent at the time of the next digest, after a burst, or at the end of quiet hours.
"""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from functions.notify.bounded_texts import compiled_expression
from shared import errors, jsontext
from shared.delivery import Delivery
from shared.event import Event, view_of

FIRST: Final = "first"
LAST: Final = "last"
ALL: Final = "all"
"""The values of `keep`."""
ALERTS: Final = "alerts"
"""The beginning of the names of groups of Hookchain's own alerts. All other names are hexadecimal."""
DEFAULT_MAX_EVENTS: Final = 50
MAX_MESSAGE_BYTES: Final = 210_000
"""A larger delivery is sent by itself, because the record of its group would not have room for it."""
MAX_KEY_CHARACTERS: Final = 200
"""The length of a key in a digest."""
SPREAD_SECONDS: Final = 5.0
"""The members of a group become due within this time, and not all at once: a sweep reads due rows page by page in the
order of their times, so many rows with the same time would be read again for each page."""
SPREAD_SHARE: Final = 1 / 6
"""The spread takes at most this share of a digest's `every`, or of a burst's `wait`."""
DAY_MINUTES: Final = 24 * 60


class Coalesce(NamedTuple):
    """The settings by which a burst of events with the same key becomes one delivery.

    by                the JMESPath expression for the key; an event without a key is delivered by itself
    wait_seconds      a burst ends when no further event has come for this time
    max_wait_seconds  the longest time that a burst takes
    keep              which of its events are delivered: `last`, `first` or `all`
    """

    by: str
    wait_seconds: float
    max_wait_seconds: float
    keep: str


class Digest(NamedTuple):
    """The settings of digests: one at each multiple of `every_seconds` of Unix time, for each key that `by` finds.

    Without `by`, all events are in one digest.
    """

    every_seconds: float
    by: str | None


class QuietHours(NamedTuple):
    """The time of the day in which nothing is sent: from `begin` to `end`, in minutes since midnight.

    It is a time in `timezone`; if this is None, in the recipient's time zone, or in UTC if that is unknown.
    """

    begin: int
    end: int
    timezone: str | None


class GatherSettings(NamedTuple):
    """The settings by which the deliveries of a destination wait for others. Not both `coalesce` and `digest` are set.

    is_rated    deliveries over the destination's `rate` wait for a digest
    per         the JMESPath expression for the key that the rate applies to
    line        the template of an event's line in a digest; None: its subject, its actor or its first fields
    max_events  the number of events that a digest lists
    is_alerts   these are the settings for Hookchain's own alerts, which have their own groups and a fixed line
    keeps_all   the gathered delivery has the data of all events, because the destination's kind has no digests
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
        """Return the JMESPath expression for the key by which deliveries are grouped; None if there is none."""
        if self.coalesce is not None:
            return self.coalesce.by
        return self.digest.by if self.digest is not None else None

    @property
    def spread_seconds(self) -> float:
        """Return the spread: all members of a group are due within so many seconds after `gathered_until`."""
        if self.coalesce is not None:
            return min(SPREAD_SECONDS, self.coalesce.wait_seconds * SPREAD_SHARE)
        if self.digest is not None:
            return min(SPREAD_SECONDS, self.digest.every_seconds * SPREAD_SHARE)
        return SPREAD_SECONDS

    def key(self, event: Event) -> str | None:
        """Return the key by which the event is grouped, as text; None if there is no `by`, or if it finds no key."""
        return _text_at(self.by, event)


def read_gather_settings(written: jsontext.JsonObject, per: str | None = None) -> GatherSettings:
    """Return the settings that the compiler wrote. Raises TypeError if they have another form."""
    sections = {"coalesce": Coalesce, "digest": Digest, "quiet_hours": QuietHours}
    fields: dict[str, object] = {}
    for name, value in written.items():
        section = sections.get(name)
        fields[name] = section(**cast("jsontext.JsonObject", value)) if section else value
    return GatherSettings(per=per, **fields)  # type: ignore[arg-type]


def gathered_until(settings: GatherSettings, now: float, timezone: str | None = None) -> float | None:
    """Return the time until which a delivery that comes now waits; None if it need not wait.

    `timezone` is the recipient's, a name of the IANA database.
    """
    until: float | None = None
    if settings.digest is not None:
        every = settings.digest.every_seconds
        until = (now // every + 1) * every  # the next multiple: a delivery at a multiple waits for the next one
    elif settings.coalesce is not None:
        until = now + settings.coalesce.wait_seconds
    if settings.quiet_hours is not None:
        until = quiet_end(settings.quiet_hours, now if until is None else until, timezone) or until
    return until


def spread_of(settings: GatherSettings, key: str) -> float:
    """Return the part of the spread that one delivery waits. It depends on the delivery's key alone."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64  # from 0 to 1
    return settings.spread_seconds * share


def quiet_end(hours: QuietHours, now: float, timezone: str | None = None) -> float | None:
    """Return the end of the quiet hours that apply now, in Unix seconds; None if no quiet hours apply.

    They follow local time. If the clock is set forward over their end, they end at that moment. If it is set back, they
    last an hour longer, and begin again if it shows a time within them again.
    """
    zone = zone_of(hours.timezone or timezone)
    if not _is_quiet(hours, now, zone):
        return None
    end = now
    while _is_quiet(hours, end, zone):
        usual_end = end + _seconds_to_end(hours, end, zone)
        end = _clock_change(end, usual_end, zone) or usual_end  # after a change of the clock, look again
    return end


def _clock_change(begin: float, end: float, zone: ZoneInfo) -> float | None:
    """Return when the clock of the zone is set forward or back between `begin` and `end`; None if it is not.

    The moment is found by halving the time from `begin` to `end`.
    """
    offset = datetime.fromtimestamp(begin, zone).utcoffset()
    if datetime.fromtimestamp(end, zone).utcoffset() == offset:
        return None
    while end - begin > 0.5:  # a clock changes at a whole second
        middle = (begin + end) / 2
        is_changed = datetime.fromtimestamp(middle, zone).utcoffset() != offset
        begin, end = (begin, middle) if is_changed else (middle, end)
    return float(round(end))


def _is_quiet(hours: QuietHours, now: float, zone: ZoneInfo) -> bool:
    local_time = datetime.fromtimestamp(now, zone)
    minute = local_time.hour * 60 + local_time.minute
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end  # they last over midnight


def _seconds_to_end(hours: QuietHours, now: float, zone: ZoneInfo) -> float:
    """Return the time to the next end of the quiet hours, more than 0, if the clock of the zone does not change."""
    local_time = datetime.fromtimestamp(now, zone)
    minutes_left = (hours.end - local_time.hour * 60 - local_time.minute) % DAY_MINUTES or DAY_MINUTES
    return minutes_left * 60 - local_time.second - local_time.microsecond / 1e6


@lru_cache(maxsize=1_000)
def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone. Return UTC without a name, and if this system does not have that zone."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def group_of(settings: GatherSettings, delivery: Delivery, person: str | None = None) -> str:
    """Return the name of the delivery's group. `person` is the recipient's name.

    It is a hash, because keys and names may be long, and may be personal data.
    """
    keys: list[jsontext.Json] = [_text_at(expression, delivery.event) for expression in (settings.by, settings.per)]
    name = hashlib.sha256(jsontext.texts_json([delivery.destination, *keys, person or ""])).hexdigest()
    return f"{ALERTS if settings.is_alerts else ''}{name}"[:32]


def _text_at(expression: str | None, event: Event) -> str | None:
    """Return the value that the expression finds, as text; None if it is empty, or no text, number or boolean."""
    if expression is None:
        return None
    try:
        value = compiled_expression(expression).search(view_of(event))
    except errors.Permanent:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        return None
    return str(value).encode("utf-8", "replace").decode() or None
