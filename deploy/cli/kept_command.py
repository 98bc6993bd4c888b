"""What `hookchain events` and `hookchain dead-letters` have in common: actions, arguments, and how they end."""

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.cli.ending import ended
from deploy.cli.main import parser
from deploy.history.platform_options import add_platform, add_state
from deploy.history.replay import DEFAULT_RATE
from deploy.history.state import State, open_state
from deploy.terminal.help_text import HelpText, listed
from deploy.terminal.tables import Screen, screen_of
from deploy.terminal.when import moment

EXIT_CODES: Final = "exit code: 0 done, 1 nothing to act on or something failed, 2 for a command that makes no sense"


class BadUsage(Exception):
    """A command that makes no sense, in words for a person."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and where: `prints` goes to `screen`."""

    options: argparse.Namespace
    state: State
    screen: Screen
    now: float


@dataclass(frozen=True, slots=True)
class Action:
    """`run` answers the exit code. Raises BadUsage, StateFault and HookchainError."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Asked], int]
    epilog: str = ""


def run_command(name: str, actions: Mapping[str, Action], arguments: list[str]) -> int:
    action = _action_of(name, actions, arguments[:1])
    words = _parser_of(name, action, actions[action])
    options = words.parse_intermixed_args(arguments[1:])
    screen = Screen() if options.json else screen_of(sys.stdout, os.environ)

    def run() -> int:
        with open_state(options, os.environ) as state:
            return actions[action].run(Asked(options, state, screen, time.time()))

    try:
        return ended(f"{name} {action}", run, OSError, sqlite3.Error)
    except BadUsage as fault:
        words.error(str(fault))


def _action_of(name: str, actions: Mapping[str, Action], arguments: list[str]) -> str:
    lines = listed({each: action.summary for each, action in actions.items()})
    more = f"hookchain {name} ACTION --help says more of one."
    words = parser(name, "\n".join(["actions:", *lines, "", more]))
    words.usage = f"hookchain {name} ACTION …"
    words.add_argument("action", metavar="ACTION", choices=tuple(actions), help=argparse.SUPPRESS)
    chosen: str = words.parse_args(arguments).action
    return chosen


def _parser_of(name: str, action: str, one: Action) -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog=f"hookchain {name} {action}",
        description=one.summary[0].upper() + one.summary[1:] + ".",
        epilog="\n\n".join(filter(None, (one.epilog, EXIT_CODES))),
        formatter_class=HelpText,
    )
    one.add_arguments(words)
    add_state(words)
    add_platform(words)
    words.add_argument("--json", action="store_true", help="print one JSON document")
    return words


def add_times(words: argparse.ArgumentParser) -> None:
    now = time.time()

    def time_of(text: str) -> float:
        try:
            return moment(text, now)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    words.add_argument(
        "--since", metavar="TIME", type=time_of, help="not before: `1h` or `2d` ago, or an RFC 3339 time"
    )
    words.add_argument("--until", metavar="TIME", type=time_of, help="not after")


def add_limit(words: argparse.ArgumentParser, default: int | None) -> None:
    told = f"at most so many, the newest ({default})" if default else "at most so many, the newest"
    words.add_argument("--limit", metavar="N", type=_whole_number, default=default, help=told)


def add_doing(words: argparse.ArgumentParser, has_rate: bool = True) -> None:
    words.add_argument("--yes", action="store_true", help="do it; without it you are only told what would be done")
    if has_rate:
        words.add_argument(
            "--rate", metavar="N", type=_rate, default=DEFAULT_RATE, help=f"at most so many a second ({DEFAULT_RATE:g})"
        )


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError(f"a whole number above 0; found {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 100_000:
        raise argparse.ArgumentTypeError(f"a number from 0.001 to 100000; found {text!r}")
    return rate
