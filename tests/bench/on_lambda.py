"""The handlers on Lambda: cold starts, what receive adds to an invocation, its package, and the CPU of an event."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from deploy.dev.aws.environments import AwsTools, find_tools
from deploy.terminal.command_line import CommandError
from tests.bench.configurations import configuration, everything, order, signed, small_order
from tests.bench.events import GOOGLE_EVENTS
from tests.bench.folders import new_folder
from tests.bench.handlers import (
    Invoked,
    archive_bytes,
    cpu_seconds,
    entry_of,
    environ_at,
    handler,
    install,
    queue_event,
    url_event,
)
from tests.bench.pipe import FED_BY, FUNCTIONS, SAMPLES, Fed, Pipe, pipe, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import recorded_messages
from tests.bench.tree import Tree
from tests.bench.turns import stages

BATCH: Final = 10
WARM_UP: Final = 50
INVOCATIONS: Final = 60
"""Of each kind and round."""
BARE_ENTRY: Final = "lambda_handler.handler"
ORDER: Final = url_event(signed(order("start")))


@dataclass(slots=True)
class Packages:
    """The packages of a tree with everything configured, and the slices of a small configuration.

    google  the same functions with the small configuration, on functions-framework
    first   the event of each function's first invocation
    """

    folder: Path
    tools: AwsTools
    environ: Mapping[str, str]
    google: Pipe
    first: dict[str, bytes] = field(default_factory=lambda: {"receive": ORDER})
    prepared: int = 0

    def package(self, name: str) -> Path:
        return self.folder / "build" / name

    def small(self, name: str) -> dict[str, str]:
        """Return the environment of a function with the small configuration."""
        return {**self.environ, "HOOKCHAIN_SLICE": str(self.folder / "small" / name / "slice.json")}

    def bare(self) -> contextlib.AbstractContextManager[Invoked]:
        return handler(SAMPLES / "bare_lambda", BARE_ENTRY, self.environ, self.tools)

    def cold(self, name: str) -> contextlib.AbstractContextManager[Invoked]:
        return handler(self.package(name), entry_of(name), self.environ, self.tools)

    def orders(self, count: int) -> list[bytes]:
        """Return the events of requests that no one has sent before."""
        self.prepared += count
        ids = range(self.prepared - count, self.prepared)
        return [url_event(signed(small_order(f"{number:012d}"))) for number in ids]

    def batches(self, name: Fed, size: int) -> list[bytes]:
        """Return the events of what was published for the function since the last call."""
        entries = recorded_messages(self.folder, FED_BY[name])
        return [queue_event(FED_BY[name], entries[at : at + size]) for at in range(0, len(entries), size)]

    def forget(self) -> None:
        """Leave out what was published so far."""
        for name in FED_BY:
            recorded_messages(self.folder, FED_BY[name])


def measure_lambda(run: Run) -> None:
    try:
        tools = find_tools()
    except CommandError as missing:
        raise RuntimeError(str(missing)) from missing
    with contextlib.ExitStack() as stack:
        measured: dict[str, tuple[Packages, Invoked]] = {}
        for tree in run.trees:
            with run.missing_elsewhere(tree):
                packages = stack.enter_context(_packages(run, tree, tools))
                measured[tree.name] = packages, stack.enter_context(_warm_receive(packages))
                run.record("lambda-package", tree, archive_bytes(packages.package("receive")) / 1e6)
        bare = stack.enter_context(packages.bare())
        bare.invoke(ORDER)
        for _, tree in run.rounds_of("Lambda"):
            if tree.name in measured:
                packages, receive = measured[tree.name]
                _measure_starts(run, tree, packages)
                _measure_overhead(run, tree, packages, receive, bare)
                _measure_cpu(run, tree, packages)


@contextlib.contextmanager
def _packages(run: Run, tree: Tree, tools: AwsTools) -> Iterator[Packages]:
    with contextlib.ExitStack() as stack:
        folder = new_folder()
        for config, bundles in ((everything(), "build"), (configuration(), "small")):
            (folder / f"{bundles}.yaml").write_text(config, encoding="utf-8")
            tree.bundles(folder / f"{bundles}.yaml", folder / bundles, "--platform", "aws")
        for each in FUNCTIONS:
            run.say(f"Lambda: install {each} of {tree.name}")
            install(folder / "build" / each)
        environ = environ_at(f"http://{stack.enter_context(stand_in(folder))}")
        google = stack.enter_context(pipe(tree, configuration(), "google"))
        google.warm_up((small_order,))
        packages = Packages(folder, tools, environ, google)
        _invoke_once(packages, "receive")
        for fed in FED_BY:
            [packages.first[fed]] = packages.batches(fed, 1)
            _invoke_once(packages, fed)
        yield packages


def _invoke_once(packages: Packages, name: str) -> float:
    with packages.cold(name) as cold:
        return cold.invoke(packages.first[name])


@contextlib.contextmanager
def _warm_receive(packages: Packages) -> Iterator[Invoked]:
    environ = packages.small("receive")
    with handler(packages.package("receive"), entry_of("receive"), environ, packages.tools) as receive:
        for event in packages.orders(WARM_UP):
            receive.invoke(event)
        yield receive


def _measure_starts(run: Run, tree: Tree, packages: Packages) -> None:
    with packages.bare() as bare:
        reference = bare.invoke(ORDER)
    for name in FUNCTIONS:
        run.record(f"lambda-start-{name}", tree, _invoke_once(packages, name) / reference)


def _measure_overhead(run: Run, tree: Tree, packages: Packages, receive: Invoked, bare: Invoked) -> None:
    """Invoke the two in turn, so that both meet the same noise."""
    seconds = [(receive.invoke(event), bare.invoke(event)) for event in packages.orders(INVOCATIONS)]
    own, others = zip(*seconds, strict=True)
    run.record("lambda-overhead", tree, (statistics.median(own) - statistics.median(others)) * 1000)


def _measure_cpu(run: Run, tree: Tree, packages: Packages) -> None:
    """Compare each handler that is given so many events at a time with the same function on functions-framework, which
    is given as many at once just before."""
    for size, suffix in ((1, ""), (BATCH, "-batch")):
        packages.forget()
        packages.google.connections = size
        events: dict[str, Callable[[], list[bytes]]] = {name: partial(packages.batches, name, size) for name in FED_BY}
        orders = packages.google.orders(GOOGLE_EVENTS, small_order)
        for name, (google,) in stages((packages.google, orders)):
            if name in events:
                seconds = _event_seconds(packages, name, events[name](), size)
            else:
                seconds = _event_seconds(packages, name, packages.orders(WARM_UP + INVOCATIONS), 1)
            if name in events or size == 1:  # receive takes no batches
                run.record(f"lambda-{name}{suffix}", tree, seconds / google.seconds)


def _event_seconds(packages: Packages, name: str, events: list[bytes], size: int) -> float:
    spent = cpu_seconds(packages.package(name), entry_of(name), packages.small(name), events, WARM_UP // size)
    return spent / INVOCATIONS
