"""Print the milliseconds of CPU that the first route's chain takes for an event: `steps.py SLICE DATA`."""

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Final

from functions.transform.chain import Chain
from functions.transform.program import read_program
from shared.event import Event

ROUNDS: Final = 11
EVENTS: Final = 200


def main(slice_file: Path, data_file: Path) -> float:
    chain = read_program(json.loads(slice_file.read_text())).routes[0].chain
    data = json.loads(data_file.read_text())
    event = Event("e1", "/sources/shop-0", "order.created", "2026-03-01T12:00:00.000Z", "00", data)
    return statistics.median(asyncio.run(_milliseconds(chain, event)) for _ in range(ROUNDS))


async def _milliseconds(chain: Chain, event: Event) -> float:
    assert len((await chain.run(event)).events) == 1
    began = time.process_time()
    for _ in range(EVENTS):
        await chain.run(event)
    return (time.process_time() - began) * 1_000 / EVENTS


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
