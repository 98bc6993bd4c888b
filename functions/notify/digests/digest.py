"""A digest: the data of its event, and its text for chat messages and for the plain text of a mail. Pure.

Most of the text comes from senders. So each value is put on one line, and its invisible characters are replaced.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final
from zoneinfo import ZoneInfo

from functions.notify.alerts.alert import ALERT_SOURCE, TYPE_PREFIX, counted
from functions.notify.digests.settings import zone_of
from functions.notify.message_text import title_of_type, unformatted, visible
from shared import jsontext, times
from shared.delivery import Delivery
from shared.event import Event, oneline

DIGEST_TYPE: Final = "hookchain.digest"
COALESCED_TYPE: Final = "hookchain.coalesced"
DIGESTS: Final = "/digests/"
"""The prefix of the source of a digest's event; the destination's name follows."""
MAX_NAME_CHARACTERS: Final = 80
"""The length of a name in a title or a message."""
MAX_SOURCES: Final = 3
"""The number of sources that a title names."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Kind:
    """The number of a digest's events that have the same source and type."""

    source: str
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An event that the digest lists. `line` is for people."""

    id: str
    source: str
    type: str
    subject: str | None
    actor: str | None
    receivedat: str
    line: str


@dataclass(frozen=True, slots=True)
class DigestData:
    """A digest of `count` events, received from `first_at` to `last_at` (RFC 3339).

    by         the key that the events share, if the destination gathers by a key
    person     the recipient's name in `people`
    kinds      the kinds with the most events, the largest first
    events     the newest events, the newest first
    is_alerts  it is a digest of Hookchain's own alerts; their `source` is the destination or source that they are about
    """

    count: int
    first_at: str
    last_at: str
    by: str | None
    person: str | None
    kinds: Sequence[Kind]
    events: Sequence[Listed]
    is_alerts: bool = False

    @property
    def unlisted(self) -> int:
        return max(0, self.count - len(self.events))


@dataclass(frozen=True, slots=True)
class Section:
    """The listed events of one kind, newest first. `count` includes those that are not listed."""

    source: str
    type: str
    count: int
    events: Sequence[Listed]

    @property
    def unlisted(self) -> int:
        return max(0, self.count - len(self.events))


def is_digest(delivery: Delivery) -> bool:
    """Return whether the delivery is a digest that Hookchain made: a sender may give its own events the same type."""
    event = delivery.event
    is_ours = event.source.startswith(DIGESTS) or event.source == ALERT_SOURCE
    return delivery.merged > 0 and event.type == DIGEST_TYPE and is_ours


def digest_json(digest: DigestData) -> jsontext.JsonObject:
    """Return the data of the digest's event, as `read_digest` reads it."""
    return {
        "count": digest.count,
        "from": digest.first_at,
        "to": digest.last_at,
        "by": digest.by,
        "person": digest.person,
        "kinds": [asdict(kind) for kind in digest.kinds],
        "events": [asdict(event) for event in digest.events],
    }


def read_digest(event: Event) -> DigestData:
    """Read the data of a digest's event. Entries that are not as `digest_json` writes them are left out."""
    data = jsontext.mapping_at(event.data)
    count = data.get("count")
    return DigestData(
        count=count if isinstance(count, int) else 0,
        first_at=_text(data.get("from")) or event.receivedat,
        last_at=_text(data.get("to")) or event.receivedat,
        by=_text(data.get("by")),
        person=_text(data.get("person")),
        kinds=[_kind(each) for each in jsontext.objects_at(data, "kinds")],
        events=[_listed(each) for each in jsontext.objects_at(data, "events")],
        is_alerts=event.source == ALERT_SOURCE,
    )


def sections_of(digest: DigestData) -> list[Section]:
    """Return the kinds that have a listed event, in the order of their newest events, and then the other kinds."""
    counts = {(kind.source, kind.type): kind.count for kind in digest.kinds}
    events_by_kind: dict[tuple[str, str], list[Listed]] = {}
    for event in digest.events:
        events_by_kind.setdefault((event.source, event.type), []).append(event)
    sections: list[Section] = []
    for (source, type_), events in events_by_kind.items():
        count = max(counts.pop((source, type_), 0), len(events))  # 0: its kind was one of too many to be counted
        sections.append(Section(source, type_, count, events))
    return sections + [Section(source, type_, count, ()) for (source, type_), count in counts.items()]


def _kind(value: jsontext.JsonObject) -> Kind:
    count = value.get("count")
    return Kind(str(value.get("source")), str(value.get("type")), count if isinstance(count, int) else 0)


def _listed(value: jsontext.JsonObject) -> Listed:
    texts = {name: _text(value.get(name)) or "" for name in ("id", "source", "type", "receivedat", "line")}
    return Listed(subject=_text(value.get("subject")), actor=_text(value.get("actor")), **texts)


def _text(value: jsontext.Json) -> str | None:
    return value if isinstance(value, str) else None


def digest_title(digest: DigestData) -> str:
    """Return a title: `12 events from shop, crm: pc-7`, or `Hookchain: 12 dead letters, 1 destination disabled`."""
    if digest.is_alerts:
        return f"Hookchain: {alerts_text(digest)}"
    names = list(dict.fromkeys(short(kind.source) for kind in digest.kinds))
    more = f" and {len(names) - MAX_SOURCES} more" if len(names) > MAX_SOURCES else ""
    sources = f" from {', '.join(names[:MAX_SOURCES])}{more}" if names else ""
    about = f": {short(digest.by)}" if digest.by else ""
    return f"{events_text(digest.count)}{sources}{about}"


def alerts_text(digest: DigestData) -> str:
    """Return the number of alerts of each type, the most frequent type first. If all of them are about the same
    destination or source, its name follows."""
    counts: Counter[str] = Counter()
    for kind in digest.kinds:
        counts[kind.type] += kind.count
    texts = [counted(event_type, count) for event_type, count in counts.most_common()]
    text = ", ".join(texts or [counted("", digest.count)])
    names = {kind.source for kind in digest.kinds}
    [common_name] = names if len(names) == 1 else [""]
    return f"{text}: {short(common_name)}" if common_name else text


def title_and_text(delivery: Delivery) -> tuple[str, str] | None:
    """Return the title and the text of a message about a digest; None for a delivery that is not a digest."""
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
    """Return the event's line. If nothing of it is visible, return the event's type and source."""
    return visible(oneline(event.line)) or section_name(event.source, event.type)


def section_title(section: Section, digest: DigestData) -> str:
    """Return the title of the type, and the source. If all events have the same source, the digest's title has it."""
    title = _type_title(section.type)
    if title and all(kind.source == section.source for kind in digest.kinds):
        return title
    return section_name(section.source, section.type)


def section_name(source: str, event_type: str) -> str:
    """Return the title of the type and the source, or one of the two if the other has no visible text."""
    title = _type_title(event_type)
    if not source:
        return title
    return f"{title} · {short(source)}" if title else short(source)


def _type_title(event_type: str) -> str:
    return short(title_of_type(event_type.removeprefix(TYPE_PREFIX)))


def events_text(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def unlisted_text(digest: DigestData) -> str:
    """Return the sentence about the events that a digest counts and does not list."""
    count = digest.unlisted
    texts = counted("", count) if digest.is_alerts else events_text(count)
    return f"The newest are listed; {texts} {'is' if count == 1 else 'are'} counted and not shown."


def period_of(digest: DigestData, timezone: str | None = None) -> str:
    """Return when the events were received, such as `Received 5 Jan 2026, 12:30 to 13:00 UTC`.

    `timezone` is the recipient's; UTC if it is unknown.
    """
    zone = zone_of(timezone)
    zone_name = f"({zone.key})" if timezone else "UTC"
    first = moment(digest.first_at, zone)
    last = moment(digest.last_at, zone)
    begin = first if digest.is_alerts else f"Received {first}"
    if first == last:
        return f"{begin} {zone_name}"
    last_day, _, last_time = last.rpartition(", ")
    end = last_time if first.startswith(f"{last_day}, ") else last
    return f"{begin} to {end} {zone_name}"


def one_day_of(digest: DigestData, zone: ZoneInfo) -> str | None:
    """Return the day on which all events were received, such as `5 Jan 2026`; None if there are several."""
    first_day, _, _ = moment(digest.first_at, zone).rpartition(", ")
    last_day, _, _ = moment(digest.last_at, zone).rpartition(", ")
    return first_day if first_day == last_day else None


def moment(text: str, zone: ZoneInfo) -> str:
    """Return a time as `5 Jan 2026, 12:30`; a text that is not a time, unchanged."""
    try:
        at = times.read_time(text).astimezone(zone)
    except (ValueError, OverflowError):
        return short(text)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at.hour:02}:{at.minute:02}"


def short(text: str) -> str:
    """Return a name on one line, cut to MAX_NAME_CHARACTERS."""
    line = visible(oneline(text))
    return line if len(line) <= MAX_NAME_CHARACTERS else line[: MAX_NAME_CHARACTERS - 1] + "…"
