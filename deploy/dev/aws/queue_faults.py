"""Faults of a function's queues on demand, which tests ask for: POST /emulator/faults.

`{"seed": 7, "bus": {"duplicate": 0.05, "delay": 0.05, "nack": 0.05}}`, as the emulated Pub/Sub takes it. A message is
then handed over twice, later, or again after it was done. What the document does not name stays as it is.
"""

import random
from typing import Final

from aiohttp import web

from deploy.dev.pubsub.faults import FaultPlan, Faults
from shared.jsontext import Json, from_json

PATH: Final = "/emulator/faults"
NAMES: Final = frozenset({"duplicate", "delay", "delay_seconds", "nack"})


def no_faults() -> FaultPlan:
    return FaultPlan(Faults(), random.Random(0))  # noqa: S311 -- dice for faults


async def answer_change(plan: FaultPlan, request: web.Request) -> web.Response:
    """Change the faults; 400 if the document is not valid, and then nothing is changed."""
    try:
        change_faults(plan, from_json(await request.read()))
    except (ValueError, RecursionError) as error:
        return web.Response(status=400, text=f"{error}\n")
    return web.json_response({"bus": plan.faults.document()})


def change_faults(plan: FaultPlan, changes: Json) -> None:
    """Raises ValueError, and changes nothing then."""
    if not isinstance(changes, dict) or changes.keys() - {"seed", "bus"}:
        raise ValueError("faults: must be a JSON object of 'seed' and 'bus'.")
    bus, seed = changes.get("bus", {}), changes.get("seed")
    if not isinstance(bus, dict) or bus.keys() - NAMES:
        raise ValueError(f"bus: must be an object of {', '.join(sorted(NAMES))}.")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ValueError(f"seed: must be a whole number; got {seed!r}.")
    plan.faults = plan.faults.changed(bus)
    if seed is not None:
        plan.generator.seed(seed)
