"""What was measured, as a table."""

import platform
from collections.abc import Sequence

from tests.bench.rows import Row, Unit
from tests.bench.run import Run
from tests.bench.stats import median, quartiles, verdict
from tests.bench.tree import Tree

DIGITS: dict[Unit, int] = {"×": 2, "µs": 0, "ms": 1, "s": 2, "/s": 0, "MiB": 0, "MB": 1, "%": 1, "": 2}


def table(rows: Sequence[Row], run: Run) -> str:
    """Return a block of lines for each group of rows."""
    cells = [_cells(row, run) for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    lines: list[str] = []
    for number, (row, line) in enumerate(zip(rows, cells, strict=True)):
        if number == 0 or row.group != rows[number - 1].group:
            lines += ["", row.group, "-" * len(row.group)]
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return "\n".join(lines).strip()


def row_line(row: Row) -> str:
    """Return the row with its limit, before anything is measured."""
    limit = f", {_limit(row, 0)[0]}" if row.limit else ""
    return f"{row.name:20} {row.group:8} {_what(row)}{limit}"


def headline(run: Run) -> str:
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"{machine}; {run.rounds} rounds, of which each figure is the median; in brackets the middle half of them"


def _cells(row: Row, run: Run) -> tuple[str, ...]:
    here, *others = run.trees
    what, values = _what(row), run.values(row.name, here)
    if not values:
        return (
            row.name,
            what,
            "not measured",
            run.faults.get(row.part, run.faults.get(row.group, "")).partition("\n")[0][:100],
            *("" for _ in range(2 + len(others))),
        )
    return (
        row.name,
        what,
        _figure(row, values),
        _beside(row, run, here),
        *_limit(row, median(values)),
        *(_comparison(row, run, other) for other in others),
    )


def _what(row: Row) -> str:
    return f"{row.what} / {row.compared_with}" if row.compared_with else row.what


def _figure(row: Row, values: Sequence[float]) -> str:
    low, high = quartiles(values)
    spread = f" ({_number(row, low)}–{_number(row, high)})" if len(values) > 1 else ""
    return f"{_number(row, median(values))}{_unit(row)}{spread}"


def _beside(row: Row, run: Run, tree: Tree) -> str:
    """Return the CPU of a request and the throughput, which the machine decides; or the last round's note."""
    samples = run.samples[row.name, tree.name]
    if samples[-1].note:
        return samples[-1].note
    microseconds = [each.microseconds for each in samples if each.microseconds is not None]
    rates = [each.per_second for each in samples if each.per_second is not None]
    return f"{median(microseconds):,.0f} µs, {median(rates):,.0f}/s" if microseconds and rates else ""


def _limit(row: Row, value: float) -> tuple[str, str]:
    if row.limit is None:
        return "", ""
    sign = "≤" if row.limit.is_most else "≥"
    return f"{sign} {row.limit.value:g}{_unit(row)}", "met" if row.limit.is_met(value) else "MISSED"


def _comparison(row: Row, run: Run, other: Tree) -> str:
    values, theirs = run.values(row.name, run.trees[0]), run.values(row.name, other)
    if not theirs:
        return f"{other.name}: not measured"
    note = run.samples[row.name, other.name][-1].note
    figure = f"{_figure(row, theirs)}, {note}" if note else _figure(row, theirs)
    return f"{other.name}: {figure}: {verdict(values, theirs, row.lower_is_better)}"


def _number(row: Row, value: float) -> str:
    return f"{value:,.{DIGITS[row.unit]}f}"


def _unit(row: Row) -> str:
    return f" {row.unit}" if row.unit else ""
