"""What was measured, as a table with the ratios that were promised."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`goal` as it was set, such as `≥ 1.8`; met or not is said beside it."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


def table(title: str, figures: Sequence[Figure]) -> str:
    widths = [max(len(text) for text in column) for column in zip(*map(_cells, figures), strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(_cells(f), widths, strict=True)) for f in figures]
    return "\n".join([title, "-" * len(title), *(line.rstrip() for line in lines)])


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
    return figure.what, figure.measured, figure.goal, verdict


def at_least(what: str, value: float, goal: float, unit: str = "") -> Figure:
    return Figure(what, f"{value:,.2f}{unit}", f"≥ {goal:g}{unit}", value >= goal)


def at_most(what: str, value: float, goal: float, unit: str = "") -> Figure:
    return Figure(what, f"{value:,.2f}{unit}", f"≤ {goal:g}{unit}", value <= goal)
