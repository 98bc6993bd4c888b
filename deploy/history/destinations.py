"""The state of each destination for an operator: if it takes deliveries, and which of them wait or are gathered.

`read_destinations` reads the ledger, a few calls for each destination, and makes a `DestinationView` of the rows. What
the rows do not have comes from the configuration: the kind, the caps, the schedule, and what a group has in common.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal

from deploy.history import documents
from deploy.history.state import ConfiguredDestinations, kind_of
from deploy.history.stored_messages import delivery_in
from deploy.terminal.output import waits_text
from functions.notify.recipients import people, recipient
from functions.notify.registry import DeliveryOptions, read_destinations as compiled_destinations
from shared import batching, errors, ledger_rules, times
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject, mapping_at, value_at
from shared.ledger import PAUSED_BY_OPERATOR, DestinationState, Ledger, LedgerRow
from shared.settings import SliceFault

HOUR_SECONDS: Final = 3_600.0
MAX_COUNTED: Final = 100
"""The number of waiting, of held and of newest deliveries that are read of each destination: a cloud bills each."""
MAX_SEARCHED: Final = 20
"""The number of delivered deliveries that are searched for digests, if there is none among the newest deliveries."""
READ_AT_ONCE: Final = 16
"""The number of destinations that are read at the same time."""
MAX_DIGESTS: Final = 5
"""The last digests of a destination that are shown."""
MAX_SHOWN: Final = 100
"""The number of a configuration's destinations that are read for a table."""


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Deliveries that wait in one group, for the one delivery that they become. Times are Unix seconds.

    key        the value of the destination's `by`, which the events share; None if it has no `by`, or they no value
    person     the recipient's name, if `to` names a person
    oldest_at  the time at which the first delivery of the group was claimed
    until      the time at which the group closes
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
            "oldest": times.rfc3339(self.oldest_at),
            "until": times.rfc3339(self.until),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class DigestView:
    """A digest or a burst, as the row of its delivery has it. `count` is the number of deliveries that it replaces."""

    event_id: str
    count: int
    state: str
    made_at: float
    updated_at: float

    def document(self) -> JsonObject:
        return documents.fields(self, ("event_id", "count", "state", "made_at", "updated_at"))


@dataclass(frozen=True, slots=True)
class DestinationView:
    """A destination now. Times are Unix seconds.

    state                   `delivering`; `paused`: its breaker is open, or an operator paused it; `disabled`: it takes
                            nothing until `hookchain resume`
    reason                  the reason why it is disabled or paused; otherwise of the newest waiting delivery that is
                            in no group, or of the newest held one
    paused_until            the end of the pause; None without one, and for an operator's pause, which has no end
    waiting                 the number of deliveries whose next attempt is scheduled; if `is_more`, there may be more
    gathered                the number of waiting deliveries that are in groups
    oldest_at               the time at which the oldest waiting delivery was first claimed
    next_try_at             the earliest due time of the waiting deliveries in no group, or the end of the pause if that
                            is later
    held                    the number of deliveries that wait until an operator acts
    delivered_last_hour     counted among the newest deliveries
    delivered_last_hour_of  the number of newest deliveries that were counted; None if these are all
    kind, caps              as configured; `caps` are its `rate`, `in_flight` and `per`
    schedule                its attempts and the waits between them
    groups                  the groups of gathered deliveries, in the order in which they close
    digests                 the last digests, newest first
    newest                  the newest deliveries, at most MAX_COUNTED
    waiting_rows            the newest deliveries that wait or are held, at most MAX_COUNTED of each
    """

    name: str
    state: Literal["delivering", "paused", "disabled"]
    reason: str = ""
    paused_until: float | None = None
    waiting: int = 0
    is_more: bool = False
    oldest_at: float | None = None
    next_try_at: float | None = None
    held: int = 0
    delivered_last_hour: int = 0
    delivered_last_hour_of: int | None = None
    kind: str = ""
    caps: str = ""
    schedule: str = ""
    gathered: int = 0
    groups: Sequence[WaitingGroup] = ()
    digests: Sequence[DigestView] = ()
    newest: Sequence[LedgerRow] = field(default=(), repr=False, compare=False)
    waiting_rows: Sequence[LedgerRow] = field(default=(), repr=False, compare=False)

    @property
    def may_hold_more(self) -> bool:
        """Return whether more deliveries than `held` may be held."""
        return self.held >= MAX_COUNTED

    def document(self) -> JsonObject:
        """Return the view as `hookchain status --json` and the page have it."""
        return {
            "destination": self.name,
            "kind": self.kind or None,
            "state": self.state,
            "reason": self.reason or None,
            "paused_until": times.time_text(self.paused_until),
            "waiting": self.waiting,
            "gathered": self.gathered,
            "more": self.is_more,
            "oldest": times.time_text(self.oldest_at),
            "next_try": times.time_text(self.next_try_at),
            "held": self.held,
            "held_more": self.may_hold_more,
            "delivered_last_hour": self.delivered_last_hour,
            "delivered_last_hour_of": self.delivered_last_hour_of,
            "caps": self.caps or None,
            "schedule": self.schedule or None,
            "groups": [each.document() for each in self.groups],
            "digests": [each.document() for each in self.digests],
        }


async def read_destinations(
    ledger: Ledger,
    configured: ConfiguredDestinations,
    now: float,
    notify: JsonObject | None = None,
    limit: int | None = MAX_SHOWN,
) -> Sequence[DestinationView]:
    """Return the views of the first destinations, in their order. `notify` is its slice. Raises Temporary."""
    turns = asyncio.Semaphore(READ_AT_ONCE)
    gathering = Gathering(notify)

    async def read(name: str, written: Json) -> DestinationView:
        async with turns:
            state, waiting, held, newest = await asyncio.gather(
                ledger.destination_state(name),
                ledger.rows(MAX_COUNTED, destination=name, state=ledger_rules.RETRY_SCHEDULED),
                ledger.rows(MAX_COUNTED, destination=name, state=ledger_rules.HELD),
                ledger.rows(MAX_COUNTED, destination=name),
            )
            digests = digests_in(newest, waiting, held)
            if not digests and gathering.gathers(name):  # newer deliveries wait
                digests = digests_in(await ledger.rows(MAX_SEARCHED, destination=name, state=ledger_rules.DELIVERED))
        view = destination_view(name, state, waiting, held, newest, now)
        return replace(
            view,
            kind=kind_of(written),
            caps=caps_text(written),
            schedule=schedule_text(written),
            groups=await gathering.groups(waiting),
            digests=digests,
        )

    return await asyncio.gather(*(read(*each) for each in islice(configured.items(), limit)))


def destination_view(
    name: str,
    state: DestinationState,
    waiting: Sequence[LedgerRow],
    held: Sequence[LedgerRow],
    newest: Sequence[LedgerRow],
    now: float,
) -> DestinationView:
    """Return the view of the rows, each newest first and at most MAX_COUNTED."""
    paused_until = _pause_end(state, now)
    reason = state.disabled_reason or (state.pause_reason if paused_until else "")
    ungrouped = [row for row in waiting if not row.group]
    due_times = [planned_at for row in ungrouped if (planned_at := row.planned_at) is not None]
    delivered_last_hour = [
        row for row in newest if row.state == ledger_rules.DELIVERED and row.updated_at > now - HOUR_SECONDS
    ]
    next_try_at = None
    if due_times and state.disabled_reason is None:
        next_try_at = max(min(due_times), paused_until or 0.0)
    return DestinationView(
        name=name,
        state=_state_word(state, paused_until),
        reason=reason or next((row.reason for row in (*ungrouped, *held)), ""),
        paused_until=paused_until,
        waiting=len(waiting),
        is_more=len(waiting) >= MAX_COUNTED,
        oldest_at=min((row.created_at for row in waiting), default=None),
        next_try_at=next_try_at,
        held=len(held),
        delivered_last_hour=len(delivered_last_hour),
        delivered_last_hour_of=MAX_COUNTED if len(newest) >= MAX_COUNTED else None,
        gathered=len(waiting) - len(ungrouped),
        newest=newest,
        waiting_rows=(*waiting, *held),
    )


def _pause_end(state: DestinationState, now: float) -> float | None:
    """Return the end of the pause; None if there is none, or it has no end."""
    is_paused = state.disabled_reason is None and state.paused_until is not None and state.paused_until > now
    return state.paused_until if is_paused else None


def _state_word(state: DestinationState, paused_until: float | None) -> Literal["delivering", "paused", "disabled"]:
    if paused_until is not None or state.disabled_reason == PAUSED_BY_OPERATOR:
        return "paused"
    return "delivering" if state.disabled_reason is None else "disabled"


class Gathering:
    """The groups in which deliveries wait, by notify's slice. Without it, the groups have no key and no person."""

    def __init__(self, notify: JsonObject | None) -> None:
        try:
            self._configured: Mapping[str, DeliveryOptions] = compiled_destinations(notify) if notify else {}
        except SliceFault:
            self._configured = {}
        self._recipients = recipient.compiled_recipients((notify or {}).get("people"))

    def gathers(self, destination: str) -> bool:
        configured = self._configured.get(destination)
        return configured is not None and bool(configured.gather or configured.alert_options)

    async def groups(self, rows: Sequence[LedgerRow]) -> tuple[WaitingGroup, ...]:
        """Return the groups in which the rows wait, the first to be closed first."""
        members = batching.grouped((row.group, row) for row in rows if row.group and row.retry_at is not None)
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
        """Return the group's key and the recipient's name; None for what the configuration and the event do not say."""
        configured, delivery = self._configured.get(row.destination), delivery_in(row.message)
        if configured is None or delivery is None:
            return None, None
        settings = configured.for_delivery(delivery).gather
        if settings is None:
            return None, None
        return settings.key(delivery.event), await self._person(configured, delivery)

    async def _person(self, configured: DeliveryOptions, delivery: Delivery) -> str | None:
        if configured.recipient is None or self._recipients is None:
            return None
        try:
            resolved = await self._recipients.find_person(configured, delivery)
        except errors.HookchainError:  # the event's data is in a blob
            return None
        return resolved.name if isinstance(resolved, people.Person) else None


def digests_in(*lists: Sequence[LedgerRow]) -> tuple[DigestView, ...]:
    """Return the newest digests among the rows, newest first."""
    rows = {row.key: row for rows in lists for row in rows if row.merged}
    newest = sorted(rows.values(), key=lambda row: row.created_at, reverse=True)[:MAX_DIGESTS]
    return tuple(
        DigestView(each.event_id, each.merged, each.state, each.created_at, each.updated_at) for each in newest
    )


_RATE_UNITS: Final = {1: "s", 60: "m", 3_600: "h", 86_400: "d"}


def caps_text(destination: Json) -> str:
    """Return the caps as the configuration writes them: `10/s, 5 at once, per data.customer.id`; empty without one."""
    written = mapping_at(destination)
    rate = written.get("rate")
    in_flight = written.get("in_flight")
    per = written.get("per")
    texts: list[str] = []
    match rate:
        case [count, int() | float() as seconds]:
            texts.append(f"{count}/{_RATE_UNITS.get(int(seconds)) or times.duration_text(seconds)}")
    if in_flight is not None:
        texts.append(f"{in_flight} at once")
    if texts and isinstance(per, str):
        texts.append(f"per {per}")
    return ", ".join(texts)


def schedule_text(destination: Json) -> str:
    """Return the attempts and the waits between them; empty if they are not known."""
    waits = value_at(destination, "retry_seconds")
    if not isinstance(waits, list):
        return ""
    if not waits:
        return "1 attempt"
    seconds = [wait for wait in waits if isinstance(wait, int | float)]
    return f"{len(waits) + 1} attempts, after waits of {waits_text(seconds)}"
