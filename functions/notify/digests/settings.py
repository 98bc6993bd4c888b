"""The settings by which a destination gathers deliveries: the group of each delivery, and until when it waits. Pure.

Deliveries are in one group if they have the same destination, the same key of the event, and the same recipient. A
group is sent at the time of the next digest, after a burst, or at the end of quiet hours.
"""

import hashlib
from typing import Final, NamedTuple, cast

from functions.notify.bounded_texts import compiled_expression
from functions.notify.digests.quiet_hours import QuietHours, quiet_end
from shared import errors, jsontext
from shared.delivery import Delivery
from shared.event import Event, view_of

FIRST: Final = "first"
LAST: Final = "last"
ALL: Final = "all"
"""FIRST, LAST and ALL are the values of `keep`."""
ALERTS: Final = "alerts"
"""The beginning of the names of groups of Hookchain's own alerts. All other names are hexadecimal."""
GROUP_NAME_CHARACTERS: Final = 32
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
        """Return which events of a group are delivered with their data: `last`, `first` or `all`.

        Return an empty text if the group becomes a digest, which lists its events.
        """
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
        """Return the longest `spread_delay` of a delivery; see SPREAD_SECONDS."""
        if self.coalesce is not None:
            return min(SPREAD_SECONDS, self.coalesce.wait_seconds * SPREAD_SHARE)
        if self.digest is not None:
            return min(SPREAD_SECONDS, self.digest.every_seconds * SPREAD_SHARE)
        return SPREAD_SECONDS

    def key(self, event: Event) -> str | None:
        """Return the key by which the event is grouped, as text; None if there is no `by`, or if it finds no key."""
        return _text_at(self.by, event)


def read_gather_settings(written: jsontext.JsonObject, per: str | None = None) -> GatherSettings:
    """Return the settings that the compiler wrote. Raises TypeError if they have another form.

    `per` is separate, because it is written in the destination's `rate`.
    """
    sections = {"coalesce": Coalesce, "digest": Digest, "quiet_hours": QuietHours}
    fields: dict[str, object] = {}
    for name, value in written.items():
        section = sections.get(name)
        fields[name] = section(**cast("jsontext.JsonObject", value)) if section else value
    return GatherSettings(per=per, **fields)  # type: ignore[arg-type]


def gathered_until(settings: GatherSettings, now: float, timezone: str | None = None) -> float | None:
    """Return the time until which a delivery that comes now waits; None if it need not wait.

    `timezone` is the recipient's, a name of the IANA database. Whether a delivery is over the rate (`is_rated`) is not
    known here: see `arrival.wait_over_rate`.
    """
    until: float | None = None
    if settings.digest is not None:
        every = settings.digest.every_seconds
        until = (now // every + 1) * every  # the next multiple: a delivery at a multiple waits for the next one
    elif settings.coalesce is not None:
        until = now + settings.coalesce.wait_seconds
    if settings.quiet_hours is None:
        return until
    end_of_quiet_hours = quiet_end(settings.quiet_hours, now if until is None else until, timezone)
    return until if end_of_quiet_hours is None else end_of_quiet_hours


def spread_delay(settings: GatherSettings, key: str) -> float:
    """Return the seconds that one delivery waits after `gathered_until`. They depend on this key of it alone."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64  # from 0 to 1
    return settings.spread_seconds * share


def group_of(settings: GatherSettings, delivery: Delivery, person: str | None = None) -> str:
    """Return the name of the delivery's group. `person` is the recipient's name.

    It is a hash, because keys and names may be long, and may be personal data. Only a group of alerts has a prefix.
    """
    keys: list[jsontext.Json] = [_text_at(expression, delivery.event) for expression in (settings.by, settings.per)]
    prefix = ALERTS if settings.is_alerts else ""
    digits = hashlib.sha256(jsontext.texts_json([delivery.destination, *keys, person or ""])).hexdigest()
    return prefix + digits[: GROUP_NAME_CHARACTERS - len(prefix)]


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
