"""A line on a terminal that is written over again and again while something takes its time, and is gone after it."""

from typing import TextIO


class PassingLine:
    """Nothing is written to what is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_shown = False

    def show(self, text: str) -> None:
        if self._stream.isatty():
            self._write(f"\r{text}\x1b[K")
            self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
