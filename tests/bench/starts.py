"""Cold starts with Google's adapters: from the start of the process to the first answer that did its work."""

import importlib.metadata
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from deploy.bundle.requirements import read_pins
from tests.bench.configurations import configuration, everything, order, push_of, signed, whole_catalogue
from tests.bench.folders import new_folder
from tests.bench.pipe import FUNCTIONS, SAMPLES, Pipe, function, pipe, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import HOOK_PATH
from tests.bench.tree import Tree
from tests.fakes.pushes import cloud_run_headers
from tests.running.processes import Request

MOST_ROUNDS: Final = 9
TIMES: Final = 8
"""Of so many starts in a round the quickest counts: one takes a fifth of a second, and what else the machine does in it
makes it up to a third longer."""
ORDER: Final = signed(order("start"))


def measure_starts(run: Run) -> None:
    rounds = min(run.rounds, MOST_ROUNDS)
    with ExitStack() as stack:
        warm = {tree.name: stack.enter_context(pipe(tree, everything(), "google")) for tree in run.trees}
        catalogues = {tree.name: _catalogue(run, tree, warm[tree.name].folder) for tree in run.trees}
        first = {name: _first_requests(each, rounds * TIMES) for name, each in warm.items()}
        for tree in run.trees:
            bundle = warm[tree.name].folder / "build" / "receive"
            run.record("installed-receive", tree, _installed_bytes(bundle) / 2**20)
        for _, tree in run.rounds_of("starts", rounds):
            environ, build = warm[tree.name].environ, warm[tree.name].folder / "build"
            bundles = {**{name: build / name for name in FUNCTIONS}, "catalogue": catalogues[tree.name]}
            starts: dict[str, Callable[[], float]] = {
                name: partial(_start, tree, bundle, environ, first[tree.name][bundle.name])
                for name, bundle in bundles.items()
            }
            quickest = _quickest({"bare": _start_bare, **starts})
            for name in FUNCTIONS:
                run.record(f"start-{name}", tree, quickest[name] / quickest["bare"])
            run.record("start-catalogue", tree, quickest["catalogue"] / quickest["receive"])


def measure_webhook_start(run: Run) -> None:
    """Compare the start of a notify that delivers one webhook with that of one that delivers one mail."""
    rounds = min(run.rounds, MOST_ROUNDS)
    with ExitStack() as stack:
        url = f"http://{stack.enter_context(stand_in(new_folder()))}{HOOK_PATH}"
        texts = {"mail": configuration(), "webhook": configuration(webhook=url)}
        pipes = {
            (tree.name, kind): stack.enter_context(pipe(tree, text, "google"))
            for tree in run.trees
            for kind, text in texts.items()
        }
        first = {key: _first_requests(each, rounds * TIMES)["notify"] for key, each in pipes.items()}
        for _, tree in run.rounds_of("start with a webhook", rounds):
            starts: dict[str, Callable[[], float]] = {
                kind: partial(_start, tree, each.folder / "build" / "notify", each.environ, first[tree.name, kind])
                for kind in texts
                for each in (pipes[tree.name, kind],)
            }
            quickest = _quickest(starts)
            run.record("start-webhook", tree, quickest["webhook"] / quickest["mail"])


def _catalogue(run: Run, tree: Tree, folder: Path) -> Path:
    """Return the bundle of receive with every provider as a source."""
    run.say(f"starts: bundle the catalogue of {tree.name}")
    config = folder / "catalogue.yaml"
    config.write_text(whole_catalogue(tree), encoding="utf-8")
    return tree.bundles(config, folder / "catalogue") / "receive"


def _first_requests(warm: Pipe, count: int) -> Mapping[str, list[Request]]:
    """Return a request for each start, each with another event: what was delivered once is not delivered again."""
    warm.warm_up((order,))
    warm.receive(warm.orders(2 * count, order))
    events = warm.published("transform")
    warm.push("transform", events[count:])
    deliveries = warm.published("notify")
    headers = cloud_run_headers()
    return {
        "receive": [ORDER] * (2 * count),  # the catalogue's starts are receive's too
        "transform": [push_of(event, headers) for event in events[:count]],
        "notify": [push_of(delivery, headers) for delivery in deliveries],
    }


def _quickest(starts: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Start each so many times, in turn with the others, and return the seconds of the quickest start of each."""
    times = [{name: start() for name, start in starts.items()} for _ in range(TIMES)]
    return {name: min(each[name] for each in times) for name in starts}


def _start_bare() -> float:
    with function(SAMPLES / "bare", {}, ORDER, "200") as running:
        return running.start_seconds


def _start(tree: Tree, bundle: Path, environ: Mapping[str, str], requests: list[Request]) -> float:
    """Start the function that the bundle is of, with the bundle's slice, and send it the last of the requests.

    Return the seconds until its answer.
    """
    status = "200" if bundle.name == "receive" else "204"
    environ = {**environ, "HOOKCHAIN_SLICE": str(bundle / "slice.json")}
    with function(tree.function_folder(bundle.name), environ, requests.pop(), status) as running:
        return running.start_seconds


def _installed_bytes(bundle: Path) -> int:
    """Return the size of the bundle and of the packages that it requires."""
    own = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    packages = read_pins((bundle / "requirements.txt").read_text(encoding="utf-8"))
    return own + sum(_package_bytes(pin.name) for pin in packages)


def _package_bytes(name: str) -> int:
    """Return what the package's files take on disk; 0 for one that this platform does not need."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return 0
    paths = (Path(str(file.locate())) for file in files if file.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file())
