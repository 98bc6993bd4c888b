"""Tables that are piped fit 100 columns but for the text that they end in, and hostile text stays inert."""

import asyncio
import io
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, strategies as st

from deploy.cli import dead_letters, events, secrets, status
from deploy.cli.command import moment
from deploy.cli.records import send_at_rate
from deploy.terminal import output
from deploy.terminal.progress import QUIET_SECONDS, Progress, with_progress
from tests.fakes.clock import FakeClock
from tests.fakes.virtual_time import run

COLUMNS = (
    output.Column("ID"),
    output.Column("WORDS", 5),
    output.Column("STATUS", colour=lambda text: output.GREEN if text == "done" else ""),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_widest_column_gives_way_and_empty_ones_go() -> None:
    text = output.table(COLUMNS, [("1234567", "some more words than fit", "")], output.Screen(width=20))
    assert text.split("\n") == ["ID       WORDS", "1234567  some more …"]


def test_one_long_text_of_a_sender_does_not_push_the_next_column_away() -> None:
    columns = (output.Column("TYPE", 5, max_width=10), output.Column("STATUS"))
    text = output.table(columns, [("x" * 255, "done"), ("y", "done")], output.Screen(width=200))
    assert text.split("\n") == ["TYPE        STATUS", "xxxxxxxxx…  done", "y           done"]


@pytest.mark.parametrize(("no_color", "colours"), [(None, True), ("1", False), ("", True)])
def test_colours_are_for_terminals_and_for_who_wants_them(
    no_color: str | None, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert output.stdout_screen().colours is colours
    assert output.stdout_screen(is_plain=True) == output.Screen()


def test_wide_and_combining_characters_are_counted_as_a_terminal_shows_them() -> None:
    assert (output.width_of("abc"), output.width_of("漢字"), output.width_of("e\u0301")) == (3, 4, 1)
    assert output.cut("漢字漢字", 5) == "漢字…"
    assert output.width_of(output.padded("漢字", 6)) == 6


@given(st.text())
def test_what_a_sender_wrote_cannot_move_the_cursor(text: str) -> None:
    assert output.printable(text).isprintable()
    assert len(output.printable(text)) == len(text)


# Moments


def test_a_moment_is_so_long_ago_or_a_time_with_a_zone() -> None:
    ago = {"90s": 999_910.0, "5m": 999_700.0, "1h": 996_400.0, "2d": 827_200.0, "1.5h": 994_600.0, "999999d": 0.0}
    assert {text: moment(text, 1_000_000.0) for text in ago} == ago
    assert moment("1970-01-01T01:00:10+01:00", 0.0) == 10.0


# Rates


def test_the_rate_is_kept_and_a_slow_batch_not_made_up_for() -> None:
    sent: list[tuple[float, int]] = []
    result: list[int] = []

    async def send(batch: Sequence[int]) -> None:
        sent.append((round(asyncio.get_running_loop().time(), 3), len(batch)))
        if len(sent) == 2:
            await asyncio.sleep(5)

    run(send_at_rate(range(70), 200.0, send, result.append))
    assert sent == [(0.0, 20), (0.1, 20), (5.1, 20), (5.2, 10)]
    assert result == [20, 40, 60, 70]


# Progress


def test_progress_is_not_written_into_a_file_but_how_far_a_broken_off_work_came_is() -> None:
    file, now = io.StringIO(), iter([0.0, 30.0])
    progress = Progress(1_000, "published", file, lambda: next(now))
    progress.tell(500)
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert file.getvalue() == "stopped: 500 of 1,000 published\n"


def pages(clock: FakeClock, seconds: float) -> Iterator[list[int]]:
    for page in ([1, 2], [], [3]):
        clock.advance(seconds)
        yield page


def test_a_longer_search_shows_its_progress_and_erases_the_line() -> None:
    stream, clock = Terminal(), FakeClock()
    assert list(with_progress(pages(clock, QUIET_SECONDS), stream, clock.now)) == [1, 2, 3]
    assert "searching, 3 found so far" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


LONG = "a-very-long-name-that-somebody-gave-it-" * 4
HOSTILE = "\x1b[31mred\x1b[0m \u202etxet [bold]x[/bold] \r\n"


def columns_of(columns: Sequence[output.Column], free: str) -> list[str]:
    """Cells as long as they come: a column that is never cut has texts of our own."""
    return [free if column.min_width is not None else FIXED.get(column.title, "x" * 12) for column in columns]


FIXED = {
    "TIME": "2026-03-01T12:00:00Z",
    "STATUS": "replayed",
    "VALUES": "10",
    "AGE": "1000 days",
    "STATE": "unreadable",
    "SECRET": "s" * 30,
}


@pytest.mark.parametrize(
    "columns", [events.COLUMNS, dead_letters.COLUMNS, secrets.COLUMNS, status._VERSION_COLUMNS, status._SOURCE_COLUMNS]
)
def test_a_table_fits_whatever_its_rows_hold(columns: Sequence[output.Column]) -> None:
    for free in (LONG, HOSTILE * 9, "漢字" * 60):
        lines = output.table(columns, [columns_of(columns, free)], output.Screen()).split("\n")
        whole = output.printable(free) if any(column.is_whole_in_pipe for column in columns) else ""
        assert lines[1].endswith(whole.rstrip())
        assert max(output.width_of(line.removesuffix(whole.rstrip())) for line in lines) <= output.PIPE_COLUMNS
        assert all(line.isprintable() for line in lines)
