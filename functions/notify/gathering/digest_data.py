"""The data of a digest's event: how many events of which kinds it stands for, and a line for each of the newest."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from functions.notify.alerts.alert import ALERT_SOURCE
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject

DIGEST_TYPE: Final = "hookchain.digest"
COALESCED_TYPE: Final = "hookchain.coalesced"
DIGESTS: Final = "/digests/"
"""How the source of a digest's event begins; the destination's name follows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A source, a type of its events, and how many of them the digest stands for."""

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

    by      the key that they share, where the destination has one
    person  the recipient's name in `people`
    kinds   most first; of many, the first ones
    events  newest first; of many, the newest ones

    `is_alerts`: of Hookchain's own alerts. Their sources are the destinations and sources that they are about.
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
    """Return whether we made the event; a sender may give its own event any type."""
    event = delivery.event
    is_ours = event.source.startswith(DIGESTS) or event.source == ALERT_SOURCE
    return delivery.merged > 0 and event.type == DIGEST_TYPE and is_ours


def digest_json(digest: DigestData) -> JsonObject:
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
    """Read the data of a digest's event. What is not as `digest_json` writes it is left out."""
    data = event.data if isinstance(event.data, dict) else {}
    count = data.get("count")
    return DigestData(
        count=count if isinstance(count, int) else 0,
        first_at=_text(data.get("from")) or event.receivedat,
        last_at=_text(data.get("to")) or event.receivedat,
        by=_text(data.get("by")),
        person=_text(data.get("person")),
        kinds=[_kind(each) for each in _objects(data.get("kinds"))],
        events=[_listed(each) for each in _objects(data.get("events"))],
        is_alerts=event.source == ALERT_SOURCE,
    )


def sections_of(digest: DigestData) -> list[Section]:
    """Return a section for each kind that has a listed event, by its newest event, and then the other kinds."""
    counts = {(kind.source, kind.type): kind.count for kind in digest.kinds}
    listed: dict[tuple[str, str], list[Listed]] = {}
    for event in digest.events:
        listed.setdefault((event.source, event.type), []).append(event)
    sections = [Section(*key, max(counts.get(key, 0), len(events)), events) for key, events in listed.items()]
    return [*sections, *[Section(*key, count, ()) for key, count in counts.items() if key not in listed]]


def _objects(value: Json) -> Iterator[JsonObject]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield item


def _kind(value: JsonObject) -> Kind:
    count = value.get("count")
    return Kind(str(value.get("source")), str(value.get("type")), count if isinstance(count, int) else 0)


def _listed(value: JsonObject) -> Listed:
    texts = {name: _text(value.get(name)) or "" for name in ("id", "source", "type", "receivedat", "line")}
    return Listed(
        texts["id"],
        texts["source"],
        texts["type"],
        _text(value.get("subject")),
        _text(value.get("actor")),
        texts["receivedat"],
        texts["line"],
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
