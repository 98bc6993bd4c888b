"""The check of deliveries on this machine: the destinations that deliver nothing until somebody acts."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from deploy.history.local import open_local_state
from deploy.history.state import State, StateFault
from deploy.history.status import held_destinations
from deploy.terminal.finding import Finding, ok, problem
from deploy.terminal.output import count_of
from shared.jsontext import JsonObject
from shared.ledger import PAUSED_BY_OPERATOR


def deliveries(state: Path, names: Iterable[str]) -> Finding:
    """Check the configured destinations, and those of the newest held deliveries. Raises HookchainError."""
    try:
        with open_local_state(state) as local:
            held = asyncio.run(_held(local, names))
    except StateFault:
        return ok("none yet")
    if not held:
        return ok("no destination is held")
    texts = [
        f"{each['destination']}, {count_of(int(str(each['count'])), 'delivery', 'deliveries')}: {each['reason']}"
        for each in held
    ]
    commands = [f"hookchain {each['act']} {each['destination']}" for each in held]
    return problem(f"held: {'; '.join(texts)}", f"correct it, then run: {'; '.join(commands)}")


async def _held(state: State, names: Iterable[str]) -> list[JsonObject]:
    """Return what is held for another reason than that somebody paused it on purpose."""
    async with state.ledger() as ledger:
        found = await held_destinations(ledger, names, time.time())
    documents = [each for each in found if isinstance(each, dict)]
    return [each for each in documents if each["reason"] and PAUSED_BY_OPERATOR not in str(each["reason"])]
