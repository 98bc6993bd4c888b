"""CPU of an event in each function, how it grows, what it is with Google's adapters, and memory over many events."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.bench.configurations import (
    configuration,
    order,
    order_with_attachment,
    signed,
    small_order,
)
from tests.bench.folders import new_folder
from tests.bench.load import CONNECTIONS, drive, http_post
from tests.bench.pipe import NOTHING, SAMPLES, WARM_UP, Cost, Pipe, bare, cost, function, pipe, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import HOOK_PATH
from tests.bench.tree import Tree
from tests.bench.turns import REPEATS, Job, costs, stages
from tests.running.ports import free_port
from tests.running.processes import Running, started
from tests.stand_ins.bus import command

GOOGLE_EVENTS: Final = 80
BARE_REQUESTS: Final = 1_500
BARE_FACTOR: Final = 4
"""About how many times as long as the bare function one of ours takes: receive two times, notify five."""
BARE_REQUEST: Final = http_post(signed(order("bare")))
FEW: Final = 4
GIVEN_BACK_SECONDS: Final = 6.0
"""After so long without a large event, a function has given the memory of the last one back."""
MEMORY_BATCH: Final = 500
MIDDLE_SOURCE: Final = "shop-500"


@dataclass(frozen=True, slots=True)
class Pipes:
    """The functions of one tree: plain, for bodies of 1 MB, with 1,000 of everything, with 100 destinations."""

    plain: Pipe
    large: Pipe
    thousand: Pipe
    wide: Pipe


def measure_events(run: Run) -> None:
    """Measure each function by itself with small events, and receive with 2 KB too."""
    with bare() as reference, _library() as library, contextlib.ExitStack() as stack:
        pipes = {tree.name: _warm_pipe(run, tree, stack) for tree in run.trees}

        def beside_bare(_: str, count: int) -> list[Job]:
            return [bare_job(reference, count)]

        def beside_usual(name: str, count: int) -> list[Job]:
            of_library = [Job(library, [http_post(signed(order(f"library {n}"))) for n in range(count)])]
            return [bare_job(reference, count), *(of_library if name == "receive" else [])]

        for _, tree in run.rounds_of("CPU of an event"):
            plain = pipes[tree.name]
            for _ in range(REPEATS):
                whole, orders = 0.0, plain.orders(400, small_order)
                for name, (own, unit) in stages((plain, orders), beside=beside_bare):
                    run.record_cost("receive-small" if name == "receive" else name, tree, own, unit)
                    whole += own.seconds / unit.seconds
                run.record("pipe", tree, whole)
            orders = plain.orders(200, order)
            [(_, (own, unit, of_library)), *_] = stages((plain, orders), beside=beside_usual)
            run.record_cost("receive", tree, own, unit)
            run.record("receive-library", tree, own.seconds / of_library.seconds)


def measure_growth(run: Run) -> None:
    """Measure larger bodies and larger configurations, each beside the plain one in the same round."""
    with _storing() as storing, contextlib.ExitStack() as stack:
        pipes = {tree.name: _warm_pipes(run, tree, stack) for tree in run.trees}
        before = {tree.name: pipes[tree.name].large.memory_mib() for tree in run.trees}
        for _, tree in run.rounds_of("growth"):
            _grow(run, tree, pipes[tree.name], storing)
        for tree in run.trees:
            large = pipes[tree.name].large
            large.all_through(large.orders(20, small_order))
            time.sleep(GIVEN_BACK_SECONDS)
            grown = [after / before[tree.name][name] for name, after in large.memory_mib().items()]
            run.record("memory-1mb", tree, max(grown))


def measure_webhooks(run: Run) -> None:
    """Measure notify with one webhook, beside one mail of the same event."""
    with contextlib.ExitStack() as stack:
        url = f"http://{stack.enter_context(stand_in(new_folder()))}{HOOK_PATH}"
        mails = {tree.name: _warm_pipe(run, tree, stack) for tree in run.trees}
        hooks = {tree.name: stack.enter_context(pipe(tree, configuration(webhook=url))) for tree in run.trees}
        for each in hooks.values():
            each.warm_up((small_order,))
        for _, tree in run.rounds_of("CPU of a webhook"):
            both = hooks[tree.name], mails[tree.name]
            for _ in range(REPEATS):
                *_, (_, (of_hook, of_mail)) = stages(*((each, each.orders(300, small_order)) for each in both))
                run.record_cost("notify-webhook", tree, of_hook, of_mail)


def _warm_pipe(run: Run, tree: Tree, stack: contextlib.ExitStack, connections: int = CONNECTIONS) -> Pipe:
    run.say(f"start the functions of {tree.name}")
    plain = stack.enter_context(pipe(tree, configuration(), connections=connections))
    plain.warm_up((small_order, order))
    return plain


def _warm_pipes(run: Run, tree: Tree, stack: contextlib.ExitStack) -> Pipes:
    plain, large = _warm_pipe(run, tree, stack), _warm_pipe(run, tree, stack, FEW)
    thousand = stack.enter_context(pipe(tree, configuration(sources=1_000)))
    thousand.warm_up((small_order,), MIDDLE_SOURCE)
    wide = stack.enter_context(pipe(tree, configuration(destinations=100), "local", ("transform",), FEW))
    plain.receive(plain.orders(20, small_order))
    [first, *others] = plain.published("transform")
    wide.push("transform", [first])
    wide.push("transform", others)
    return Pipes(plain, large, thousand, wide)


def _grow(run: Run, tree: Tree, pipes: Pipes, storing: Running) -> None:
    plain, large, thousand, wide = pipes.plain, pipes.large, pipes.thousand, pipes.wide
    small: dict[str, Cost] = {}
    for _ in range(REPEATS):
        with_many = (thousand, thousand.orders(250, small_order, MIDDLE_SOURCE))
        for name, (grown, small[name]) in stages(with_many, (plain, plain.orders(250, small_order))):
            run.record_cost(f"{name}-1000", tree, grown, small[name])
    attached = large.orders(12, order_with_attachment)
    least = Job(storing, large.orders(12, order_with_attachment), FEW)
    for name, (own, unit, *others) in stages(
        (large, attached),
        (plain, plain.orders(400, order)),
        beside=lambda name, _: [least] if name == "receive" else [],
    ):
        run.record_cost(f"{name}-1mb", tree, own, unit)
        for each in others:
            run.record("receive-1mb-least", tree, own.seconds / each.seconds)
    for _ in range(REPEATS):
        plain.receive(plain.orders(250, small_order))
        messages = plain.published("transform")
        wide_job = Job(wide.servers["transform"], wide.pushes("transform", messages[:50]), FEW)
        plain_job = Job(plain.servers["transform"], plain.pushes("transform", messages[50:]))
        run.record_cost("transform-100", tree, *costs(wide_job, plain_job))


def measure_google(run: Run) -> None:
    """Measure the same functions with Firestore as ledger and journal."""
    with bare() as reference, contextlib.ExitStack() as stack:
        pipes = {tree.name: stack.enter_context(pipe(tree, configuration(), "google")) for tree in run.trees}
        for each in pipes.values():
            each.warm_up((small_order,))
        for _, tree in run.rounds_of("CPU of an event with Google's adapters"):
            google = pipes[tree.name]
            before = google.firestore.counts.copy()
            whole, orders = 0.0, google.orders(GOOGLE_EVENTS, small_order)
            for name, (own, unit) in stages((google, orders), beside=lambda _, count: [bare_job(reference, count)]):
                run.record_cost(f"google-{name}", tree, own, unit)
                whole += own.seconds / unit.seconds
            documents = google.firestore.counts - before
            run.record("google", tree, whole)
            run.record("google-writes", tree, documents["documents written"] / GOOGLE_EVENTS)
            run.record("google-reads", tree, documents["documents read"] / GOOGLE_EVENTS)


def measure_memory(run: Run) -> None:
    """Compare each function's memory after its warm-up with that after all the events."""
    with contextlib.ExitStack() as stack:
        pipes = {tree.name: stack.enter_context(pipe(tree, configuration())) for tree in run.trees}
        for each in pipes.values():
            each.warm_up((small_order,))
            for _ in range(3):
                each.all_through(each.orders(MEMORY_BATCH, small_order))
        warm = {tree.name: pipes[tree.name].memory_mib() for tree in run.trees}
        for _, tree in run.rounds_of("memory", max(1, run.events // MEMORY_BATCH)):
            pipes[tree.name].all_through(pipes[tree.name].orders(MEMORY_BATCH, small_order))
        for tree in run.trees:
            for name, mib in pipes[tree.name].memory_mib().items():
                run.record(f"memory-{name}", tree, (mib / warm[tree.name][name] - 1) * 100)


def bare_cost(reference: Running) -> Cost:
    return cost(reference, [BARE_REQUEST] * BARE_REQUESTS)


def bare_job(reference: Running, count: int) -> Job:
    """Return requests that keep the bare function busy for about as long as `count` keep a function of ours."""
    return Job(reference, [BARE_REQUEST] * (BARE_FACTOR * count))


@contextlib.contextmanager
def _storing() -> Iterator[Running]:
    """A function that does with a large body what cannot be left out, warm."""
    with function(SAMPLES / "storing", {"STORING_FOLDER": str(new_folder())}) as running:
        drive(running.port, [http_post(signed(order("warm")))] * WARM_UP)
        yield running


@contextlib.contextmanager
def _library() -> Iterator[Running]:
    """A function that publishes as the documentation of google-cloud-pubsub leads to."""
    port = free_port()
    environ = {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}
    with (
        started(command("grpc", port), {}, port, NOTHING, ready="open"),
        function(SAMPLES / "library", environ) as library,
    ):
        drive(library.port, [http_post(signed(order("warm")))] * WARM_UP)
        yield library
