"""The memory that a rendering may use, and what is charged to it before it is made:

the result of each filter, method and operator     by its rule in costs.py
the pieces of a macro's or block's text            by a Buffer
a value that is shown as text                      by sandbox.as_shown

A value that was charged is not given back when a template no longer needs it, because a template may keep all values.
The pieces of the template's own text are counted in template.py.
"""

import threading
from collections.abc import Iterable
from typing import Final

MAX_OUTPUT_CHARACTERS: Final = 4 * 1024 * 1024
"""The most characters of a template's text, and of any value while it is rendered."""
MAX_MADE_CHARACTERS: Final = 16 * MAX_OUTPUT_CHARACTERS
"""The size of all values that a rendering makes, because a template may keep them all."""
ITEM_CHARACTERS: Final = 8
"""The size, in characters, of an item of a list. The item itself exists already."""


class _Room(threading.local):
    """The size of the values that the current rendering of this thread may still make."""

    left: float = MAX_MADE_CHARACTERS


_ROOM: Final = _Room()


def begin_rendering() -> None:
    """Begin a rendering in this thread, with nothing made."""
    _ROOM.left = MAX_MADE_CHARACTERS


def charge(size: float) -> None:
    """Count a value that is about to be made. Raises OverflowError if it, or all of this rendering, is too large."""
    _ROOM.left -= size
    if size > MAX_OUTPUT_CHARACTERS or _ROOM.left < 0:
        raise OverflowError


class Buffer(list[str]):
    """The pieces of a macro's or block's text, each counted as it is added."""

    def append(self, piece: str) -> None:
        charge(len(piece) + ITEM_CHARACTERS)
        super().append(piece)

    def extend(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self.append(piece)
