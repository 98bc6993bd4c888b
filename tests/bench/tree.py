"""A checkout whose functions are measured: the working tree, or another commit in a temporary worktree."""

import compileall
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from shared.jsontext import Json
from tests.running.processes import ROOT

PROBES: Final = Path(__file__).resolve().parent / "probes"


class TreeFault(Exception):
    """A commit that cannot be checked out, or a program of the tree that fails."""


@dataclass(frozen=True)
class Tree:
    """The functions, `shared` and `deploy` in the folder `root`. `name` is `this tree` or the commit."""

    name: str
    root: Path

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment of programs that must import this tree's modules and no other's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKCHAIN_")}
        return {**kept, "PYTHONPATH": str(self.root)}

    def function_folder(self, name: str) -> Path:
        return self.root / "functions" / name

    def bundles(self, config: Path, out: Path, *options: str) -> Path:
        """Write the folders receive, transform and notify of this configuration, and return the folder of the three."""
        self._run("-m", "deploy.cli", "bundle", "--config", str(config), "--out", str(out), *options)
        return out

    def probe(self, name: str, *arguments: str) -> Json:
        """Run a program of `probes/` with this tree's modules, and return the JSON that it prints.

        An earlier commit runs its own one instead where the modules that this one imports have moved since.
        """
        program, own = PROBES / f"{name}.py", self.root / PROBES.relative_to(ROOT) / f"{name}.py"
        try:
            printed = self._run(str(program), *arguments)
        except TreeFault:
            if own == program or not own.exists():
                raise
            printed = self._run(str(own), *arguments)
        document: Json = json.loads(printed)
        return document

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=self.root, env=self.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TreeFault(f"{' '.join(arguments[:3])} failed: {(done.stderr or done.stdout).strip()[-600:]}")
        return done.stdout


@contextlib.contextmanager
def trees(against: str | None) -> Iterator[tuple[Tree, ...]]:
    """The working tree and, with a commit, that commit after it. Raises TreeFault."""
    here = Tree("this tree", ROOT)
    if against is None:
        _compile(here)
        yield (here,)
        return
    commit = _git("rev-parse", "--verify", "--quiet", f"{against}^{{commit}}") or against
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder, "tree")
        _git("worktree", "add", "--detach", str(root), commit)
        try:
            there = Tree(against, root)
            _compile(here)
            _compile(there)
            yield here, there
        finally:
            _git("worktree", "remove", "--force", str(root))


def _compile(tree: Tree) -> None:
    """Write the bytecode, which the functions have where they are deployed."""
    for room in ("functions", "shared", "deploy"):
        compileall.compile_dir(tree.root / room, quiet=1)
    compileall.compile_dir(ROOT / "tests" / "bench" / "functions", quiet=1)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TreeFault(f"git {arguments[0]} failed: {done.stderr.strip() or arguments[-1]}")
    return done.stdout.strip()
