"""One run of the benchmark: its options, and the samples of each row, round by round."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.bench.tree import Tree, TreeFault

if TYPE_CHECKING:
    from tests.bench.pipe import Cost


@dataclass(frozen=True, slots=True)
class Sample:
    """One round's value of a row; where it is CPU time, the microseconds and the throughput that it is made from.

    `note`: the figures that another value is made from.
    """

    value: float
    microseconds: float | None = None
    per_second: float | None = None
    note: str = ""


@dataclass(slots=True)
class Run:
    """`events` pass through the memory rows; `stored_events` are searched. `parts`: those of groups to be measured."""

    trees: tuple[Tree, ...]
    rounds: int = 9
    events: int = 3_000
    stored_events: int = 1_000_000
    parts: frozenset[str] = frozenset()
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def record(self, row: str, tree: Tree, value: float, note: str = "") -> None:
        self._add(row, tree, Sample(value, note=note))

    def record_figure(self, row: str, tree: Tree, value: float, microseconds: float) -> None:
        self._add(row, tree, Sample(value, microseconds))

    def record_cost(self, row: str, tree: Tree, cost: "Cost", reference: "Cost") -> None:
        """Record the CPU of a request as a multiple of the reference's in the same round."""
        self._add(row, tree, Sample(cost.seconds / reference.seconds, cost.seconds * 1e6, cost.load.per_second))

    def rounds_of(self, title: str, rounds: int | None = None) -> Iterator[tuple[int, Tree]]:
        """Return each round with each tree, the trees in turn, so that all meet the same noise."""
        count = rounds or self.rounds
        for number in range(count):
            for tree in self.trees if number % 2 == 0 else self.trees[::-1]:
                self.say(f"{title}: round {number + 1} of {count}, {tree.name}")
                yield number, tree

    def say(self, text: str) -> None:
        """Show what is going on, on a terminal only."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{time.monotonic() - self.began:4.0f} s  {text}")
            sys.stderr.flush()

    def clear(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")

    @contextmanager
    def missing_elsewhere(self, tree: Tree) -> Iterator[None]:
        """Leave out what another commit cannot run, because the modules that a probe imports have moved since."""
        try:
            yield
        except TreeFault as fault:
            if tree is self.trees[0]:
                raise
            self.clear()
            print(f"{tree.name}: {fault}", file=sys.stderr)

    def values(self, row: str, tree: Tree) -> list[float]:
        return [sample.value for sample in self.samples.get((row, tree.name), [])]

    def _add(self, row: str, tree: Tree, sample: Sample) -> None:
        self.samples.setdefault((row, tree.name), []).append(sample)
