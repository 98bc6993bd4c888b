"""Destinations that take nothing, and why."""

from collections.abc import Sequence
from typing import Final

from shared.jsontext import Json
from shared.ledger import DestinationState, Ledger
from shared.times import rfc3339

MAX_HELD: Final = 1_000
LOOKED_AT: Final = 100
"""Of what is held, so many of the newest may tell of a destination that the configuration has no more."""


async def held_destinations(ledger: Ledger, names: Sequence[str], now: float) -> list[Json]:
    """Those that take nothing, and why; `count` deliveries wait, up to a bound."""
    held: list[Json] = []
    newest = await ledger.rows(LOOKED_AT, state="disabled")
    for name in dict.fromkeys([*names, *(row.destination for row in newest)]):
        state = await ledger.destination_state(name)
        waiting = await ledger.rows(MAX_HELD, destination=name, state="disabled")
        if state.disabled_reason is not None or waiting:
            held.append(held_document(name, state, state.disabled_reason or waiting[0].reason, len(waiting)))
        elif state.paused_until is not None and state.paused_until > now:
            held.append(held_document(name, state, None, 0))
    return held


def held_document(name: str, state: DestinationState, reason: str | None, count: int) -> Json:
    paused_until = None if state.paused_until is None else rfc3339(state.paused_until)
    return {"destination": name, "reason": reason, "count": count, "paused_until": paused_until}
