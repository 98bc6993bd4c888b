"""A digest as text, for messages and as the plain text of a mail. Pure.

Senders chose most of it, so each of their words stays on one line, and none is invisible.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

from functions.notify.alerts.alert import TYPE_PREFIX, counted
from functions.notify.gathering.digest_data import (
    DigestData,
    Listed,
    Section,
    is_digest,
    read_digest,
    sections_of,
)
from functions.notify.gathering.times import zone_of
from functions.notify.message_text import title_of_type, unformatted, visible
from shared.delivery import Delivery
from shared.event import oneline
from shared.times import read_time

MAX_NAME_CHARACTERS: Final = 80
MAX_SOURCES: Final = 3
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def digest_title(digest: DigestData) -> str:
    """Return `12 events from shop, crm: pc-7`, or `Hookchain: 12 dead letters, 1 destination disabled`."""
    if digest.is_alerts:
        return f"Hookchain: {alerts_text(digest)}"
    names = list(dict.fromkeys(short(kind.source) for kind in digest.kinds))
    more = f" and {len(names) - MAX_SOURCES} more" if len(names) > MAX_SOURCES else ""
    sources = f" from {', '.join(names[:MAX_SOURCES])}{more}" if names else ""
    about = f": {short(digest.by)}" if digest.by else ""
    return f"{events_text(digest.count)}{sources}{about}"


def alerts_text(digest: DigestData) -> str:
    """Return how many alerts of each kind there are, most first, and what all of them are about."""
    counts: Counter[str] = Counter()
    for kind in digest.kinds:
        counts[kind.type] += kind.count
    about = {kind.source for kind in digest.kinds}
    [name] = about if len(about) == 1 else [""]
    texts = [counted(event_type, count) for event_type, count in counts.most_common()]
    return ", ".join(texts or [counted("", digest.count)]) + (f": {short(name)}" if name else "")


def title_and_text(delivery: Delivery) -> tuple[str, str] | None:
    """Return the title and the text of a message about a digest; None for a delivery that is none."""
    if not is_digest(delivery):
        return None
    digest = read_digest(delivery.event)
    return digest_title(digest), unformatted(digest_text(digest))


def digest_text(digest: DigestData) -> str:
    """Return the message about a digest: its title, its time, and a line for each event under its kind."""
    lines = [digest_title(digest), period_of(digest)]
    if digest.unlisted:
        lines.append(unlisted_text(digest))
    for section in sections_of(digest):
        lines += ["", f"{section_title(section, digest)} ({section.count:,})", *_lines(section)]
    return "\n".join(lines)


def _lines(section: Section) -> Iterator[str]:
    for event in section.events:
        yield f"• {line_of(event)}"
    if section.unlisted:
        yield f"• and {section.unlisted:,} more" if section.events else f"• {section.unlisted:,} not shown"


def line_of(event: Listed) -> str:
    return visible(oneline(event.line)) or section_name(event.source, event.type)


def section_title(section: Section, digest: DigestData) -> str:
    """Return the type and the source; the type alone where all events are from the source that the title names."""
    title = _type_title(section.type)
    if title and all(kind.source == section.source for kind in digest.kinds):
        return title
    return section_name(section.source, section.type)


def section_name(source: str, event_type: str) -> str:
    title = _type_title(event_type)
    if not source:
        return title
    return f"{title} · {short(source)}" if title else short(source)


def _type_title(event_type: str) -> str:
    return short(title_of_type(event_type.removeprefix(TYPE_PREFIX)))


def events_text(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def unlisted_text(digest: DigestData) -> str:
    count = digest.unlisted
    texts = counted("", count) if digest.is_alerts else events_text(count)
    return f"The newest are listed; {texts} {'is' if count == 1 else 'are'} counted and not shown."


def period_of(digest: DigestData, timezone: str | None = None) -> str:
    """Return when the events were received, in the reader's time zone, else in UTC: the reader may be anywhere."""
    zone = zone_of(timezone)
    where = f"({zone.key})" if timezone else "UTC"
    first, last = moment(digest.first_at, zone), moment(digest.last_at, zone)
    begin = first if digest.is_alerts else f"Received {first}"
    if first == last:
        return f"{begin} {where}"
    day, _, time = last.rpartition(", ")
    return f"{begin} to {time if first.startswith(f'{day}, ') else last} {where}"


def one_day_of(digest: DigestData, zone: ZoneInfo) -> str | None:
    """Return the day on which all events were received, such as `5 Jan 2026`; None if there are several."""
    first, last = (moment(each, zone).rpartition(", ")[0] for each in (digest.first_at, digest.last_at))
    return first if first == last else None


def moment(text: str, zone: ZoneInfo) -> str:
    """Return `5 Jan 2026, 12:30`; what is no time, unchanged."""
    try:
        at = read_time(text).astimezone(zone)
    except (ValueError, OverflowError):
        return short(text)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at.hour:02}:{at.minute:02}"


def short(text: str) -> str:
    text = visible(oneline(text))
    return text if len(text) <= MAX_NAME_CHARACTERS else text[: MAX_NAME_CHARACTERS - 1] + "…"
