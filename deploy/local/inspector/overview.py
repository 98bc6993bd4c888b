"""The numbers above the lists, and what an operator has to know: held destinations, trouble on demand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.commands.state.local import destination_names
from deploy.local.inspector.parts import LocalParts
from deploy.local.supervisor.dev_file import config_faults, read_hint
from shared.jsontext import Json, JsonObject
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


async def overview(parts: LocalParts, now: float) -> JsonObject:
    counts = await parts.read(lambda: (parts.reader.counts(), parts.reader.totals(), parts.mailbox.count()))
    statuses, totals, mails = counts
    return {
        "statuses": dict(statuses),
        "refused": totals.refused,
        "dead_letters": totals.dead_letters,
        "mail": mails,
        "config_faults": config_faults(parts.state),
        "held": await held_destinations(parts.ledger, destination_names(parts.state), now),
    }


def hint_document(state: Path) -> JsonObject:
    hint = read_hint(state)
    return {"trial": hint.trial, "sources": list(hint.sources)} if hint else {"trial": "", "sources": []}
