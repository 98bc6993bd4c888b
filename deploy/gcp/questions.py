"""What is missing is asked for where a terminal is there, three times at most."""

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
        """Raises CommandError with `otherwise` where nobody can be asked, or no answer comes."""
        self._take(otherwise)
        try:
            answer = input(f"{question}: ").strip()
        except EOFError:
            answer = ""
        if not answer:
            raise CommandError(otherwise)
        return answer

    def ask_secret(self, question: str, otherwise: str) -> str:
        """What is typed is not shown; it may be empty. Raises CommandError as above."""
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
