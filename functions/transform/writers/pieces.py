"""A text in the making, where a few characters of the value stand for many of the text: bounded while it grows."""

from functions.transform.output import MAX_OUTPUT_CHARACTERS
from shared.errors import Permanent


class Pieces:
    def __init__(self, first: str = "") -> None:
        self._pieces = [first]
        self._room = MAX_OUTPUT_CHARACTERS - len(first)

    def add(self, piece: str) -> None:
        """Raises Permanent (`output`) as soon as it is too long."""
        self.verify_room(len(piece))
        self._room -= len(piece)
        self._pieces.append(piece)

    def verify_room(self, characters: int) -> None:
        """Raises Permanent (`output`)."""
        if characters > self._room:
            raise Permanent("output", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")

    def text(self) -> str:
        return "".join(self._pieces)
