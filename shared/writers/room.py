"""The bound of a text that is made from an event."""

from typing import Final

from shared.errors import Permanent

MAX_OUTPUT_CHARACTERS: Final = 4 * 1024 * 1024


class Room:
    """The characters that are left for an output while it is made, where a short value can become a long text."""

    def __init__(self) -> None:
        self._left = MAX_OUTPUT_CHARACTERS

    def take(self, characters: int) -> None:
        """Raises Permanent (`output_too_large`)."""
        self.verify(characters)
        self._left -= characters

    def verify(self, characters: int) -> None:
        """Raises Permanent (`output_too_large`)."""
        if characters > self._left:
            raise Permanent("output_too_large", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")
