"""What holds for every test.

A skip says what is missing and how to get it, and the end of the run repeats it. With HOOKCHAIN_REQUIRE_ALL=1 a skip
is a failure: continuous integration installs everything, so that nothing is skipped there unseen.
"""

import asyncio
import contextlib
import faulthandler
import gc
import itertools
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import hypothesis
import pytest
import uvloop

from shared.cloud.aws.client import AwsPlace
from tests.aws.local_aws import local_aws
from tests.running import ports

ROOT: Final = Path(__file__).resolve().parent.parent
REQUIRE_ALL: Final = os.environ.get("HOOKCHAIN_REQUIRE_ALL") == "1"

# A developer's own settings must not reach a test.
FROM_OUTSIDE: Final = re.compile(
    r"(AWS|CLOUDSDK|EMAIL|FIRESTORE|GCE|GCLOUD|GOOGLE|HOOKCHAIN|K|PUBSUB|SENDGRID|SMTP|STORAGE)_.+|.+_(KEY|PASSWORD|SECRET)"
    r"|LOG_LEVEL|NO_COLOR|FORCE_COLOR|PLATFORM|PORT|PORT_BASE|SECRETS_DIR"
)

MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES: Final = 4_000_000_000
HANG_SECONDS: Final = 900.0  # beyond every test's own time limit: for what no signal interrupts
REARM_SECONDS: Final = 30.0

# A shared machine stalls now and then: a slow example is no failure. CI tries twice as many examples as people do.
hypothesis.settings.register_profile("hookchain", deadline=None, max_examples=100 if "CI" in os.environ else 50)
hypothesis.settings.register_profile("few", deadline=None, max_examples=5)
hypothesis.settings.load_profile("hookchain")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="use the event loop of `make dev` and Cloud Run")


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    is_uvloop = config.getoption("--uvloop") and item.get_closest_marker("asyncio_loop") is None
    return {"loop": uvloop.new_event_loop if is_uvloop else asyncio.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    if "TMPDIR" not in os.environ and _has_memory():
        # Tests write thousands of small files, of which a disk takes a few hundred a second where each is to be safe.
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None
    config.stash[WATCHDOG] = Watchdog()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunningTests())
    for name in [name for name in os.environ if FROM_OUTSIDE.fullmatch(name)]:
        del os.environ[name]
    # A test that has spoken gRPC must not stop a later one of its process at a fork: gRPC's handlers may wait for ever.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    if REQUIRE_ALL:
        os.environ["HOOKCHAIN_REQUIRE_ALL"] = "1"  # for the processes that run the tests


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector the tests and their modules, which stay: it took a seventh of a run's time."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Run one process more than there are cores: for a third of a run, a test waits for what it started."""
    cores = yield
    return cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, which have time limits of their own: no core waits for one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def _has_memory() -> bool:
    with contextlib.suppress(OSError):
        state = os.statvfs(MEMORY)
        is_large = state.f_bavail * state.f_frsize >= MEMORY_BYTES
        return is_large and not state.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK)
    return False


class Watchdog:
    """Ends the run where a test hangs, and says where. pytest's own takes a new thread for each test."""

    def __init__(self) -> None:
        self._stderr = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else 2
        self._armed_at = -REARM_SECONDS

    def arm(self) -> None:
        if time.monotonic() - self._armed_at >= REARM_SECONDS:
            self._armed_at = time.monotonic()
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=self._stderr)


class RunningTests:
    """The tests that have begun and not ended, which a run names when it is terminated."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        signal.signal(signal.SIGTERM, self._exit)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._names.add(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._names.discard(nodeid)

    def _exit(self, number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        names = "".join(f"\n  {name}" for name in sorted(self._names))
        pytest.exit(f"terminated while these tests were running:{names}", returncode=128 + number)


WATCHDOG: Final = pytest.StashKey[Watchdog]()
NUMBERS: Final = itertools.count()


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[WATCHDOG].arm()


def pytest_unconfigure() -> None:
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _nothing_of_the_checkouts_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The checkout may have an `.env`, a configuration of its own, and a `make dev` that runs.

    No folder is made, and each test has another one: a command in a test may make it and leave records there.
    """
    nothing = tmp_path_factory.getbasetemp() / f"nothing-{next(NUMBERS)}"
    monkeypatch.setenv("HOOKCHAIN_STATE", str(nothing / "state"))
    monkeypatch.setenv("HOOKCHAIN_ENV_FILE", str(nothing / "env"))


@pytest.fixture
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls that are repeated after a moment be repeated at once."""
    monkeypatch.setattr("shared.time_bound.random", SimpleNamespace(uniform=lambda *_: 0.0))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def inputs_folder() -> Path:
    """`../shared`: signature vectors and the list of bad inputs, kept beside the checkout."""
    folder = ROOT.parent / "shared"
    if not (folder / "bad-inputs.txt").is_file():
        pytest.skip("../shared is not here: put the folder of test inputs beside the checkout")
    return folder


@pytest.fixture(scope="session")
def node_package() -> Callable[[str], Path]:
    """The folder of an npm package that a test reads its examples from; skips where it is not installed."""

    def find(name: str) -> Path:
        folder = ROOT / "node_modules" / name
        if not folder.is_dir():
            pytest.skip(f"npm package {name} is not here: npm install --no-save {name}")
        return folder

    return find


@pytest.fixture(scope="session")
def aws() -> Iterator[AwsPlace]:
    """A local AWS, the same for all tests of this process: a test names what it makes there as nobody else does."""
    with local_aws() as place:
        yield place


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


def _reason(longrepr: object) -> str:
    text = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)
    return text.removeprefix("Skipped: ")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"HOOKCHAIN_REQUIRE_ALL=1 allows no skip. {_reason(report.longrepr)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = _reason(report.longrepr)
        counts[reason] = counts.get(reason, 0) + 1
    if counts:
        terminalreporter.section("not run here")
        for reason, count in sorted(counts.items()):
            terminalreporter.write_line(f"{count} skipped: {reason}")
