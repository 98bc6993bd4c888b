"""Another sender of webhooks, side by side: the same number of events to twenty endpoints each, in the same run.

CPU counts from the moment when an event is known: to find its endpoints, write down each delivery, sign it, send it and
record what came of it. Of Hookchain it is that of notify, of the other that of the one process that does all of this.
Both keep what they write in SQLite, synced.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.jsontext import JsonObject
from tests.bench.folders import new_folder
from tests.bench.peers import NotInstalled, python_environment
from tests.bench.pipe import NOTHING
from tests.bench.run import Run
from tests.bench.stats import median, quartiles
from tests.bench.subscribers import SECRET, World, endpoint_world
from tests.ports import free_port
from tests.processes import started

ENDPOINTS: Final = 20
EVENTS: Final = 10
OTHER: Final = "django-outbound-webhooks"
SENDER: Final = Path(__file__).parent / "functions" / "django_sender.py"


def measure_senders(run: Run) -> list[JsonObject]:
    """Return a row for each sender, with the CPU of a delivery as a multiple of Hookchain's."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        receivers = [sys.executable, "-m", "tests.bench.receivers", str(port)]
        stack.enter_context(started(receivers, {}, port, NOTHING, ready="open"))
        world = stack.enter_context(endpoint_world(run.trees[0], port, endpoints=ENDPOINTS))
        run.say(f"side by side: install and start {OTHER}")
        try:
            other = stack.enter_context(_other(new_folder(), port))
        except (NotInstalled, OSError) as error:
            return [{"sender": OTHER, "skipped": str(error)}]
        _own_seconds(world)
        _other_seconds(other)
        own, others = [], []
        for number in range(run.rounds):
            run.say(f"side by side: round {number + 1} of {run.rounds}")
            own.append(_own_seconds(world))
            others.append(_other_seconds(other))
    run.clear()
    ratios = [each / unit for each, unit in zip(others, own, strict=True)]
    low, high = quartiles(ratios)
    return [
        {"sender": "Hookchain's notify", "multiple": 1.0, "microseconds": median(own) * 1e6},
        {"sender": OTHER, "multiple": median(ratios), "low": low, "high": high, "microseconds": median(others) * 1e6},
    ]


def senders_markdown(rows: list[JsonObject]) -> str:
    lines = ["| sender | CPU of a delivery to one of 20 endpoints |", "|---|---|"]
    for row in rows:
        figure = f"skipped: {row['skipped']}" if "skipped" in row else f"{float(str(row['multiple'])):.1f} ×"
        lines.append(f"| {row['sender']} | {figure} |")
    return "\n".join(lines)


def _own_seconds(world: World) -> float:
    """Return the CPU seconds of a delivery, with its share of the fan-out."""
    seconds, made = world.fan_out(EVENTS)
    assert len(made) == EVENTS * ENDPOINTS
    return seconds / len(made) + world.pipe.push("notify", made).seconds


@contextlib.contextmanager
def _other(folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """Start the other sender, with its endpoints. Raises NotInstalled."""
    programs = python_environment(folder, OTHER)
    command = [str(programs / "python"), str(SENDER), str(folder), str(port), str(ENDPOINTS), SECRET]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise NotInstalled(f"{OTHER} does not start")
            yield process
        finally:
            process.terminate()


def _other_seconds(process: "subprocess.Popen[str]") -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{EVENTS}\n")
    process.stdin.flush()
    seconds, delivered = process.stdout.readline().split()
    assert int(delivered) == EVENTS * ENDPOINTS
    return float(seconds) / int(delivered)
