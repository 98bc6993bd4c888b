"""The groups in which deliveries wait for a destination, and its last digests, by the rows of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from functions.notify.gathering.groups import key_of
from functions.notify.people import Person
from functions.notify.people_source import compiled_recipients
from functions.notify.read_destinations import read_destinations
from functions.notify.registry import Configured
from shared.delivery import Delivery, delivery_from
from shared.errors import HookchainError, Permanent
from shared.jsontext import JsonObject, from_json
from shared.ledger import LedgerRow
from shared.slices import SliceFault
from shared.times import rfc3339

MAX_DIGESTS: Final = 5
"""The last digests of a destination that are shown."""


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Deliveries that wait in one group, for the one delivery that they become. Times are Unix seconds.

    key        what the events share by the destination's `by`; None if it has none, or the events lack it
    person     the recipient's name, where `to` names a person
    oldest_at  when the first of them came
    until      the time from which on the group is closed
    """

    count: int
    oldest_at: float
    until: float
    reason: str
    key: str | None = None
    person: str | None = None

    def document(self) -> JsonObject:
        return {
            "key": self.key,
            "person": self.person,
            "count": self.count,
            "oldest": rfc3339(self.oldest_at),
            "until": rfc3339(self.until),
            "reason": self.reason,
        }


class Gathering:
    """The destinations of notify's slice that gather; none if the slice is not known."""

    def __init__(self, notify: JsonObject | None) -> None:
        try:
            self._configured: Mapping[str, Configured] = read_destinations(notify) if notify else {}
        except SliceFault:
            self._configured = {}
        self._recipients = compiled_recipients((notify or {}).get("people"))

    def gathers(self, destination: str) -> bool:
        configured = self._configured.get(destination)
        return configured is not None and bool(configured.gather or configured.alerts)

    async def groups(self, rows: Sequence[LedgerRow]) -> tuple[WaitingGroup, ...]:
        """Return the groups in which the rows wait, the first to be closed first."""
        members: dict[str, list[LedgerRow]] = {}
        for row in rows:
            if row.group and row.retry_at is not None:
                members.setdefault(row.group, []).append(row)
        groups = [await self._group(waiting) for waiting in members.values()]
        return tuple(sorted(groups, key=lambda group: group.until))

    async def _group(self, rows: Sequence[LedgerRow]) -> WaitingGroup:
        key, person = await self._names(rows[0])
        return WaitingGroup(
            count=len(rows),
            oldest_at=min(row.created_at for row in rows),
            until=min(row.retry_at or 0.0 for row in rows),
            reason=rows[0].reason,
            key=key,
            person=person,
        )

    async def _names(self, row: LedgerRow) -> tuple[str | None, str | None]:
        """Return the key and the recipient's name, as far as the configuration and the event tell them."""
        configured = self._configured.get(row.destination)
        if configured is None:
            return None, None
        try:
            delivery = delivery_from(from_json(row.message))
        except (Permanent, ValueError, RecursionError):
            return None, None
        settings = configured.for_delivery(delivery).gather
        if settings is None:
            return None, None
        return key_of(settings.by, delivery.event), await self._person(configured, delivery)

    async def _person(self, configured: Configured, delivery: Delivery) -> str | None:
        if configured.recipient is None or self._recipients is None:
            return None
        try:
            found = await self._recipients.recipient_of(configured, delivery)
        except HookchainError:  # the event's data rests in a blob
            return None
        return found.name if isinstance(found, Person) else None


@dataclass(frozen=True, slots=True)
class DigestView:
    """A digest or a burst, by the row of its delivery. `count`: how many deliveries it stands for."""

    event_id: str
    count: int
    state: str
    made_at: float
    updated_at: float

    def document(self) -> JsonObject:
        return {
            "event_id": self.event_id,
            "count": self.count,
            "state": self.state,
            "made_at": rfc3339(self.made_at),
            "updated_at": rfc3339(self.updated_at),
        }


def digests_in(*lists: Sequence[LedgerRow]) -> tuple[DigestView, ...]:
    """Return the newest digests among the rows, newest first."""
    rows = {row.key: row for rows in lists for row in rows if row.merged}
    newest = sorted(rows.values(), key=lambda row: row.created_at, reverse=True)[:MAX_DIGESTS]
    return tuple(
        DigestView(each.event_id, each.merged, each.state, each.created_at, each.updated_at) for each in newest
    )
