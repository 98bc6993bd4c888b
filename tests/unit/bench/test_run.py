"""The rounds of a run, and what the stand-in of the bus keeps between the functions."""

import subprocess
from pathlib import Path

import pytest

from tests.bench.configurations import configuration, everything, signed, small_order, whole_catalogue
from tests.bench.load import drive, http_post
from tests.bench.pipe import stand_in
from tests.bench.run import Run
from tests.bench.stand_in import recorded_messages
from tests.bench.tree import Tree, TreeFault, trees
from tests.processes import ROOT, Request

pytestmark = pytest.mark.slow

HERE, THERE = Tree("this tree", ROOT), Tree("main", Path())


def test_the_trees_take_turns_and_each_is_first_in_turn() -> None:
    rounds = [(number, tree.name) for number, tree in Run((HERE, THERE)).rounds_of("", 2)]
    assert rounds == [(0, "this tree"), (0, "main"), (1, "main"), (1, "this tree")]


@pytest.mark.parametrize("config", [configuration(), configuration(2), configuration(1, 3), everything()])
def test_a_measured_configuration_has_no_faults(config: str, tmp_path: Path) -> None:
    (tmp_path / "hookchain.yaml").write_text(config)
    folder = HERE.bundles(tmp_path / "hookchain.yaml", tmp_path / "build")
    assert (folder / "receive" / "slice.json").is_file()


def test_every_provider_can_be_a_source(tmp_path: Path) -> None:
    (tmp_path / "hookchain.yaml").write_text(whole_catalogue(HERE))
    assert HERE.bundles(tmp_path / "hookchain.yaml", tmp_path / "build").is_dir()


def test_a_published_message_is_taken_once(tmp_path: Path) -> None:
    def publish(data: str) -> None:
        body = f'{{"messages":[{{"data":"{data}","attributes":{{}}}}]}}'.encode()
        assert not drive(port, [http_post(Request("/v1/projects/bench/topics/events:publish", body, {}))]).failed

    with stand_in(tmp_path) as host:
        port = int(host.rpartition(":")[2])
        publish("YQ==")
        assert recorded_messages(tmp_path, "events") == [{"data": "YQ==", "attributes": {}}]
        publish("Yg==")
        assert recorded_messages(tmp_path, "events") == [{"data": "Yg==", "attributes": {}}]
        assert recorded_messages(tmp_path, "events") == []


def test_a_commit_that_does_not_exist_is_named() -> None:
    with pytest.raises(TreeFault, match="no-such-commit"), trees("no-such-commit"):
        pass


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout of git, and has no other commit")
def test_another_commit_is_checked_out_beside_this_tree_and_removed() -> None:
    with trees("HEAD") as (here, there):
        assert here.root == ROOT
        assert there.function_folder("receive").is_dir()
        assert there.root != ROOT
    assert not there.root.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert str(there.root) not in listed


def test_what_another_commit_cannot_run_is_left_out() -> None:
    run = Run((HERE, THERE))
    with run.missing_elsewhere(THERE):
        raise TreeFault("a module has moved")
    with pytest.raises(TreeFault), run.missing_elsewhere(HERE):
        raise TreeFault("a module is missing")


def test_a_program_of_the_tree_that_fails_says_why() -> None:
    with pytest.raises(TreeFault, match=r"compile\.py"):
        HERE.probe("compile", "/nowhere.yaml")


def test_each_order_has_an_id_of_its_own() -> None:
    assert signed(small_order("1")).body != signed(small_order("2")).body
