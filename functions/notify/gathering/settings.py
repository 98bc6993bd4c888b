"""The settings by which a destination gathers deliveries: coalescing, digests, quiet hours and a rate's overflow."""

from typing import Final, NamedTuple

from shared.jsontext import Json

LAST: Final = "last"
FIRST: Final = "first"
ALL: Final = "all"
DEFAULT_MAX_EVENTS: Final = 50
MAX_MESSAGE_BYTES: Final = 210_000
"""A larger delivery goes out by itself: the record of its group could not hold it."""


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


def read_gather_settings(written: Json, per: str | None = None) -> GatherSettings | None:
    """Return the settings as the compiler wrote them; None for none."""
    if not isinstance(written, dict):
        return None
    line, max_events = written.get("line"), written.get("max_events")
    return GatherSettings(
        coalesce=_coalesce(written.get("coalesce")),
        digest=_digest(written.get("digest")),
        quiet_hours=_quiet_hours(written.get("quiet_hours")),
        is_rated=written.get("is_rated") is True,
        per=per,
        line=line if isinstance(line, str) else None,
        max_events=max_events if isinstance(max_events, int) else DEFAULT_MAX_EVENTS,
        is_alerts=written.get("is_alerts") is True,
        keeps_all=written.get("keeps_all") is True,
    )


def _coalesce(written: Json) -> Coalesce | None:
    if not isinstance(written, dict):
        return None
    wait, longest = _number(written.get("wait_seconds")), _number(written.get("max_wait_seconds"))
    return Coalesce(str(written.get("by")), wait, longest, str(written.get("keep")))


def _digest(written: Json) -> Digest | None:
    if not isinstance(written, dict):
        return None
    by = written.get("by")
    return Digest(_number(written.get("every_seconds")), by if isinstance(by, str) else None)


def _quiet_hours(written: Json) -> QuietHours | None:
    if not isinstance(written, dict):
        return None
    zone = written.get("timezone")
    begin, end = _number(written.get("begin")), _number(written.get("end"))
    return QuietHours(int(begin), int(end), zone if isinstance(zone, str) else None)


def _number(written: Json) -> float:
    return float(written) if isinstance(written, int | float) else 0.0
