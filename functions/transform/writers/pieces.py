"""A text in the making, where a few characters of the value stand for many of the text: bounded while it grows."""

from functions.transform.output import Room


class Pieces:
    def __init__(self, first: str = "") -> None:
        self._pieces = [first]
        self._room = Room()
        self._room.take(len(first))

    def add(self, piece: str) -> None:
        """Raises Permanent (`output`) as soon as it is too long."""
        self._room.take(len(piece))
        self._pieces.append(piece)

    def verify_room(self, characters: int) -> None:
        """Raises Permanent (`output`)."""
        self._room.verify(characters)

    def text(self) -> str:
        return "".join(self._pieces)
