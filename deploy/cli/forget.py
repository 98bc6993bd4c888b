"""`hookchain forget`: erase what every store holds of events, and search again to show that it is gone."""

import argparse
import asyncio
import os
import shlex
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.cli.forget_choice import MAX_PENDING, Chosen, by_actor, by_condition, by_expression, by_ids, by_person
from deploy.cli.record_command import id_list, ids_note
from deploy.config.checkout import environ_with, own_env_file
from deploy.history.forget import CaughtMails, DigestTraces, Traces, open_forgetter, total_counts
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, open_platform, same_platform
from deploy.terminal.output import Column, PassingLine, Screen, count_of, print_json, screen_of, table
from shared.jsontext import Json, JsonObject

EXAMPLE: Final = "hookchain forget --where \"data.customer.email == 'ada@example.com'\" --dry-run"
EXIT_CODES: Final = "0 erased and gone, 1 something remains, nothing matches or failed, 2 usage error"
DETAILS: Final = """\
EXPR is an expression as in a route's `where`. The command looks through events, dead letters and pending
deliveries. It erases bodies, subjects, actors, dead letters' messages and destinations' answers. Pending and held
deliveries are not sent: they are dead-lettered with the code `forgotten`. Ids, times, types, names and outcomes stay.
A digest that has a line of a chosen event is erased with it. --tenant erases what is stored of one of your own users.
The command then searches again, and says what it cannot reach."""
BEYOND_REACH: Final = (
    "mails, messages and requests that were sent: ask their recipients",
    "logs: they have ids, types and outcomes, and senders' addresses, but no body",
)
REPEAT: Final = "run the command again once fewer wait"
PROGRESS_EVERY: Final = 500


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, the state that it acts on, and the screen that it prints to."""

    options: argparse.Namespace
    state: State
    mails: CaughtMails | None
    screen: Screen


def main(arguments: list[str]) -> int:
    command = _parser()
    options = command.parse_args(arguments)
    if options.json and not (options.yes or options.dry_run):
        command.error("--json: needs --yes or --dry-run, because it cannot ask")

    def run() -> int:
        platform = open_platform(options, environ_with(own_env_file()))
        screen = Screen() if options.json else screen_of(sys.stdout, os.environ)
        with platform.state() as state, platform.caught_mails() as mails:
            call = Call(options, state, mails, screen)
            if options.tenant is None:
                return _run(call)
            from deploy.cli import forget_tenant  # imports what the API stores

            return forget_tenant.run(call)

    return run_command("forget", run, OSError, sqlite3.Error)


def _parser() -> argparse.ArgumentParser:
    command = parser("forget", EXAMPLE, details=DETAILS, exit_codes=EXIT_CODES)
    chosen = command.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--where", metavar="EXPR", help="choose the events for which this JMESPath expression is true")
    chosen.add_argument(
        "--event",
        metavar="ID",
        action="append",
        help="choose this event, by six or more first characters of its id; repeatable",
    )
    chosen.add_argument("--tenant", metavar="ID", help="erase this tenant, its endpoints, messages and deliveries")
    chosen.add_argument("--actor", metavar="NAME", help="choose the events that this actor triggered")
    chosen.add_argument(
        "--person", metavar="NAME", help="choose the events that this person of `people` triggered, under any name"
    )
    decided = command.add_mutually_exclusive_group()
    decided.add_argument("--yes", action="store_true", help="erase without asking")
    decided.add_argument("--dry-run", action="store_true", help="print what would be erased, and erase nothing")
    add_state(command)
    add_platform(command)
    command.add_argument("--json", action="store_true", help="print one JSON document; needs --yes or --dry-run")
    return command


def _run(call: Call) -> int:
    """Raises UsageError, StateFault and HookchainError."""
    chosen = _choose(call)
    code = DONE if chosen.ids and not chosen.failed and chosen.is_complete else NOT_DONE
    if chosen.failed:
        failed = count_of(len(chosen.failed), "event")
        print(f"the condition fails for {failed}, which stay: {ids_note([*chosen.failed])}", file=sys.stderr)
    if not chosen.is_complete:
        print(f"only the newest {MAX_PENDING:,} pending deliveries were looked at: {REPEAT}", file=sys.stderr)
    if not chosen.ids:
        print("no event matches", file=sys.stderr)
    found = asyncio.run(_search(call, [*chosen.ids]))
    if not call.options.yes:
        _print_found(call, found)
    if call.options.dry_run or not found or not _is_confirmed(call, len(found)):
        return code
    left = asyncio.run(_erase(call, found))
    _print_erased(call, found, left, call.state.rewrite_files())
    return code if not any(total_counts(left).values()) else NOT_DONE


def _choose(call: Call) -> Chosen:
    options = call.options
    if options.event:
        return by_ids(call.state, options.event)
    if options.actor is not None:
        condition = by_actor(options.actor)
    elif options.person is not None:
        condition = by_person(options.person, (call.state.notify_slice() or {}).get("people"))
    else:
        condition = by_expression(options.where)
    line = PassingLine(sys.stderr)

    def tell(count: int) -> None:
        if count % PROGRESS_EVERY == 0:
            line.show(f"looked at {count:,}")

    try:
        return by_condition(call.state, condition, tell)
    finally:
        line.clear()


async def _search(call: Call, ids: Sequence[str]) -> list[Traces]:
    async with open_forgetter(call.state, call.mails) as forgetter:
        return [await forgetter.search(each) for each in ids]


async def _erase(call: Call, found: Sequence[Traces]) -> list[Traces]:
    """Erase, and search again with connections of their own. Return what is left."""
    async with open_forgetter(call.state, call.mails) as forgetter:
        await forgetter.erase(found, time.time())
    return await _search(call, [each.event_id for each in found])


def _is_confirmed(call: Call, count: int) -> bool:
    if call.options.yes:
        return True
    if not sys.stdin.isatty():
        print(f"Nothing was erased. To erase it:\n  {_confirmed_line(call.options)}")
        return False
    try:
        answer = input(f"This cannot be undone. Type yes to erase {count_of(count, 'event')}: ").strip()
    except EOFError:
        answer = ""
    if answer != "yes":
        print("Nothing was erased.")
    return answer == "yes"


# Printing


def _print_found(call: Call, found: Sequence[Traces]) -> None:
    counts = total_counts(found)
    if call.options.json:
        print_json({"dry_run": True, **_document(found), "stores": {**counts}})
        return
    if not found:
        return
    rows = [(store, f"{count:,}") for store, count in counts.items()]
    print(f"{count_of(len(found), 'event')}: {ids_note([each.event_id for each in found])}\n")
    print(table((Column("STORE"), Column("FOUND")), rows, call.screen) + "\n")
    if unsent := sum(each.unsent for each in found):
        print(f"{count_of(unsent, 'delivery', 'deliveries')} not sent yet would never be sent.")
    for line in _unsent_digests(call, found):
        print(line)


def _print_erased(call: Call, found: Sequence[Traces], left: Sequence[Traces], not_rewritten: Sequence[str]) -> None:
    before, after = total_counts(found), total_counts(left)
    beyond = [*BEYOND_REACH, *call.state.beyond_reach, *(f"deleted data in {each}" for each in not_rewritten)]
    in_flight = sum(each.in_flight for each in found)
    if call.options.json:
        stores: JsonObject = {store: {"found": before[store], "left": after[store]} for store in before}
        print_json(
            {"dry_run": False, **_document(found), "stores": stores, "in_flight": in_flight, "beyond_reach": [*beyond]}
        )
        return
    rows = [(store, f"{count - after[store]:,}", f"{after[store]:,}") for store, count in before.items()]
    print(table((Column("STORE"), Column("ERASED"), Column("LEFT")), rows, call.screen) + "\n")
    remaining = [each.event_id for each in left if any(each.counts)]
    if remaining:
        print(
            f"Something remains of {count_of(len(remaining), 'event')}: {ids_note(remaining)}. Run the command again."
        )
    else:
        print(f"Searched again: nothing is left of {count_of(len(found), 'event')}.")
    if in_flight:
        print(f"{count_of(in_flight, 'event')} may still be on the bus.")
    for line in _unsent_digests(call, found):
        print(line)
    print("\n".join(["What this command cannot reach:", *(f"  - {each}" for each in beyond)]))


def _unsent_digests(call: Call, found: Sequence[Traces]) -> Iterator[str]:
    """Yield, for each digest that is never sent, how to deliver the other events in it."""
    forgotten = {each.event_id for each in found}
    for digest in _never_sent(found):
        others = [each for each in digest.others if each not in forgotten]
        name, where = digest.destination, same_platform(call.options)
        yield f"The digest {digest.event_id} to {name!r} is not sent yet and never will be."
        if others:
            line = f"hookchain events replay {shlex.join(others)} --only {shlex.quote(name)} --force{where} --yes"
            yield f"To deliver the {count_of(len(others), 'other event')} in it, run this afterwards:\n  {line}"


def _never_sent(found: Sequence[Traces]) -> list[DigestTraces]:
    digests = {digest.event_id: digest for each in found for digest in each.digests}
    return [each for each in digests.values() if each.is_unsent]


def _document(found: Sequence[Traces]) -> JsonObject:
    digests: list[Json] = [
        {"digest": each.event_id, "destination": each.destination, "others": id_list(each.others)}
        for each in _never_sent(found)
    ]
    unsent = sum(each.unsent for each in found)
    return {"events": id_list([each.event_id for each in found]), "unsent": unsent, "unsent_digests": digests}


def _confirmed_line(options: argparse.Namespace) -> str:
    chosen = [
        ("--where", options.where),
        ("--actor", options.actor),
        ("--person", options.person),
        *(("--event", each) for each in options.event or ()),
    ]
    arguments = [each for option in chosen if option[1] is not None for each in option]
    return f"hookchain forget {shlex.join(arguments)}{same_platform(options)} --yes"
