import asyncio
import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.command import moment
from deploy.history.replay import Progress, send_at_rate
from deploy.terminal.output import GREEN, Column, Screen, cut, padded, printable, stdout_screen, table, width_of
from tests.fakes.virtual_time import run

COLUMNS = (Column("ID"), Column("WORDS", 5), Column("STATUS", colour=lambda text: GREEN if text == "done" else ""))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_and_lines_have_no_end_of_spaces() -> None:
    text = table(COLUMNS, [("1", "some words", "done"), ("22", "", "")], Screen())
    assert text.split("\n") == ["ID  WORDS       STATUS", "1   some words  done", "22"]


def test_in_a_pipe_a_table_fits_100_columns_and_every_column_stays() -> None:
    titles, row = table(COLUMNS, [("1", "x" * 500, "")], Screen()).split("\n")
    assert (len(titles), titles.split()) == (100, ["ID", "WORDS", "STATUS"])
    assert row == "1   " + "x" * 87 + "…"


def test_on_a_terminal_the_widest_column_gives_way_and_empty_ones_go() -> None:
    text = table(COLUMNS, [("1234567", "some more words than fit", "")], Screen(width=20))
    assert text.split("\n") == ["ID       WORDS", "1234567  some more …"]


def test_what_may_not_be_cut_stays_whole_on_a_terminal_that_is_too_narrow() -> None:
    text = table(COLUMNS, [("1234567", "some words", "done")], Screen(width=8))
    assert text.split("\n")[1] == "1234567  some…  done"


def test_one_long_text_of_a_sender_does_not_push_the_next_column_away() -> None:
    columns = (Column("TYPE", 5, most=10), Column("STATUS"))
    text = table(columns, [("x" * 255, "done"), ("y", "done")], Screen(width=200))
    assert text.split("\n") == ["TYPE        STATUS", "xxxxxxxxx…  done", "y           done"]


def test_colours_are_outside_the_widths() -> None:
    text = table(COLUMNS, [("1", "a", "done")], Screen(width=40, colours=True))
    assert text.split("\n")[1] == "1   a      \x1b[32mdone  \x1b[0m"


@pytest.mark.parametrize(("environ", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_colours_are_for_terminals_and_for_who_wants_them(
    environ: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert stdout_screen().colours is colours
    assert stdout_screen(is_plain=True) == Screen()
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert stdout_screen() == Screen()


def test_wide_and_combining_characters_are_counted_as_a_terminal_shows_them() -> None:
    assert (width_of("abc"), width_of("漢字"), width_of("e\u0301")) == (3, 4, 1)
    assert cut("漢字漢字", 5) == "漢字…"
    assert width_of(padded("漢字", 6)) == 6


@given(st.text(), st.integers(1, 30))
def test_a_cut_text_is_never_wider_than_it_may_be(text: str, width: int) -> None:
    assert width_of(cut(printable(text), width)) <= width


@given(st.text())
def test_what_a_sender_wrote_cannot_move_the_cursor(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


# Moments


def test_a_moment_is_so_long_ago_or_a_time_with_a_zone() -> None:
    assert [moment(text, 1_000_000.0) for text in ("90s", "5m", "1h", "2d", "1.5h")] == [
        999_910.0,
        999_700.0,
        996_400.0,
        827_200.0,
        994_600.0,
    ]
    assert moment("1970-01-01T01:00:10+01:00", 0.0) == 10.0


@pytest.mark.parametrize(
    "text", ["", "1", "h", "-1h", "1w", "yesterday", "2026-03-01", "2026-03-01T12:00:00", "٣h" * 9]
)
def test_what_is_no_moment_is_rejected_with_a_message(text: str) -> None:
    with pytest.raises(ValueError, match="a time is `1h` or `2d` ago"):
        moment(text, 0.0)


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


def test_progress_is_shown_on_a_terminal_once_it_takes_long_and_wiped_after() -> None:
    terminal, now = Terminal(), iter([0.0, 1.0, 3.0])
    with Progress(100, "published", terminal, lambda: next(now)) as progress:
        progress.tell(20)
        assert terminal.getvalue() == ""
        progress.tell(60)
    assert terminal.getvalue() == "\r60 of 100 published, about 2 s left\x1b[K\r\x1b[K"


def test_progress_is_not_written_into_a_file_but_how_far_a_broken_off_work_came_is() -> None:
    file, now = io.StringIO(), iter([0.0, 30.0])
    progress = Progress(1_000, "published", file, lambda: next(now))
    progress.tell(500)
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert file.getvalue() == "stopped: 500 of 1,000 published\n"
