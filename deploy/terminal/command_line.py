"""The frame of a command at the terminal: its errors, its parser with the help, and its questions to a person.

A command raises CommandError or UsageError. deploy/cli/command.py prints the message and returns the exit code.
"""

import argparse
import getpass
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NoReturn

from shared.did_you_mean import nearest

MAX_QUESTIONS: Final = 3
"""The questions that one call asks. If more values are missing, the error lists them all instead."""
_LEAST_TEXT_COLUMNS: Final = 40
_UNKNOWN: Final = "unrecognized arguments: "
_CONFIG: Final = "--config"
_MAY_BE_EMPTY: Final = frozenset({"--data", "--description", "--email", "--group", "--name"})
"""Options whose empty value has a meaning: an empty body, no group, or no value any more."""
_PATHS: Final = frozenset({"FILE", "FILE.csv", "FOLDER"})
"""The metavars of options whose value may be any bytes, as the name of a file may be."""
_EXTRAS: Final = {"boto3": "aws-tools", "botocore": "aws-tools"}
"""The packages that only some commands need, and the extra of pyproject.toml that has each."""


class CommandError(Exception):
    """A command cannot do what it was called for. Its text says why, and what to do."""


class UsageError(CommandError):
    """The options do not fit together, or name what does not exist. The command ends with exit code 2."""


# Parser and help


class CommandParser(argparse.ArgumentParser):
    """A parser that rejects empty values and options without effect, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}{self._suggestion(message)}")

    def reject_ignored(self, arguments: Sequence[str], ignored: Mapping[str, Sequence[str]]) -> None:
        """End with a usage error if `arguments` have an option beside one, or an action, that leaves it without effect.

        `ignored` has, for each of those, the options that it leaves without effect.
        """
        given = self.given(arguments)
        for option, others in ignored.items():
            for other in others:
                if {option, other} <= given:
                    self.error(f"argument {other}: has no effect with {option}; leave one of them out")

    def given(self, arguments: Sequence[str]) -> set[str]:
        """Return the arguments, with each option as it is declared and without its value."""
        return {self._declared_name(each) if each.startswith("-") else each for each in arguments}

    def _declared_name(self, argument: str) -> str:
        """Return the option as it is declared: `--pla=aws` is --platform."""
        name = argument.partition("=")[0]
        known = [each for each in self._option_string_actions if each == name or each.startswith(name)]
        action = self._option_string_actions.get(name if name in known else known[0]) if known else None
        return action.option_strings[0] if action else name

    def _get_value(self, action: argparse.Action, arg_string: str) -> object:
        """Reject what no option takes, before the option's own type sees it."""
        is_text = action.metavar not in _PATHS
        if not arg_string and action.nargs in {None, "?"} and not _MAY_BE_EMPTY & {*action.option_strings}:
            raise argparse.ArgumentError(action, "must not be empty")
        if is_text and not arg_string.isascii() and arg_string != arg_string.encode("utf-8", "replace").decode():
            raise argparse.ArgumentError(action, "must be UTF-8")
        return super()._get_value(action, arg_string)

    def _suggestion(self, message: str) -> str:
        """Return a suggestion for the first argument that the command does not have."""
        before, found, arguments = message.partition(_UNKNOWN)
        if not found or before or not arguments.strip():
            return ""
        first = arguments.split()[0]
        known = [name for name in self._option_string_actions if name.startswith("--")]
        if first.startswith("--"):
            near = nearest(first.partition("=")[0], known)
            return f"; did you mean {near}?" if near else ""
        is_config = first.endswith((".yaml", ".yml")) and _CONFIG in known
        return f"; did you mean {_CONFIG} {first}?" if is_config else ""


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Lines that are indented stay as they are; the lines between them are paragraphs."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs: list[str] = []
        for is_preformatted, lines in groupby(text.splitlines(), key=lambda line: not line or line.startswith(" ")):
            kept = list(lines)
            paragraphs += kept if is_preformatted else _wrapped(" ".join(kept), width, indent, indent)
        return "\n".join(paragraphs)


def summary_lines(summaries: Mapping[str, str], name_width: int = 0, columns: int | None = None) -> list[str]:
    """Return each name with its summary beside it, wrapped to `columns` [those of the terminal].

    `name_width` aligns several lists: it is the length of the longest name in all of them.
    """
    text_start = max([name_width, *map(len, summaries)]) + 4
    line_columns = shutil.get_terminal_size().columns - 2 if columns is None else columns
    width = max(line_columns, text_start + _LEAST_TEXT_COLUMNS)
    lines: list[str] = []
    for name, summary in summaries.items():
        lines += _wrapped(summary, width, f"  {name}".ljust(text_start), " " * text_start)
    return lines


def _wrapped(text: str, width: int, first_indent: str, next_indent: str) -> list[str]:
    """Wrap the text. Names with a dash in them (`deploy-gcp`, `--all`) stay whole."""
    return textwrap.wrap(
        text, width, initial_indent=first_indent, subsequent_indent=next_indent, break_on_hyphens=False
    )


def how_to_install(folder: Path, package: str = "") -> str:
    """Return what to run for the package. `folder` is the checkout."""
    extra = _EXTRAS.get(package.partition(".")[0])
    if extra:
        return f"In the checkout, run: pip install --editable '{folder}[{extra}]'"
    return f"In the checkout, run: pip install --editable '{folder}[local]' (or `make dev`, which does it)"


# Questions


def read_answer(question: str) -> str:
    """Return the answer, empty if the input ends."""
    try:
        return input(question).strip()
    except EOFError:
        return ""


def is_confirmed(question: str, not_done: str, how: str, word: str = "") -> bool:
    """Return whether the answer is `word`, or yes where no word is asked for.

    Prints `not_done` after any other answer, and where there is no terminal to ask on: then with `how` to do it.
    """
    if not sys.stdin.isatty():
        print(f"{not_done} {how}")
        return False
    answer = read_answer(f"{question} ")
    is_yes = answer == word if word else answer.lower() in ("y", "yes")
    if not is_yes:
        print(not_done)
    return is_yes


class Questions:
    """The questions that a call may still ask: MAX_QUESTIONS on a terminal, none elsewhere."""

    def __init__(self, is_terminal: bool) -> None:
        self.left = MAX_QUESTIONS if is_terminal else 0

    def ask(self, question: str, fault: str) -> str:
        """Return the answer. Raises CommandError with `fault` if no question is left, or there is no answer."""
        self._take(fault)
        answer = read_answer(f"{question}: ")
        if not answer:
            raise CommandError(fault)
        return answer

    def ask_secret(self, question: str, fault: str) -> str:
        """Return an answer that is not shown while it is typed, and that may be empty. Raises CommandError as `ask`."""
        self._take(fault)
        try:
            return getpass.getpass(f"{question}: ").strip()
        except EOFError as error:
            raise CommandError(fault) from error

    def _take(self, fault: str) -> None:
        if not self.left:
            raise CommandError(fault)
        self.left -= 1


def questions() -> Questions:
    return Questions(sys.stdin.isatty() and sys.stderr.isatty())
