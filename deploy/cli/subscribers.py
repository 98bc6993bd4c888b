"""The frame of the commands about subscribers: actions, the API in this process, and a dry run before a change.

A command calls the API for subscribers as an application does, but without HTTP: the API's code runs in this process on
the stores of the deployment. deploy/subscribers/operator_api.py does that.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from deploy.cli.command import DONE, NOT_DONE, parser, report, run_command
from deploy.cli.records import action_name
from deploy.client.hookchain.subscribers import SubscribersError
from deploy.config.configured import add_configuration, configured
from deploy.config.running_dev import is_production
from deploy.platforms.choice import add_platform, add_state, is_local, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.subscribers.imports import CsvFault, Importer, ImportResult, Row, fault_texts, import_rows
from deploy.subscribers.operator_api import Deployment, OperatorApi
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import BOLD, Column, Screen, count_of, print_json, printable, stdout_screen, table
from deploy.terminal.progress import PassingLine
from functions.subscribe.settings import SubscribeSettings, read_settings
from shared.jsontext import Json, JsonObject

SAMPLE: Final = 20
"""The number of rows of an import that are listed."""
PROGRESS_EVERY: Final = 50
"""The number of imported rows after which the progress line changes."""


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, the deployment that it acts on, and the screen that it prints to.

    `settings` are those of the API, as the function `subscribe` has them on the platform.
    """

    options: argparse.Namespace
    settings: SubscribeSettings
    platform: Platform
    screen: Screen

    def api(self, *, is_dry: bool = False, base_url: str = "") -> OperatorApi:
        """Return the API, to be used in `with`. If it is dry, what its requests write is kept in memory only.

        `base_url` is that of portal links; empty for a request that makes none.
        """
        stores = self.platform.subscriber_stores()
        secrets = self.platform.secrets()
        return OperatorApi(Deployment(self.settings, stores, secrets, base_url), is_dry)

    @property
    def where(self) -> str:
        """Return the options with which another command acts on the same deployment, after a space."""
        return same_platform(self.options)


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a command.

    run      returns the exit code, and raises UsageError, CommandError, SubscribersError and HookchainError
    ignored  by option, the options that have no effect beside it
    """

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Call], int]
    ignored: Mapping[str, Sequence[str]] = field(default_factory=dict)


def run_action(name: str, actions: Mapping[str, Action], arguments: list[str]) -> int:
    """Run the action that the first argument names; what is left are its own arguments."""
    action = action_name(name, actions, arguments[:1])
    return run_call(f"{name} {action}", actions[action], arguments[1:])


def run_call(name: str, action: Action, arguments: list[str]) -> int:
    """Run the action with its own arguments and return the exit code. `name` is the command, with its action if any.

    An error of the API is printed, and its code is NOT_DONE.
    """
    command = parser(name)
    action.add_arguments(command)
    add_configuration(command)
    add_state(command)
    add_platform(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.reject_ignored(arguments, action.ignored)
    options = command.parse_intermixed_args(arguments)
    screen = stdout_screen(options.json)

    def run() -> int:
        found = configured(options)
        if "subscribe" not in found.slices:
            where = found.path or "the mode without a configuration file"
            raise CommandError(f"{where}: has no `subscribers`. functions/subscribe/README.md says how to add it.")
        platform = open_platform(options, found.environ)
        settings = read_settings(found.slices["subscribe"])
        if is_local(options) and not is_production(options.state):  # `make dev` allows endpoints on this machine
            settings = replace(settings, allow_http=True, allow_private=True, public_url="")
        call = Call(options, settings, platform, screen)
        try:
            return action.run(call)
        except SubscribersError as fault:
            for text in fault_texts(fault):
                report(name, text)
            return NOT_DONE

    return run_command(name, run)


def add_yes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="do it; without --yes, print what would be done")


def add_csv_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE.csv", type=Path, help="read this file")
    add_yes(command)


def document_of(entry: Mapping[str, object], *hidden: str) -> JsonObject:
    """Return an object that the API returned, without the hidden fields."""
    return cast("JsonObject", {name: value for name, value in entry.items() if name not in hidden})


def print_result(call: Call, document: JsonObject, text: str) -> int:
    """Print the document with --json, else the text. Return DONE."""
    if call.options.json:
        print_json(document)
    else:
        print(text)
    return DONE


def deletion_text(call: Call, name: str, details: str) -> str:
    """Return what a deletion did, or without --yes, what it would do."""
    if call.options.yes:
        return f"{name} is deleted{details}"
    return f"{name} would be deleted{details}\nNothing was changed. Add --yes to delete it."


def print_facts(call: Call, title: str, facts: Mapping[str, str]) -> None:
    """Print the facts below the title, except those without a value."""
    print(call.screen.coloured(printable(title), BOLD))
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            print(f"  {printable(name.ljust(width))}  {printable(value)}")


def print_items(call: Call, items: list[JsonObject], noun: str, columns: tuple[Column, ...], row: "RowOf") -> int:
    """Print a table, or a JSON document with the items under the noun's plural. Return DONE, also for no items."""
    if call.options.json:
        listed: list[Json] = [*items]
        print_json({f"{noun.replace(' ', '_').lower()}s": listed})
    elif items:
        print(table(columns, [row(item) for item in items], call.screen))
    else:
        print(f"no {noun}s", file=sys.stderr)
    return DONE


RowOf = Callable[[JsonObject], tuple[str, ...]]


# Importing


def read_file(path: Path) -> bytes:
    """Return the content of a file, or of standard input for `-`. Raises OSError."""
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()


def run_import(
    call: Call, noun: str, read: Callable[[bytes], list[Row]], make_importer: Callable[[bool], Importer]
) -> int:
    """Import a CSV file, and return NOT_DONE if it has faults. Without --yes, print what would be imported.

    All rows are verified before the first is written, so a file with a fault changes nothing. `noun` is what a row
    describes. `make_importer` returns the function that imports one row, and gets whether the import is dry. Raises
    CommandError for a file that is no such CSV.
    """
    path: Path = call.options.file
    try:
        rows = read(read_file(path))
    except CsvFault as fault:
        raise CommandError(f"{path}: {fault}") from fault
    verification = _import_rows(call.api(is_dry=True), rows, make_importer(True))
    if verification.faults:
        for text in verification.faults:
            report(f"{noun}s import", f"{path}: {text}")
        print("Nothing was imported.", file=sys.stderr)
        return NOT_DONE
    result = verification
    if call.options.yes:
        result = _import_rows(call.api(), rows, make_importer(False))
        for text in result.faults:  # somebody else changed something meanwhile
            report(f"{noun}s import", f"{path}: {text}")
    _print_import(call, noun, result)
    return NOT_DONE if result.faults else DONE


def _import_rows(api: AbstractContextManager[OperatorApi], rows: list[Row], importer: Importer) -> ImportResult:
    """Import the rows over the API, or over a dry one verify them, with progress on standard error."""
    line = PassingLine(sys.stderr)

    def tell(count: int) -> None:
        if count % PROGRESS_EVERY == 0:
            line.show(f"{count:,} of {len(rows):,}")

    try:
        with api as opened:
            return import_rows(opened.client(), rows, importer, tell)
    finally:
        line.clear()


def _print_import(call: Call, noun: str, result: ImportResult) -> None:
    """Print what was imported, or would be. Rows that change nothing are only counted, except with --json."""
    is_done: bool = call.options.yes
    counts = {outcome: result.count(outcome) for outcome in ("created", "updated", "unchanged")}
    if call.options.json:
        listed: list[Json] = [{"line": row.line, noun: row.name, "outcome": row.outcome} for row in result.rows]
        print_json({"dry_run": not is_done, **counts, f"{noun}s": listed, "faults": [*result.faults]})
        return
    verb = "" if is_done else "would be "
    changed = [(str(row.line), row.name, verb + row.outcome) for row in result.rows if row.outcome != "unchanged"]
    if changed:
        print(table((Column("LINE"), Column(noun.upper()), Column("OUTCOME")), changed[:SAMPLE], call.screen))
    if len(changed) > SAMPLE:
        print(f"and {len(changed) - SAMPLE:,} more")
    texts = [f"{count:,} {verb}{outcome}" for outcome, count in counts.items() if outcome != "unchanged"]
    print(f"{count_of(len(result.rows), noun)}: {', '.join(texts)}, {counts['unchanged']:,} unchanged")
    if not is_done and changed:
        print("Nothing was changed. Add --yes to import.")
