"""How long webhooks take while one receiver of twenty takes requests and never answers."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from shared.jsontext import Json, value_at
from tests.bench.configurations import configuration, small_order
from tests.bench.folders import new_folder
from tests.bench.load import Load, drive_beside
from tests.bench.pipe import NOTHING, Pipe, pipe, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import HOOK_PATH
from tests.running.ports import free_port
from tests.running.processes import started
from tests.stand_ins.bus import command

DESTINATIONS: Final = 20
EVENTS: Final = 100
ODD_ONE: Final = "inbox-0"
CONNECTIONS: Final = 4
"""Few: with all of them busy, a delivery waits for the others' turn, whoever hangs."""


def measure_hanging(run: Run) -> None:
    """Measure the slowest of nineteen receivers' webhooks while the twentieth hangs, and while it answers."""
    with ExitStack() as stack:
        url = f"http://{stack.enter_context(stand_in(new_folder()))}{HOOK_PATH}"
        mute = stack.enter_context(_mute())
        texts = {False: configuration(1, DESTINATIONS, url), True: configuration(1, DESTINATIONS, url, {ODD_ONE: mute})}
        pipes = {
            (tree.name, hangs): stack.enter_context(pipe(tree, text))
            for tree in run.trees
            for hangs, text in texts.items()
        }
        for each in pipes.values():
            _round(each)
        for _, tree in run.rounds_of("webhooks beside one that hangs"):
            calm, hanging = (_round(pipes[tree.name, hangs]) for hangs in (False, True))
            run.record("webhook-hanging", tree, hanging.p99_ms / calm.p99_ms)


@contextmanager
def _mute() -> Iterator[str]:
    """A receiver that takes requests and never answers: its URL."""
    port = free_port()
    with started(command("silent", port), {}, port, NOTHING, ready="open"):
        yield f"http://127.0.0.1:{port}/"


def _round(each: Pipe) -> Load:
    """Push the deliveries of some events: those of the odd one all at once, and the others beside them."""
    each.receive(each.orders(EVENTS, small_order))
    each.push("transform", each.published("transform"))
    deliveries = each.published("notify")
    beside = each.pushes("notify", [one for one in deliveries if _is_odd(one)])
    others = each.pushes("notify", [one for one in deliveries if not _is_odd(one)])
    load = drive_beside(each.servers["notify"].port, others, beside, CONNECTIONS)
    assert load.failed == 0, f"{load.failed} of {len(others)} pushes failed"
    return load


def _is_odd(message: Json) -> bool:
    document = json.loads(base64.b64decode(str(value_at(message, "data"))))
    return bool(document["data"]["destination"] == ODD_ONE)
