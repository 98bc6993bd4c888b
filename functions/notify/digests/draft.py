"""The deliveries that wait in one group, and the one event that they become.

A digest lists the newest events, each with a line. The line is the result of the operator's template. If there is no
template, or if it fails or is empty for an event, message_text.py makes a line such as
`opened: Fix the roof · octo/house · by ada`.
"""

import hashlib
import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Final, NamedTuple, TypeAlias

from functions.notify import bounded_texts, http_kind, message_text
from functions.notify.alerts.alert import ALERT_SOURCE, about_of, alert_line
from functions.notify.digests.digest import COALESCED_TYPE, DIGEST_TYPE, DIGESTS, DigestData, Kind, digest_json
from functions.notify.digests.record import digest_event_id, max_members
from functions.notify.digests.settings import ALL, FIRST, LAST, MAX_KEY_CHARACTERS, MAX_MESSAGE_BYTES, GatherSettings
from shared import errors, ledger, time_bound
from shared.delivery import Delivery, delivery_from
from shared.event import Event
from shared.jsontext import Json, from_json, texts_json, to_json

MAX_DIGEST_BYTES: Final = 90_000
"""The most bytes of the events that a digest lists."""
MAX_COALESCED_BYTES: Final = 140_000
"""The most bytes of the events' data in the one event of a burst with `keep: all`."""
MAX_COALESCED_EVENTS: Final = 1_000
"""The most events whose data is in the one event of a burst with `keep: all`. Further ones are counted as omitted."""
ROOM_BYTES: Final = 25_000
"""The bytes that a message may have besides: the names of kinds, the attributes of event and delivery, and commas."""
MAX_KINDS: Final = 50
"""The number of kinds that a digest counts: those with the most events."""
MAX_LINE_CHARACTERS: Final = 300
MANY_ROUTES: Final = "digest"
"""The route of a digest whose deliveries came by several routes."""


@dataclass(slots=True)
class LineBudget:
    """The seconds of computing that the templates of lines may still take, in one group or in a whole pass."""

    seconds_left: float = time_bound.MAX_COMPUTING_SECONDS


Order: TypeAlias = tuple[str, int, tuple[int, ...], str]
"""The place of a member in the order of its group: that of its event, and its delivery's key."""


@dataclass(slots=True)
class Newest:
    """The newest items that fit: at most `max_items`, whose JSON texts have at most `max_bytes` together.

    An item is its position in the order of time and its JSON text. The heap has the oldest item first, so that it is
    removed first.
    """

    max_items: int
    max_bytes: int
    _heap: list[tuple[Order, bytes]] = field(default_factory=list)
    _bytes: int = 0

    def is_wanted(self, order: Order) -> bool:
        """Return whether the item is newer than one that is kept now, or there is room for one more."""
        return len(self._heap) < self.max_items or order > self._heap[0][0]

    def add(self, order: Order, text: bytes) -> None:
        """Add an item, and remove the oldest ones until all fit. An item that would not fit alone is left out."""
        if len(text) > self.max_bytes:
            return
        heapq.heappush(self._heap, (order, text))
        self._bytes += len(text)
        while self._heap and (len(self._heap) > self.max_items or self._bytes > self.max_bytes):
            _, oldest_text = heapq.heappop(self._heap)
            self._bytes -= len(oldest_text)

    def oldest_first(self) -> list[Json]:
        """Return the items that are kept, as JSON values."""
        return [from_json(text) for _, text in sorted(self._heap)]


class _Member(NamedTuple):
    """An event, and its place in the order of the members."""

    order: Order
    event: Event


class Draft:
    """The deliveries of one group, which are added one after another. Then it says whether the group is ripe, and makes
    the one delivery that they become.

    Of all rows that were added, whether or not they become members:

    due          the keys and fences of those that are due
    earliest_at  the earliest `retry_at` of the rows that are due
    latest_at    the latest `retry_at`
    created_at   when the oldest row was created
    unreadable   those whose message is no delivery. They are read only while the digest has room

    Of the members, the deliveries that become part of the digest:

    members      their fences, by their keys
    sample       any one of them, by which the key and the recipient of all of them can be found
    _newest      what the digest lists of them, or with `keep: all` their data
    _kinds       how many of them have each source and type
    _routes      the routes that they came by
    _oldest      the one that was received first
    _latest      the one that was received last
    _hops        the highest number of hops that one of them has made (see MAX_HOPS)
    """

    def __init__(self, group: str, destination: str, settings: GatherSettings, line_budget: LineBudget) -> None:
        """Create a draft without deliveries. All drafts of a pass share `line_budget`."""
        self.group = group
        self.destination = destination
        self.settings = settings
        self.members: dict[str, int] = {}
        self.due: list[tuple[str, int]] = []
        self.unreadable: list[ledger.LedgerRow] = []
        self.earliest_at = float("inf")
        self.latest_at = 0.0
        self.created_at = float("inf")
        self.sample: Delivery | None = None
        self._seen: set[str] = set()
        content_bytes = {"": MAX_DIGEST_BYTES, ALL: MAX_COALESCED_BYTES}.get(settings.keep, MAX_MESSAGE_BYTES)
        self._max_members = max_members(content_bytes + ROOM_BYTES)
        self._keep = settings.keep
        if self._keep == ALL:
            self._newest = Newest(MAX_COALESCED_EVENTS, MAX_COALESCED_BYTES)
        else:
            self._newest = Newest(settings.max_events, MAX_DIGEST_BYTES)
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._routes: set[str] = set()
        self._oldest: _Member | None = None
        self._latest: _Member | None = None
        self._hops = 0
        self._line_budgets = (LineBudget(), line_budget)  # a template is used only while both have time left

    def add(self, row: ledger.LedgerRow, is_due: bool) -> None:
        """Add a row that waits in the group. A row that was added before is left out."""
        if row.key in self._seen:
            return
        self._seen.add(row.key)
        if is_due:
            self.earliest_at = min(self.earliest_at, row.retry_at or 0.0)
            self.due.append((row.key, row.fence))
        self.latest_at = max(self.latest_at, row.retry_at or 0.0)
        self.created_at = min(self.created_at, row.created_at)
        if len(self.members) >= self._max_members:
            return
        try:
            delivery = delivery_from(from_json(row.message))
        except (errors.Permanent, ValueError, RecursionError):
            self.unreadable.append(row)
            return
        self.members[row.key] = row.fence
        self.sample = self.sample or delivery
        self._add(row.key, delivery)

    def is_ripe(self, now: float) -> bool:
        """Return whether the group may be closed: a burst has ended, or all deliveries of a digest are due."""
        if not self.members:
            return False
        if (coalesce := self.settings.coalesce) is not None:
            return self.latest_at <= now or self.created_at + coalesce.max_wait_seconds <= now
        return self.earliest_at + self.settings.spread_seconds <= now

    def look_again_at(self, now: float) -> float:
        """Return the earliest time at which the group can be closed, by what was added so far."""
        if (coalesce := self.settings.coalesce) is not None:
            return max(now, min(self.latest_at, self.created_at + coalesce.max_wait_seconds))
        return max(now, self.earliest_at + self.settings.spread_seconds)

    def to_delivery(self, number: int, person: str | None) -> Delivery:
        """Return the one delivery that the members become. `number` is the number of the group's digest."""
        assert self._oldest is not None
        assert self._latest is not None
        event_id = self._event_id(number)
        # A digest of a single event would only hide it, so the event itself is delivered.
        is_single_event = len(self.members) == 1 and not self.settings.is_alerts
        if self._keep == ALL:
            event = self._coalesced(event_id, person)
        elif self._keep == FIRST:
            event = replace(self._oldest.event, id=event_id)
        elif self._keep == LAST or is_single_event:
            event = replace(self._latest.event, id=event_id)
        else:
            event = self._digest(event_id, person)
        [route] = self._routes if len(self._routes) == 1 else [MANY_ROUTES]
        return Delivery(event, route, self.destination, merged=len(self.members))

    def _add(self, key: str, delivery: Delivery) -> None:
        """Add a member."""
        event = delivery.event
        order = (*event.order, key)
        self._routes.add(delivery.route)
        self._kinds[self._source(event), event.type] += 1
        self._hops = max(self._hops, event.hops)
        if self._oldest is None or order < self._oldest.order:
            self._oldest = _Member(order, event)
        if self._latest is None or order > self._latest.order:
            self._latest = _Member(order, event)
        if self._keep == ALL:
            if event.dataref is None:  # data in the object store is counted as omitted
                self._newest.add(order, to_json(event.data).encode("utf-8", "replace"))
        elif not self._keep and self._newest.is_wanted(order):
            self._newest.add(order, texts_json(self._listed(delivery)))

    def _source(self, event: Event) -> str:
        """Return the source that the digest shows for the event. For an alert, it is what the alert is about."""
        return about_of(event) if self.settings.is_alerts else event.source_name

    def _listed(self, delivery: Delivery) -> Json:
        """Return what a digest lists of a delivery: the fields of digest.Listed."""
        event = delivery.event
        texts = {
            "id": event.id,
            "source": self._source(event),
            "type": event.type,
            "subject": event.subject,
            "actor": event.actor,
            "receivedat": event.receivedat,
            "line": self._line(delivery),
        }
        return {name: None if text is None else _plain(text) for name, text in texts.items()}

    def _line(self, delivery: Delivery) -> str:
        """Return the event's line: of the template if there is time for it, and otherwise the default one."""
        if self.settings.is_alerts:
            return alert_line(delivery.event, MAX_LINE_CHARACTERS)
        line = ""
        has_time = all(budget.seconds_left > 0 for budget in self._line_budgets)
        if self.settings.line is not None and has_time:
            begun = process_time()
            try:
                with bounded_texts.bounded_templates():
                    line = http_kind.rendered_line("line", self.settings.line, http_kind.template_view(delivery))
            except errors.Permanent:  # the template does not fit this event, which then gets the default line
                pass
            finally:
                for budget in self._line_budgets:
                    budget.seconds_left -= process_time() - begun
        return bounded_texts.cut(line.strip() or message_text.default_line(delivery.event), MAX_LINE_CHARACTERS)

    def _event_id(self, number: int) -> str:
        """Return the id of the digest's event, which is the same whoever freezes the same members."""
        members = hashlib.sha256("".join(sorted(self.members)).encode()).hexdigest()
        return digest_event_id(self.group, hashlib.sha256(texts_json([self.group, number, members])).digest())

    def _key(self) -> str | None:
        """Return the key that the members share, cut; None if they are not gathered by a key."""
        key = self.settings.key(self.sample.event) if self.sample else None
        return None if key is None else bounded_texts.cut(key, MAX_KEY_CHARACTERS)

    def _digest(self, event_id: str, person: str | None) -> Event:
        """Return the event of a digest."""
        assert self._oldest is not None
        assert self._latest is not None
        kinds = [Kind(source, type_, count) for (source, type_), count in self._kinds.most_common(MAX_KINDS)]
        first_at = self._oldest.event.receivedat
        last_at = self._latest.event.receivedat
        digest = DigestData(
            count=len(self.members),
            first_at=first_at,
            last_at=last_at,
            by=self._key(),
            person=person,
            kinds=kinds,
            events=(),
        )
        data = digest_json(digest)
        data["events"] = self._newest.oldest_first()[::-1]  # JSON already, the newest first
        return self._own_event(event_id, DIGEST_TYPE, data)

    def _coalesced(self, event_id: str, person: str | None) -> Event:
        """Return the one event of a burst with `keep: all`."""
        events = self._newest.oldest_first()
        data: Json = {
            "count": len(self.members),
            "by": self._key(),
            "person": person,
            "events": events,
            "omitted": len(self.members) - len(events),
        }
        return self._own_event(event_id, COALESCED_TYPE, data)

    def _own_event(self, event_id: str, event_type: str, data: Json) -> Event:
        """Return an event of Hookchain with this data, as if it was received with the last member."""
        assert self._latest is not None
        return Event(
            id=event_id,
            source=ALERT_SOURCE if self.settings.is_alerts else f"{DIGESTS}{self.destination}",
            type=event_type,
            receivedat=self._latest.event.receivedat,
            payloadhash=hashlib.sha256(to_json(data).encode("utf-8", "replace")).hexdigest(),
            data=data,
            hops=self._hops,
        )


def _plain(text: str) -> str:
    """Return the text without halves of surrogate pairs, which cannot be encoded in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
