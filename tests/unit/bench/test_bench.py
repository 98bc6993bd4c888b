"""What a figure of the benchmark rests on: its rows, the load, the CPU time, and the verdict on two commits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.bench.__main__ import MEASURES, chosen_rows
from tests.bench.configurations import everything, signed, small_order, whole_catalogue
from tests.bench.cpu import IS_LINUX, cpu_seconds
from tests.bench.load import drive, http_post
from tests.bench.report import table
from tests.bench.rows import ROWS
from tests.bench.run import Run, Sample
from tests.bench.stats import verdict
from tests.bench.tree import Tree, trees
from tests.gcp.serving import served
from tests.running.processes import ROOT

HERE, THERE = Tree("this tree", ROOT), Tree("main", Path())
BUSY = "import time\nwhile time.process_time() < 0.2: pass\n"


def test_every_row_has_a_name_of_its_own_a_measure_and_what_a_ratio_is_compared_with() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert {row.group for row in ROWS} == set(MEASURES)
    assert not [row.name for row in ROWS if row.unit == "×" and not row.compared_with]


def test_a_row_or_a_group_is_measured_alone_and_an_unknown_one_is_named() -> None:
    assert [row.name for row in chosen_rows(["receive"])] == ["receive"]
    assert {row.group for row in chosen_rows(["search", "receive"])} == {"search", "events"}
    with pytest.raises(ValueError, match="got 'recieve'"):
        chosen_rows(["recieve"])


def test_the_other_groups_need_no_opentelemetry() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import tests.bench.__main__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_each_request_is_sent_once_and_other_answers_than_2xx_are_counted() -> None:
    seen: list[str] = []

    async def take(request: web.Request) -> web.StreamResponse:
        seen.append(json.loads(await request.read())["id"])
        return web.Response(status=503 if seen[-1] == "0" else 200)

    app = web.Application()
    app.router.add_post("/shop-0", take)
    with served(app) as host:
        load = drive(
            int(host.rpartition(":")[2]), [http_post(signed(small_order(f"{number}"))) for number in range(40)]
        )
    assert sorted(seen) == sorted(f"{number}" for number in range(40))
    assert (len(load.latencies_ms), load.failed) == (40, 1)


@pytest.mark.skipif(not IS_LINUX, reason="elsewhere ps does not count children that have ended")
def test_the_cpu_time_of_a_child_that_has_ended_counts() -> None:
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\nprint(flush=True)\ninput()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(process.pid) >= 0.2
        process.kill()


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        ([2.0, 2.1, 2.0, 2.1, 9.0], [4.0, 4.1, 4.0, 4.1, 1.0], "better"),
        ([4.0, 4.1, 4.0, 4.1, 4.0], [2.0, 2.1, 2.0, 2.1, 2.0], "worse"),
        ([2.0, 3.0, 4.0, 5.0, 6.0], [3.0, 4.0, 5.0, 6.0, 7.0], "same within noise"),
        ([2.04] * 5, [2.0] * 5, "same within noise"),
        ([1.0] * 3, [9.0] * 3, "too few rounds"),
    ],
)
def test_commits_differ_only_if_their_rounds_are_apart(values: list[float], others: list[float], expected: str) -> None:
    assert verdict(values, others) == expected
    assert verdict(values, others, lower_is_better=False) == {"better": "worse", "worse": "better"}.get(
        expected, expected
    )


def test_a_row_says_its_figure_its_limit_and_its_verdict_beside_another_commit() -> None:
    [row] = chosen_rows(["receive"])
    run = Run((HERE, THERE))
    for tree, values in ((HERE, (2.0, 2.2, 2.4, 2.2)), (THERE, (4.0, 4.1, 4.2, 4.1))):
        run.samples["receive", tree.name] = [Sample(value, value * 50, 1_000) for value in values]
    line = " ".join(table([row], run).splitlines()[-1].split())
    assert "2.20 ×" in line
    assert "≤ 2.5 × met" in line
    assert line.endswith(": better")


@pytest.mark.slow
def test_the_measured_configurations_have_no_faults(tmp_path: Path) -> None:
    for name, config in (("everything", everything()), ("catalogue", whole_catalogue(HERE))):
        (tmp_path / f"{name}.yaml").write_text(config)
        folder = HERE.bundles(tmp_path / f"{name}.yaml", tmp_path / name)
        assert (folder / "receive" / "slice.json").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout of git, and has no other commit")
def test_another_commit_is_checked_out_beside_this_tree_and_removed() -> None:
    with trees("HEAD") as (_, there):
        assert there.function_folder("receive").is_dir()
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert str(there.root) not in listed
