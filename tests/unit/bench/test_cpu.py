"""CPU time of a process and of everything that it started."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.cpu import IS_LINUX, cpu_seconds, ended_children_ticks, process_tree, ps_seconds, read_parents

BUSY = "import time\nwhile time.process_time() < 0.2: pass\n"


def test_a_tree_has_the_descendants_of_a_process_and_no_others() -> None:
    parents = read_parents("    1     0\n   10     1\n   11    10\n   12    11\n   20     1\n")
    assert process_tree(10, parents) == {10, 11, 12}


def test_a_process_that_is_not_listed_is_a_tree_of_its_own() -> None:
    assert process_tree(99, {10: 1}) == {99}


@pytest.mark.parametrize(
    ("text", "seconds"), [("0:07.31", 7.31), ("01:02:03", 3_723.0), ("1-02:03:04", 93_784.0), (" 00:00:05\n", 5.0)]
)
def test_ps_counts_in_days_hours_minutes_and_seconds(text: str, seconds: float) -> None:
    assert ps_seconds(text) == pytest.approx(seconds)


def test_the_name_of_a_program_may_contain_brackets_and_spaces() -> None:
    stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 200 0 0 50 60 30 12 20 0 1 0 12345"
    assert ended_children_ticks(stat) == 42


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[str]"]:
    """A process that waits for a busy child, says so, and goes on."""
    program = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\nprint('done', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.skipif(not IS_LINUX, reason="elsewhere ps does not count children that have ended")
def test_a_child_that_has_ended_counts(parent: "subprocess.Popen[str]") -> None:
    assert parent.stdout is not None
    assert parent.stdout.readline() == "done\n"
    assert cpu_seconds(parent.pid) >= 0.2


def test_a_process_that_has_ended_counts_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"], cwd=tmp_path)
    process.wait()
    assert cpu_seconds(process.pid) == 0
