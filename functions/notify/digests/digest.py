"""The data of a digest's event, its form as JSON, and its sections. digest_text.py words them. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from functions.notify.alerts.alert import ALERT_SOURCE
from shared import jsontext
from shared.delivery import Delivery
from shared.event import Event

DIGEST_TYPE: Final = "hookchain.digest"
COALESCED_TYPE: Final = "hookchain.coalesced"
DIGESTS: Final = "/digests/"
"""The prefix of the source of a digest's event; the destination's name follows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A source and a type, and the number of the digest's events that have both."""

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
    """Return the data of the digest's event. `read_digest` reads it, and takes `is_alerts` from the event's source."""
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
        # Only the kinds with the most events have a count. A rare kind has at least its listed events.
        count = max(counts.pop((source, type_), 0), len(events))
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
