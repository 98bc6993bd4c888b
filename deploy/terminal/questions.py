"""Questions to the operator for missing values: only on a terminal, and at most three."""

import getpass
import sys
from typing import Final

from deploy.terminal.command_error import CommandError

MOST: Final = 3


class Questions:
    def __init__(self, is_terminal: bool) -> None:
        self._left = MOST if is_terminal else 0

    @property
    def left(self) -> int:
        return self._left

    def ask(self, question: str, otherwise: str) -> str:
        """Return the answer. Raises CommandError with `otherwise` if there is no terminal, or no answer."""
        self._take(otherwise)
        try:
            answer = input(f"{question}: ").strip()
        except EOFError:
            answer = ""
        if not answer:
            raise CommandError(otherwise)
        return answer

    def ask_secret(self, question: str, otherwise: str) -> str:
        """Return an answer that is not shown while it is typed, and that may be empty. Raises CommandError as `ask`."""
        self._take(otherwise)
        try:
            return getpass.getpass(f"{question}: ").strip()
        except EOFError as error:
            raise CommandError(otherwise) from error

    def _take(self, otherwise: str) -> None:
        if not self._left:
            raise CommandError(otherwise)
        self._left -= 1


def questions() -> Questions:
    return Questions(sys.stdin.isatty() and sys.stderr.isatty())
