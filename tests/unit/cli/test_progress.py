import io
from collections.abc import Iterator

import pytest

from deploy.terminal.output import QUIET_SECONDS, with_progress
from tests.fakes.clock import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pages(clock: FakeClock, seconds: float) -> Iterator[list[int]]:
    for page in ([1, 2], [], [3]):
        clock.advance(seconds)
        yield page


def test_a_short_search_prints_nothing() -> None:
    stream, clock = Terminal(), FakeClock()
    assert list(with_progress(pages(clock, QUIET_SECONDS / 4), stream, clock.now)) == [1, 2, 3]
    assert stream.getvalue() == ""


def test_a_longer_search_shows_its_progress_and_erases_the_line() -> None:
    stream, clock = Terminal(), FakeClock()
    assert list(with_progress(pages(clock, QUIET_SECONDS), stream, clock.now)) == [1, 2, 3]
    assert "searching, 3 found so far" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_pipe_gets_no_progress() -> None:
    stream, clock = io.StringIO(), FakeClock()
    assert list(with_progress(pages(clock, QUIET_SECONDS * 2), stream, clock.now)) == [1, 2, 3]
    assert stream.getvalue() == ""


def test_the_line_is_erased_when_the_search_fails() -> None:
    clock = FakeClock()

    def failing() -> Iterator[list[int]]:
        clock.advance(QUIET_SECONDS * 2)
        yield [1]
        raise OSError

    stream = Terminal()
    with pytest.raises(OSError):  # noqa: PT011 the fault itself is the test's
        list(with_progress(failing(), stream, clock.now))
    assert stream.getvalue().endswith("\r\x1b[K")
