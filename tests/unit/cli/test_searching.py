import io
from collections.abc import Iterator

import pytest

from deploy.terminal import searching
from deploy.terminal.searching import QUIET_SECONDS, Searching, told
from tests.fakes.clock import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_search_of_a_moment_says_nothing() -> None:
    stream, clock = Terminal(), FakeClock()
    search = Searching(stream, clock.now)
    clock.advance(QUIET_SECONDS)
    search.tell(3)
    search.end()
    assert stream.getvalue() == ""


def test_a_longer_one_says_how_far_it_is_and_takes_the_line_away() -> None:
    stream, clock = Terminal(), FakeClock()
    search = Searching(stream, clock.now)
    clock.advance(QUIET_SECONDS + 0.1)
    search.tell(1_300)
    assert "searching, 1,300 found so far" in stream.getvalue()
    search.end()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_pipe_gets_the_rows_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "QUIET_SECONDS", -1.0)
    stream = io.StringIO()
    assert list(told(iter([[1, 2], [], [3]]), stream)) == [1, 2, 3]
    assert stream.getvalue() == ""


def test_the_line_goes_when_enough_was_found_or_something_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "QUIET_SECONDS", -1.0)

    def pages() -> Iterator[list[int]]:
        yield [1]
        raise OSError

    stream = Terminal()
    with pytest.raises(OSError):  # noqa: PT011 the fault itself is the test's
        list(told(pages(), stream))
    assert stream.getvalue().endswith("\r\x1b[K")
