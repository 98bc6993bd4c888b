"""The handlers on Lambda: cold starts, what receive adds to an invocation, its package, and the CPU of an event."""

import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.dev.aws.tools import AwsTools, ToolsMissing, find_tools
from shared.jsontext import Json
from tests.bench.configurations import configuration, everything, order, signed, small_order
from tests.bench.events import GOOGLE_EVENTS
from tests.bench.handlers import Invoked, environ_at, handler, install, package_bytes, queue_event, url_event
from tests.bench.pipe import FED_BY, FUNCTIONS, SAMPLES, Pipe, pipe, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import recorded_messages
from tests.bench.tree import Tree

BATCH: Final = 10
WARM_UP: Final = 50
INVOCATIONS: Final = 60
"""Of each kind and round."""
BARE_ENTRY: Final = "lambda_handler.handler"
ORDER: Final = url_event(signed(order("start")))


@dataclass
class Deployed:
    """The packages of a tree, with everything configured, and its functions of a small configuration, running.

    first    the event of each function's first invocation
    """

    folder: Path
    environ: Mapping[str, str]
    first: dict[str, bytes]
    warm: dict[str, Invoked]
    google: Pipe
    prepared: int = 0

    def orders(self, count: int) -> list[bytes]:
        self.prepared += count
        return [small_order(f"{number:012d}") for number in range(self.prepared - count, self.prepared)]

    def published(self, name: str) -> list[Json]:
        return recorded_messages(self.folder, FED_BY[name])

    def batches(self, name: str, size: int) -> list[bytes]:
        """Return the events of what was published for the function since the last call."""
        entries = self.published(name)
        return [queue_event(FED_BY[name], entries[at : at + size]) for at in range(0, len(entries), size)]


def measure_lambda(run: Run) -> None:
    try:
        tools = find_tools()
    except ToolsMissing as missing:
        raise RuntimeError(str(missing)) from missing
    with contextlib.ExitStack() as stack:
        deployed: dict[str, Deployed] = {}
        for tree in run.trees:
            with run.missing_elsewhere(tree):
                deployed[tree.name] = stack.enter_context(_deployed(run, tree, tools))
        bare = stack.enter_context(_bare(deployed[run.trees[0].name], tools))
        for tree in run.trees:
            if tree.name in deployed:
                unpacked, packed = package_bytes(deployed[tree.name].folder / "build" / "receive")
                run.record("lambda-package", tree, packed / 1e6)
                run.record("lambda-unpacked", tree, unpacked / 1e6)
        for _, tree in run.rounds_of("Lambda"):
            if tree.name in deployed:
                _measure_starts(run, tree, deployed[tree.name], tools)
                _measure_overhead(run, tree, deployed[tree.name], bare)
                _measure_cpu(run, tree, deployed[tree.name])


def _measure_starts(run: Run, tree: Tree, deployed: Deployed, tools: AwsTools) -> None:
    with _bare(deployed, tools) as bare:
        reference = bare.invoke(ORDER)
    for name in FUNCTIONS:
        with _function(deployed.folder / "build" / name, deployed.environ, tools) as invoked:
            run.record(f"lambda-start-{name}", tree, invoked.invoke(deployed.first[name]) / reference)


def _measure_overhead(run: Run, tree: Tree, deployed: Deployed, bare: Invoked) -> None:
    """Invoke the two in turn, so that both meet the same noise."""
    receive = deployed.warm["receive"]
    seconds: list[tuple[float, float]] = []
    for body in deployed.orders(INVOCATIONS):
        event = url_event(signed(body))
        seconds.append((receive.invoke(event), bare.invoke(event)))
    own, others = zip(*seconds, strict=True)
    run.record("lambda-overhead", tree, (statistics.median(own) - statistics.median(others)) * 1000)


def _measure_cpu(run: Run, tree: Tree, deployed: Deployed) -> None:
    reference = deployed.google.all_through(deployed.google.orders(GOOGLE_EVENTS, small_order))
    for name in FED_BY:
        deployed.published(name)
    for size, suffix in ((1, ""), (BATCH, "-batch")):
        for name in FUNCTIONS:
            if name == "receive":
                events = [url_event(signed(body)) for body in deployed.orders(INVOCATIONS)]
            else:
                events = deployed.batches(name, size)
            invoked = deployed.warm[name]
            before = invoked.cpu_seconds()
            for event in events:
                invoked.invoke(event)
            spent = (invoked.cpu_seconds() - before) / INVOCATIONS
            if name != "receive" or size == 1:
                run.record(f"lambda-{name}{suffix}", tree, spent / reference[name].seconds)


@contextlib.contextmanager
def _deployed(run: Run, tree: Tree, tools: AwsTools) -> Iterator[Deployed]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for config, bundles in ((everything(), "build"), (configuration(), "small")):
            (folder / f"{bundles}.yaml").write_text(config, encoding="utf-8")
            tree.bundles(folder / f"{bundles}.yaml", folder / bundles, "--platform", "aws")
        for each in FUNCTIONS:
            run.say(f"Lambda: install {each} of {tree.name}")
            install(folder / "build" / each)
        environ = environ_at(f"http://{stack.enter_context(stand_in(folder))}")
        google = stack.enter_context(pipe(tree, configuration(), "google"))
        google.warm_up((small_order,))
        deployed = Deployed(folder, environ, {"receive": ORDER}, {}, google)
        for each in FUNCTIONS:
            with _function(folder / "build" / each, environ, tools) as invoked:
                invoked.invoke(deployed.first[each])
            if each == "receive":
                [deployed.first["transform"]] = deployed.batches("transform", 1)
            elif each == "transform":
                [deployed.first["notify"]] = deployed.batches("notify", 1)
            own = {**environ, "HOOKCHAIN_SLICE": str(folder / "small" / each / "slice.json")}
            deployed.warm[each] = stack.enter_context(_function(folder / "build" / each, own, tools))
        _warm_up(deployed)
        yield deployed


def _warm_up(deployed: Deployed) -> None:
    for body in deployed.orders(WARM_UP):
        deployed.warm["receive"].invoke(url_event(signed(body)))
    for name in FED_BY:
        for event in deployed.batches(name, 1):
            deployed.warm[name].invoke(event)


def _function(package: Path, environ: Mapping[str, str], tools: AwsTools) -> contextlib.AbstractContextManager[Invoked]:
    return handler(package, f"functions.{package.name}.lambda_handler.handler", environ, tools)


def _bare(deployed: Deployed, tools: AwsTools) -> contextlib.AbstractContextManager[Invoked]:
    return handler(SAMPLES / "bare_lambda", BARE_ENTRY, deployed.environ, tools)
