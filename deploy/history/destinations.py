"""The destinations as an operator watches them: whether each takes deliveries, and what waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from shared.jsontext import JsonObject
from shared.ledger import STATE_SECONDS, DestinationState, Ledger, LedgerRow
from shared.ledger_rules import DELIVERED, HELD, RETRY_SCHEDULED
from shared.times import rfc3339

HOUR_SECONDS: Final = 3_600.0
MAX_COUNTED: Final = 100
"""Of the waiting, held and newest deliveries, so many are read of each destination: a cloud bills each."""
AT_ONCE: Final = 16
MAX_SHOWN: Final = 100
"""Of a configuration's destinations, so many are read for a table."""
PAUSED_BY_OPERATOR: Final = "paused by an operator"
"""The reason of a destination that `hookchain pause` or the page disabled."""


@dataclass(frozen=True, slots=True)
class DestinationView:
    """A destination now. Times are Unix seconds.

    state         `delivering`; `paused` until `paused_until`: its breaker is open, or an operator paused it for a time;
                  `disabled`: it takes nothing until `hookchain resume`
    reason        why it is disabled; else why the newest waiting delivery waits
    waiting       the deliveries whose next attempt is scheduled; with `is_more`, there are more
    oldest_at     when the oldest of them was first claimed
    next_try_at   the first of their due times
    held          the deliveries that wait until an operator acts
    hour          of the newest deliveries, at most MAX_COUNTED, those delivered within the last hour
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
    hour: int = 0

    def document(self) -> JsonObject:
        return {
            "destination": self.name,
            "state": self.state,
            "reason": self.reason or None,
            "paused_until": _time(self.paused_until),
            "waiting": self.waiting,
            "more": self.is_more,
            "oldest": _time(self.oldest_at),
            "next_try": _time(self.next_try_at),
            "held": self.held,
            "delivered_last_hour": self.hour,
        }


class Resumed(NamedTuple):
    """The numbers of deliveries that come now: those that were held, and those that waited."""

    held: int
    waiting: int = 0


async def read_destinations(ledger: Ledger, names: Iterable[str], now: float) -> Sequence[DestinationView]:
    """Return the view of each destination, in the order of `names`. Raises Temporary."""
    places = asyncio.Semaphore(AT_ONCE)

    async def read(name: str) -> DestinationView:
        async with places:
            state, waiting, held, newest = await asyncio.gather(
                ledger.destination_state(name),
                ledger.rows(MAX_COUNTED, destination=name, state=RETRY_SCHEDULED),
                ledger.rows(MAX_COUNTED, destination=name, state=HELD),
                ledger.rows(MAX_COUNTED, destination=name),
            )
        return destination_view(name, state, waiting, held, newest, now)

    return await asyncio.gather(*(read(name) for name in dict.fromkeys(names)))


async def resume_destination(
    ledger: Ledger, name: str, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Resumed:
    """Let the destination take deliveries again: what is held for it, and what waits while it is paused.

    Instances of notify may use what they know of a pause for STATE_SECONDS. What waits comes after that time, and what
    they let wait meanwhile is looked for after it. Raises Temporary.
    """
    state, began = await ledger.destination_state(name), now()
    held = await ledger.release(name, began)
    if state.paused_until is None or state.paused_until <= began:
        return Resumed(held)
    waiting = await ledger.hasten(name, began, began + STATE_SECONDS + 1)
    await sleep(STATE_SECONDS + 1)
    return Resumed(held, waiting + await ledger.hasten(name, now(), now()))


def destination_view(
    name: str,
    state: DestinationState,
    waiting: Sequence[LedgerRow],
    held: Sequence[LedgerRow],
    newest: Sequence[LedgerRow],
    now: float,
) -> DestinationView:
    """Return the view of the rows, each newest first and at most MAX_COUNTED."""
    is_paused = state.paused_until is not None and state.paused_until > now
    reason = state.disabled_reason or next((row.reason for row in (*waiting, *held)), "")
    return DestinationView(
        name=name,
        state="disabled" if state.disabled_reason is not None else "paused" if is_paused else "delivering",
        reason=reason,
        paused_until=state.paused_until if is_paused else None,
        waiting=len(waiting),
        is_more=len(waiting) >= MAX_COUNTED,
        oldest_at=min((row.created_at for row in waiting), default=None),
        next_try_at=min((row.retry_at for row in waiting if row.retry_at is not None), default=None),
        held=len(held),
        hour=sum(row.state == DELIVERED and row.updated_at > now - HOUR_SECONDS for row in newest),
    )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
