"""The base of `hookchain events` and `hookchain dead-letters`: actions, filters, lists, and a dry run before a change.

The parts follow each other as in a call: the action, the choice of records, printing them, acting on them.
"""

import argparse
import asyncio
import shlex
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, get_args

from deploy.cli.command import DONE, add_limit, add_since, help_texts, number_option, parser, run_command, time_option
from deploy.config.checkout import environ_with, own_env_file
from deploy.history.journal_view import EventQuery, search_words
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, open_platform, same_state
from deploy.terminal import command_line, output
from deploy.terminal.progress import Progress
from shared import errors, jsontext, ports, times
from shared.did_you_mean import did_you_mean, nearest

LISTED: Final = 50
SAMPLE: Final = 5
"""The number of records that a dry run shows."""
SHORT_ID: Final = 12
"""The characters of an id that a list shows, if no other id in it begins with them."""
DEFAULT_RATE: Final = 20.0
"""The number of records that are published again per second."""
BATCH_SECONDS: Final = 0.1
"""A batch has as many records as may be published in this time, but at least one."""
CODES: Final = frozenset(
    code for kind in (errors.RejectedCode, errors.TemporaryCode, errors.PermanentCode) for code in get_args(kind)
)
"""The codes that a dead letter can have. If receive rejects a message of a bus, it is the code of a rejection."""
_TIMES: Final = frozenset({"since", "until"})

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Context:
    """The options of one call, the state that it acts on, the screen that it prints to, and its time (Unix seconds)."""

    options: argparse.Namespace
    state: State
    screen: output.Screen
    now: float


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a command. `run` returns the exit code, and raises UsageError, StateFault and HookchainError."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Context], int]


def run_action(name: str, actions: Mapping[str, Action], arguments: list[str]) -> int:
    """Run the action of the command `name` that the first argument names, and return the exit code.

    The other arguments are those of the action.
    """
    action = action_name(name, actions, arguments[:1])
    command = _action_parser(f"{name} {action}", actions[action])
    options = command.parse_intermixed_args(arguments[1:])
    since = getattr(options, "since", None)
    until = getattr(options, "until", None)
    if since is not None and until is not None and since >= until:
        command.error("argument --until: must be a time after --since")
    screen = output.stdout_screen(options.json)

    def run() -> int:
        with open_platform(options, environ_with(own_env_file())).state() as state:
            return actions[action].run(Context(options, state, screen, time.time()))

    return run_command(f"{name} {action}", run, sqlite3.Error)


def action_name(name: str, actions: Collection[str], arguments: list[str]) -> str:
    """Return the action of the command `name`, which is the first of `arguments`, the words after the command.

    If that is no action, this ends the process: with a usage error, or after the command's help for --help.
    """
    summaries = {action: help_texts()[f"{name} {action}"]["summary"] for action in actions}
    lines = ["actions:", *command_line.summary_lines(summaries)]
    details = "\n".join([*lines, "", f"Run `hookchain {name} ACTION --help` for an action's options."])
    command = parser(name, details)
    command.usage = f"hookchain {name} ACTION [options]"
    command.add_argument("action", metavar="ACTION", nargs="?", help=argparse.SUPPRESS)
    chosen: str | None = command.parse_known_args(arguments)[0].action
    if chosen is None:  # nothing follows, or an option of an action
        *others, last = actions
        command.error(f"ACTION is missing: {', '.join(others)} or {last}")
    if chosen not in actions:
        command.error(f"there is no action {chosen!r}{did_you_mean(chosen, actions)}")
    return chosen


def _action_parser(name: str, action: Action) -> argparse.ArgumentParser:
    command = parser(name)
    action.add_arguments(command)
    add_state(command)
    add_platform(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    return command


# Choosing records


def add_selection(command: argparse.ArgumentParser, limit: int | None) -> None:
    """Add the filters by time and number, which every kind of record has. `limit` is the default; None for no limit."""
    add_since(command)
    command.add_argument("--until", metavar="TIME", type=time_option, help="end at this time")
    add_limit(command, limit)


def add_event_filters(command: argparse.ArgumentParser, text: str) -> None:
    """Add the filters by what an event is. `text` is the help of --text."""
    command.add_argument("--source", metavar="NAME", help="include events from this source only")
    command.add_argument("--type", metavar="TYPE", help="include this type; `trial.*` is every type with this prefix")
    command.add_argument("--text", metavar="WORDS", type=_search_text, help=text)


def _search_text(text: str) -> str:
    """Return the value of --text. Raises ArgumentTypeError for a text without words, which would select everything."""
    if not search_words(text):
        raise argparse.ArgumentTypeError(f"must have a letter or a digit; got {text!r}")
    return text


def add_id(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID", help="the id, or at least its first six characters")


def add_ids(command: argparse.ArgumentParser) -> None:
    command.add_argument("ids", metavar="ID", nargs="*", help="the ids, or at least the first six characters of each")


def add_confirmation(command: argparse.ArgumentParser, *, has_rate: bool = True) -> None:
    command.add_argument("--yes", action="store_true", help="do it; without --yes, print what would be done")
    if has_rate:
        command.add_argument(
            "--rate",
            metavar="N",
            type=number_option(0.001, 100_000),
            default=DEFAULT_RATE,
            help=f"send N a second [{DEFAULT_RATE:g}]",
        )


def require_choice(options: argparse.Namespace, filters: Sequence[str]) -> None:
    """Raise UsageError unless the options choose records, so that no action is done on all of them by mistake."""
    is_filtered = any(getattr(options, name) is not None for name in filters)  # --limit counts: the newest N
    if options.ids and is_filtered:
        raise command_line.UsageError("use ids or filters, not both")
    if not options.ids and not is_filtered:
        raise command_line.UsageError(f"name records by their ids, or choose them by --{', --'.join(filters)}")


def require_known(state: State, options: argparse.Namespace) -> None:
    """Raise UsageError if a filter has a name or code that does not exist.

    Call it only if no record matches, because records may have names that were removed from the configuration.
    """
    code = getattr(options, "code", None)
    known = {
        "destination": [*state.destinations()],
        "route": [str(each["name"]) for each in jsontext.objects_at(state.transform_slice(), "routes")],
        "source": [*jsontext.mapping_at(state.receive_slice(), "sources")],
    }
    for option, existing in known.items():
        name = getattr(options, option, None)
        if name is not None and existing and name not in existing:
            raise command_line.UsageError(f"--{option}: there is no {option} {name!r}{did_you_mean(name, existing)}")
    if code is not None and code not in CODES:
        near = nearest(code, CODES)
        hint = f"did you mean {near!r}?" if near else "deploy/codes.md lists them"
        raise command_line.UsageError(f"--code: there is no code {code!r}; {hint}")


def near_type_hint(state: State, options: argparse.Namespace) -> str:
    """Return `; did you mean type 'order.paid'?` if no event matches --type and the newest ones have a similar type."""
    event_type = getattr(options, "type", None)
    if event_type is None:
        return ""
    near = nearest(event_type, {event.type for event in state.reader.events(EventQuery()).events if event.type})
    return f"; did you mean type {near!r}?" if near and near != event_type else ""


# Printing them


def print_records(
    context: Context,
    rows: Sequence[Row],
    noun: str,
    document: Callable[[Row], jsontext.JsonObject],
    table: Callable[[Sequence[Row], output.Screen], str],
) -> int:
    """Print the first `--limit` rows, and whether there are more. Return DONE, also for no rows.

    `rows` has one row more than --limit if there are more. Raises UsageError if there are none because a filter has an
    unknown name.
    """
    limit: int = context.options.limit
    has_more = len(rows) > limit
    printed = rows[:limit]
    if not printed:
        require_known(context.state, context.options)
    if context.options.json:
        output.print_json({f"{noun.replace(' ', '_')}s": [document(row) for row in printed], "more": has_more})
        return DONE
    if not printed:
        print(f"no {noun}s{near_type_hint(context.state, context.options)}", file=sys.stderr)
        return DONE
    print(table(printed, context.screen))
    if has_more:
        shown = f"This is the newest {noun}" if limit == 1 else f"These are the newest {output.count_of(limit, noun)}"
        print(f"{shown}. Use --limit to see more.", file=sys.stderr)
    return DONE


def short_ids(ids: Sequence[str]) -> list[str]:
    """Return the beginning of each id with which no other id begins, or the whole id if there is no such beginning."""
    counts = Counter(each[:SHORT_ID] for each in ids)
    return [each[:SHORT_ID] if counts[each[:SHORT_ID]] == 1 else _unique_beginning(each, ids) for each in ids]


def _unique_beginning(own: str, ids: Sequence[str]) -> str:
    """Return the shortest beginning of the id that no other id has; the whole id if another one begins with it."""
    alike = [each for each in ids if each[:SHORT_ID] == own[:SHORT_ID]]
    beginnings = (own[:size] for size in range(SHORT_ID, len(own)))
    return next((short for short in beginnings if sum(each.startswith(short) for each in alike) == 1), own)


def sample_note(count: int) -> str:
    """Return the end of a sentence before the SAMPLE records that a dry run lists of `count`."""
    return f", oldest first; the first {SAMPLE}:" if count > SAMPLE else ":"


def ids_note(ids: Sequence[str]) -> str:
    """Return the first SAMPLE ids, and the number of the others, for a person."""
    return ", ".join(ids[:SAMPLE]) + (f" and {len(ids) - SAMPLE:,} more" if ids[SAMPLE:] else "")


def id_list(ids: Sequence[str]) -> list[jsontext.Json]:
    """Return the ids as a JSON array. To mypy, a list of texts is no list of JSON values."""
    return list(ids)


# Acting on them


async def publish_at_rate(
    context: Context, rows: Sequence[Row], send: Callable[[ports.Bus, Sequence[Row]], Awaitable[None]]
) -> None:
    """Send `rows` in batches, at the rate of the options, with their progress on standard error.

    `send` publishes one batch. Raises what it raises, and no batch follows then.
    """
    progress = Progress(len(rows), "published", sys.stderr)
    async with context.state.bus() as bus:
        with progress:
            await send_at_rate(rows, context.options.rate, lambda batch: send(bus, batch), progress.tell)


async def send_at_rate(
    rows: Sequence[Row], rate: float, send: Callable[[Sequence[Row]], Awaitable[None]], report: Callable[[int], None]
) -> None:
    """Send the rows in small batches, at most `rate` a second, and report how many are sent in all after each batch.

    Raises what `send` raises. A batch begins when the time of the one before is over, or when that has been sent, if it
    took longer. The time that a slow batch loses is not made up for, so the rate is never exceeded.
    """
    now = asyncio.get_running_loop().time
    size = max(1, int(rate * BATCH_SECONDS))
    for start in range(0, len(rows), size):
        began_at = now()
        batch = rows[start : start + size]
        await send(batch)
        sent = start + len(batch)
        report(sent)
        if sent < len(rows):
            await asyncio.sleep(began_at + len(batch) / rate - now())


def confirmed_line(name: str, options: argparse.Namespace, filters: Sequence[str], now: float) -> str:
    """Return the command line that does what a dry run printed: the same filters, with fixed times.

    It has the options in `filters`, those that this function names, and those of the deployment. So add each new option
    of an action to one of the first two.

    `name` is the command and its action. Without --until it ends at `now`, because records that arrive later were not
    part of the dry run.
    """
    settings = vars(options)
    line = ["hookchain", *name.split(), *settings.get("ids", [])]
    if not settings.get("ids") and "until" in settings and settings["until"] is None:
        settings = {**settings, "until": now}
    for option in (*filters, "only", "force", "rate"):
        value = settings.get(option)
        if value is None or value is False or (option == "rate" and value == DEFAULT_RATE):
            continue
        line.append(f"--{option}")
        if value is not True:
            line.append(_option_text(option, value))
    return f"{shlex.join(line)}{same_state(options)} --yes"


def _option_text(option: str, value: object) -> str:
    """Return the option's value as the command line writes it. Times are Unix seconds, and become RFC 3339."""
    if isinstance(value, float):
        return times.rfc3339(value) if option in _TIMES else f"{value:g}"
    return str(value)
