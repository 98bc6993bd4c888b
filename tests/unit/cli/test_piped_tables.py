"""Tables that are piped fit 100 columns but for the text that they end in, and hostile text stays inert."""

from collections.abc import Sequence

import pytest

from deploy.cli import dead_letters, events, secrets, status
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.catalogue_pages import listing
from deploy.explain.reference import kind_listing, step_listing
from deploy.terminal.output import PIPE_COLUMNS, Column, Screen, printable, table, width_of
from functions.notify.registry import NO_OWN_KINDS

LONG = "a-very-long-name-that-somebody-gave-it-" * 4
HOSTILE = "\x1b[31mred\x1b[0m \u202etxet [bold]x[/bold] \r\n"


def columns_of(columns: Sequence[Column], free: str) -> list[str]:
    """Cells as long as they come: a column that is never cut has texts of our own."""
    return [free if column.least is not None else FIXED.get(column.title, "x" * 12) for column in columns]


FIXED = {
    "TIME": "2026-03-01T12:00:00Z",
    "STATUS": "replayed",
    "VALUES": "10",
    "AGE": "1000 days",
    "STATE": "unreadable",
    "SECRET": "s" * 30,
}


@pytest.mark.parametrize(
    "columns", [events.COLUMNS, dead_letters.COLUMNS, secrets.COLUMNS, status._VERSIONS, status._SOURCES]
)
def test_a_table_fits_whatever_its_rows_hold(columns: Sequence[Column]) -> None:
    for free in (LONG, HOSTILE * 9, "漢字" * 60):
        lines = table(columns, [columns_of(columns, free)], Screen()).split("\n")
        whole = printable(free) if any(column.is_whole_in_pipe for column in columns) else ""
        assert lines[1].endswith(whole.rstrip())
        assert max(width_of(line.removesuffix(whole.rstrip())) for line in lines) <= PIPE_COLUMNS
        assert all(line.isprintable() for line in lines)


def test_a_pipe_does_not_lose_a_reason_which_ends_the_line() -> None:
    row = ["2026-03-01T12:00:00Z", "0f3a", "template_failed", LONG, "crm", "e1", "kept"]
    title, line = table(dead_letters.COLUMNS, [row], Screen()).split("\n")
    assert title.split() == ["TIME", "ID", "CODE", "DESTINATION", "EVENT", "STATUS", "REASON"]
    assert line.split() == ["2026-03-01T12:00:00Z", "0f3a", "template_failed", "crm", "e1", "kept", LONG]


def test_the_catalogue_fits() -> None:
    assert max(map(width_of, listing(load_catalogue(), Screen()).split("\n"))) <= PIPE_COLUMNS


def test_the_lists_of_steps_and_of_kinds_of_destinations_fit() -> None:
    for lines in (step_listing({}, Screen()), kind_listing(NO_OWN_KINDS, Screen())):
        assert max(map(width_of, lines)) <= PIPE_COLUMNS


def test_markup_is_printed_as_it_is_written() -> None:
    assert "[bold]x[/bold]" in table([Column("X")], [[HOSTILE]], Screen(80, colours=True))
