"""The printed table and its JSON."""

from pathlib import Path

from tests.bench.peers import markdown
from tests.bench.report import documents, table
from tests.bench.rows import ROWS
from tests.bench.run import Run, Sample
from tests.bench.tree import Tree

HERE, THERE = Tree("this tree", Path()), Tree("main", Path())
RECEIVE = next(row for row in ROWS if row.name == "receive")
BARE = "a bare asynchronous function"


def run_of(*trees: Tree, **values: list[float]) -> Run:
    run = Run(trees)
    for tree in trees:
        run.samples["receive", tree.name] = [Sample(value, value * 50, 1_000) for value in values[tree.name.split()[0]]]
    return run


def test_a_row_says_its_figure_its_spread_and_whether_its_limit_is_met() -> None:
    line = table([RECEIVE], run_of(HERE, this=[2.0, 2.2, 2.4])).splitlines()[-1]
    assert " ".join(line.split()).endswith(f"/ {BARE} 2.20 × (2.00–2.40) 110 µs, 1,000/s ≤ 2.5 × met")


def test_a_note_stands_beside_the_figure_of_each_commit() -> None:
    run = Run((HERE, THERE))
    for tree, note in ((HERE, "p99 0.1 s"), (THERE, "p99 0.2 s")):
        run.record("receive", tree, 2.0, note)
    line = " ".join(table([RECEIVE], run).splitlines()[-1].split())
    assert line.endswith(f"/ {BARE} 2.00 × p99 0.1 s ≤ 2.5 × met main: 2.00 ×, p99 0.2 s: same within noise")
    assert documents([RECEIVE], run)[0]["main"] == {
        "median": 2.0,
        "low": 2.0,
        "high": 2.0,
        "rounds": [2.0],
        "notes": ["p99 0.2 s"],
    }


def test_a_row_beside_another_commit_has_a_verdict() -> None:
    line = table([RECEIVE], run_of(HERE, THERE, this=[2.0] * 5, main=[4.0, 4.0, 4.1, 4.2, 4.2])).splitlines()[-1]
    assert line.endswith("main: 4.10 × (4.00–4.20): better")


def test_a_row_that_cannot_be_measured_says_why_and_the_others_stay() -> None:
    run = Run((HERE,))
    run.faults["events"] = "TreeFault: the bundles were not written\nat great length"
    line = table([RECEIVE], run).splitlines()[-1]
    assert line.endswith("not measured  TreeFault: the bundles were not written")


def test_a_row_that_the_other_commit_lacks_says_so() -> None:
    line = table([RECEIVE], run_of(HERE, THERE, this=[2.0], main=[])).splitlines()[-1]
    assert line.endswith("main: not measured")


def test_the_json_has_every_round() -> None:
    [document] = documents([RECEIVE], run_of(HERE, THERE, this=[2.0, 3.0] * 2, main=[6.0, 7.0] * 2))
    assert document["compared_with"] == BARE
    assert document["limit"] == "<= 2.5"
    assert document["met"] is True
    assert document["verdict"] == "better"
    assert document["this tree"] == {"median": 2.5, "low": 2.0, "high": 3.0, "rounds": [2.0, 3.0, 2.0, 3.0]}


def test_a_peer_that_does_not_install_keeps_its_line() -> None:
    text = markdown([{"receiver": "nginx", "checks": "nothing", "keeps": "no", "skipped": "npm is not here"}])
    assert text.splitlines()[-1] == "| nginx | skipped: npm is not here | nothing | no |"
