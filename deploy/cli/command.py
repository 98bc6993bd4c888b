"""The parts that all commands share: the parser, the exit codes, and the message of an error."""

import argparse
import math
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from textwrap import indent
from typing import Final, cast

from deploy.cli.main import COMMANDS, HELP_FILE
from deploy.config.config_file import ConfigFaults
from deploy.config.packaged_yaml import load_data
from deploy.terminal.command_line import CommandError, CommandParser, HelpText, UsageError
from deploy.terminal.output import printable
from shared import errors, times
from shared.cloud.local.database import reason_of
from shared.config.rules import UNIT_SECONDS, duration_seconds

DONE: Final = 0
NOT_DONE: Final = 1
USAGE: Final = 2
"""The exit code of argparse for a usage error too."""
EXPECTED: Final = (CommandError, ConfigFaults, errors.HookchainError, OSError)
"""The errors that a command reports in one line."""
_AGO: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")
"""A time before now, such as `1.5h`."""


@cache
def help_texts() -> Mapping[str, Mapping[str, str]]:
    """Return the texts of help.yaml, by command or by command and action, such as `events replay`."""
    return cast("Mapping[str, Mapping[str, str]]", load_data(HELP_FILE))


def parser(name: str, details: str = "") -> CommandParser:
    """Return the parser of a command or of an action of one, with its help. `details` replace those of help.yaml."""
    text = help_texts()[name]
    summary = text.get("summary") or COMMANDS[name].summary
    details = details or text.get("details", "").rstrip()
    example = indent(text["example"].rstrip(), "  ")
    title = "examples" if example.count("\n  hookchain") else "example"
    epilog = "\n\n".join(filter(None, (details, f"exit codes: {text['exit_codes']}", f"{title}:\n{example}")))
    return CommandParser(prog=f"hookchain {name}", description=f"{summary}.", epilog=epilog, formatter_class=HelpText)


def run_command(name: str, run: Callable[[], int], *also: type[Exception], error_code: int = NOT_DONE) -> int:
    """Return the exit code of `run`. An expected error, or one of `also`, becomes a message and `error_code`.

    A UsageError ends with USAGE instead. Other errors are faults of the command, so they are raised.
    """
    expected: tuple[type[Exception], ...] = (*EXPECTED, *also)
    try:
        code = run()
        sys.stdout.flush()  # now, so that an output that cannot be written is reported like any other error
    except BrokenPipeError:
        raise  # an OSError, but no failure: deploy/cli/main.py ends every command whose reader has gone
    except expected as fault:
        report(name, error_text(fault))
        return USAGE if isinstance(fault, UsageError) else error_code
    return code


def error_text(fault: Exception) -> str:
    """Return the error's text for a person, without the name of the command. It may have several lines."""
    if isinstance(fault, OSError) and fault.filename:
        return f"{fault.filename} cannot be opened: {fault.strerror}"
    if isinstance(fault, sqlite3.Error):
        return reason_of(fault)
    return fault.detail if isinstance(fault, errors.HookchainError) else str(fault)


def report(name: str, text: str) -> None:
    """Print each line to standard error, after the command's name. An indented line is printed alone, to be copied."""
    for line in map(printable, text.split("\n")):
        is_to_paste = line.startswith("  ")
        print(line if is_to_paste else f"hookchain {name}: {line}", file=sys.stderr)


def add_limit(command: argparse.ArgumentParser, default: int | None) -> None:
    """Add --limit. None as the default stands for no limit, or for one that the command chooses."""
    shown = f" [{default}]" if default else ""
    command.add_argument(
        "--limit",
        metavar="N",
        type=whole_number_option(1, 10**9),
        default=default,
        help=f"stop after the newest N{shown}",
    )


def add_since(command: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --since, which becomes Unix seconds. argparse reads the default, such as `1h`, like a given text."""
    shown = f" [{default} ago]" if default else ""
    command.add_argument(
        "--since",
        metavar="TIME",
        type=_past_time,
        default=default,
        help=f"start at this time: `1h` or `2d` ago, or an RFC 3339 time{shown}",
    )


def number_option(least: float, most: float, unit: str = "") -> Callable[[str], float]:
    """Return the type of an option that is a number. Its type raises ArgumentTypeError."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be a number{unit} from {least:,g} to {most:,.0f}; got {text!r}")
        return number

    return read


def whole_number_option(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an option that is a whole number. Its type raises ArgumentTypeError."""

    def read(text: str) -> int:
        is_number = text.isascii() and text.isdecimal()
        digits = text.lstrip("0") or "0"
        is_short = len(digits) <= len(str(most))  # int() raises ValueError for thousands of digits
        if not (is_number and is_short and least <= int(digits) <= most):
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}; got {text!r}")
        return int(digits)

    return read


def duration_option(least: str, most: str) -> Callable[[str], float]:
    """Return the type of an option such as `90s` or `2h`, in seconds. Its type raises ArgumentTypeError."""
    bounds = [float(str(duration_seconds(each))) for each in (least, most)]

    def read(text: str) -> float:
        try:
            seconds = duration_seconds(text)
        except ValueError:
            seconds = None
        if not isinstance(seconds, float) or not bounds[0] <= seconds <= bounds[1]:
            raise argparse.ArgumentTypeError(f"must be a time such as 30m or 2h, from {least} to {most}; got {text!r}")
        return seconds

    return read


TIMEOUT: Final = number_option(0.1, 3_600, " of seconds")
"""The type of --timeout."""


def _past_time(text: str) -> float:
    """Return Unix seconds before now. Raises ArgumentTypeError."""
    since = time_option(text)
    if since > time.time() - 0.5:  # `0s` is rejected too, although the clock has gone on since it was read
        raise argparse.ArgumentTypeError(f"must be a time before now; got {text!r}")
    return since


def time_option(text: str) -> float:
    """Return Unix seconds of a time before or after now, as `moment` reads it. Raises ArgumentTypeError."""
    try:
        return moment(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def moment(text: str, now: float) -> float:
    """Return the Unix time of `90s`, `5m`, `1h` or `2d` before now, or of an RFC 3339 time. Raises ValueError."""
    if ago := _AGO.fullmatch(text):
        # Nothing happened before 1970, and RFC 3339, which some readers use, has no year before 0.
        return max(now - float(ago[1]) * UNIT_SECONDS[ago[2]], 0.0)
    try:
        return times.unix_seconds(text)
    except (ValueError, OverflowError) as error:
        rule = "a time is `1h` or `2d` ago, or an RFC 3339 time such as 2026-03-01T12:00:00Z"
        raise ValueError(f"{rule}; got {text!r}") from error
