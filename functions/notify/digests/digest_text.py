"""The words of a digest, for chat messages and for the plain text of a mail. Pure.

`title_and_text` makes a whole message. digest_mail.py lays out the same parts of it as a mail.
Most of the text comes from senders. So each value is put on one line, and its invisible characters are replaced.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

from functions.notify.alerts.alert import TYPE_PREFIX, counted
from functions.notify.digests.digest import DigestData, Listed, Section, is_digest, read_digest, sections_of
from functions.notify.digests.quiet_hours import zone_of
from functions.notify.message_text import title_of_type, unformatted, visible
from shared import times
from shared.delivery import Delivery
from shared.event import oneline

MAX_NAME_CHARACTERS: Final = 80
"""The length of a name in a title or a message."""
MAX_SOURCES: Final = 3
"""The number of sources that a title names."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def title_and_text(delivery: Delivery) -> tuple[str, str] | None:
    """Return the title and the text of a message about a digest; None for a delivery that is not a digest.

    The text begins with the title, and has a line for each event under the heading of its kind.
    """
    if not is_digest(delivery):
        return None
    digest = read_digest(delivery.event)
    lines = [digest_title(digest), period_of(digest)]
    if digest.unlisted:
        lines.append(unlisted_text(digest))
    for section in sections_of(digest):
        lines += ["", f"{section_title(section, digest)} ({section.count:,})", *_lines(section)]
    return digest_title(digest), unformatted("\n".join(lines))


def digest_title(digest: DigestData) -> str:
    """Return a title: `12 events from shop, crm: pc-7`, or `Hookchain: 12 dead letters, 1 destination disabled`."""
    if digest.is_alerts:
        return f"Hookchain: {_alerts_text(digest)}"
    names = list(dict.fromkeys(short(kind.source) for kind in digest.kinds))
    more = f" and {len(names) - MAX_SOURCES} more" if len(names) > MAX_SOURCES else ""
    sources = f" from {', '.join(names[:MAX_SOURCES])}{more}" if names else ""
    about = f": {short(digest.by)}" if digest.by else ""
    return f"{events_text(digest.count)}{sources}{about}"


def _alerts_text(digest: DigestData) -> str:
    """Return the number of alerts of each type, the most frequent type first. If all of them are about the same
    destination or source, its name follows."""
    counts: Counter[str] = Counter()
    for kind in digest.kinds:
        counts[kind.type] += kind.count
    texts = [counted(event_type, count) for event_type, count in counts.most_common()]
    text = ", ".join(texts or [counted("", digest.count)])
    names = {kind.source for kind in digest.kinds}
    common_name = names.pop() if len(names) == 1 else ""
    return f"{text}: {short(common_name)}" if common_name else text


def period_of(digest: DigestData, timezone: str | None = None) -> str:
    """Return when the events were received, such as `Received 5 Jan 2026, 12:30 to 13:00 UTC`.

    `timezone` is the recipient's, and is then in brackets: `12:30 (Europe/Berlin)`. It is UTC if it is unknown.
    """
    zone = zone_of(timezone)
    zone_name = f"({zone.key})" if timezone else "UTC"
    first = moment(digest.first_at, zone)
    begin = first if digest.is_alerts else f"Received {first}"
    if first == moment(digest.last_at, zone):
        return f"{begin} {zone_name}"
    return f"{begin} to {moment(digest.last_at, zone, shared_day(digest, zone))} {zone_name}"


def unlisted_text(digest: DigestData) -> str:
    """Return the sentence about the events that a digest counts and does not list."""
    count = digest.unlisted
    texts = counted("", count) if digest.is_alerts else events_text(count)
    return f"The newest are listed; {texts} {'is' if count == 1 else 'are'} counted and not shown."


def section_title(section: Section, digest: DigestData) -> str:
    """Return the title of the type, and the source. If all events have the same source, the digest's title has it."""
    title = _type_title(section.type)
    if title and all(kind.source == section.source for kind in digest.kinds):
        return title
    return _type_and_source(section.type, section.source)


def _lines(section: Section) -> Iterator[str]:
    for event in section.events:
        yield f"• {line_of(event)}"
    if section.unlisted:
        yield f"• and {section.unlisted:,} more" if section.events else f"• {section.unlisted:,} not shown"


def line_of(event: Listed) -> str:
    """Return the event's line. If nothing of it is visible, return the event's type and source."""
    return visible(oneline(event.line)) or _type_and_source(event.type, event.source)


def _type_and_source(event_type: str, source: str) -> str:
    """Return the title of the type and the source, or one of the two if the other has no visible text."""
    title = _type_title(event_type)
    if not source:
        return title
    return f"{title} · {short(source)}" if title else short(source)


def _type_title(event_type: str) -> str:
    return short(title_of_type(event_type.removeprefix(TYPE_PREFIX)))


def events_text(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def shared_day(digest: DigestData, zone: ZoneInfo) -> str:
    """Return the day on which all events were received, such as `5 Jan 2026`; an empty text if there are several."""
    first_day, _ = _day_and_time(digest.first_at, zone)
    last_day, _ = _day_and_time(digest.last_at, zone)
    return first_day if first_day == last_day else ""


def moment(text: str, zone: ZoneInfo, known_day: str = "") -> str:
    """Return a time as `5 Jan 2026, 12:30`, or as `12:30` if it is on the known day.

    A text that is not a time is returned as `short` shows it.
    """
    day, time = _day_and_time(text, zone)
    return time if day in ("", known_day) else f"{day}, {time}"


def _day_and_time(text: str, zone: ZoneInfo) -> tuple[str, str]:
    """Return a time as `5 Jan 2026` and `12:30`; a text that is not a time, cut, with an empty day."""
    try:
        at = times.read_time(text).astimezone(zone)
    except (ValueError, OverflowError):
        return "", short(text)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}", f"{at.hour:02}:{at.minute:02}"


def short(text: str) -> str:
    """Return a name on one line, cut to MAX_NAME_CHARACTERS."""
    line = visible(oneline(text))
    return line if len(line) <= MAX_NAME_CHARACTERS else line[: MAX_NAME_CHARACTERS - 1] + "…"
