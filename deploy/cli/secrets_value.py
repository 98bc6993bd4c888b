"""A new value for a secret: typed twice, from standard input, or made at random. It is never an argument."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from typing import Final

from deploy.secrets.values import random_text
from deploy.terminal.command_error import CannotTell
from shared.signatures.scheme import AuthScheme

NEVER: Final = (
    "a value is never an argument: your shell keeps it in its history, and others see it in the list of processes. "
    "Leave it out and you are asked for it, or put it on standard input: hookchain secrets set NAME < file"
)


def refuse_values(words: argparse.ArgumentParser, given: Sequence[str], unknown: Sequence[str]) -> None:
    """Whatever stands where none belongs may be a value, so it is not repeated."""
    if given or any(not word.startswith("-") or "=" in word for word in unknown):
        words.error(NEVER)
    if unknown:
        words.error("there is an option that it does not have; see --help")


def new_text(is_random: bool, ways: Sequence[AuthScheme]) -> str:
    """Raises CannotTell and Refused."""
    if is_random:
        return random_text(ways)
    if not sys.stdin.isatty():
        return sys.stdin.read()
    try:
        first = getpass.getpass("New value (it is not shown): ")
        again = getpass.getpass("The same once more: ")
    except EOFError as error:
        raise CannotTell("no value was typed; nothing was changed") from error
    if first != again:
        raise CannotTell("the two are not the same; nothing was changed")
    return first
