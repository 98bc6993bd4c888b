"""`hookchain forget`: erase what every store holds of events or of a tenant, and search again to show that it is gone.

Choose (chosen_events.py), search every store, print what was found, confirm, erase, search again, rewrite the files of
this machine, and print what is left. The traces of an event or of a tenant are what the stores hold of it.
"""

import argparse
import asyncio
import shlex
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from deploy.cli.chosen_events import choose_events, print_doubts
from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.cli.records import id_list, ids_note
from deploy.config.checkout import environ_with, own_env_file
from deploy.history import local_erasure
from deploy.history.forget import MAX_DELIVERIES, CaughtMails, DigestTraces, Traces, open_forgetter, total_counts
from deploy.history.forget_tenant import Known, TenantTraces, open_tenant_forgetter, subscriber_destinations
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, is_local, open_platform, same_state
from deploy.terminal.command_line import CommandError, is_confirmed
from deploy.terminal.output import Column, Screen, count_of, print_json, printable, stdout_screen, table
from shared.jsontext import Json, JsonObject

EVENTS_BEYOND_REACH: Final = (
    "mails, messages and requests that were sent: ask their recipients",
    "logs: they have ids, types and outcomes, and senders' addresses, but no body",
)
TENANT_BEYOND_REACH: Final = (
    "requests that were sent to the tenant's endpoints: ask the tenant",
    "operational events about its endpoints, at the destinations that get them",
    "logs: they have ids, types and outcomes, and no body",
)
"""Content that no run can erase, as lines for the operator. `State.beyond_reach` adds those of the platform."""
ERASURES: Final = 3
"""The most times that a run erases what it finds. notify can write the record of an attempt a moment after its
delivery. A later run may not find this record, because whatever named it has been erased."""
LATE_WRITE_SECONDS: Final = 1.0
"""The wait before what is left is erased again."""
_Content = TypeVar("_Content", Sequence[Traces], TenantTraces)


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, the state that it acts on, and the screen that it prints to.

    `mails` are those that this machine has caught; None on a platform that catches none.
    """

    options: argparse.Namespace
    state: State
    mails: CaughtMails | None
    screen: Screen


def main(arguments: list[str]) -> int:
    """Erase what the options choose and return the exit code.

    It is NOT_DONE if something is left after an erasure, if the choice may lack events, or if it has none. --dry-run,
    and an answer other than the word that is asked for, erase nothing, and do not change the exit code.
    """
    command = _parser()
    options = command.parse_args(arguments)
    if options.json and not (options.yes or options.dry_run):
        command.error("--json: needs --yes or --dry-run, because it cannot ask")

    def run() -> int:
        platform = open_platform(options, environ_with(own_env_file()))
        with platform.state() as state, platform.caught_mails() as mails:
            call = Call(options, state, mails, stdout_screen(options.json))
            return _forget_events(call) if options.tenant is None else _forget_tenant(call)

    return run_command("forget", run, sqlite3.Error)


def _parser() -> argparse.ArgumentParser:
    command = parser("forget")
    choice = command.add_mutually_exclusive_group(required=True)
    choice.add_argument("--where", metavar="EXPR", help="choose the events for which this JMESPath expression is true")
    event_help = "choose the event whose id begins with these six or more characters; repeatable"
    choice.add_argument("--event", metavar="ID", action="append", help=event_help)
    choice.add_argument("--tenant", metavar="ID", help="erase this tenant, its endpoints, messages and deliveries")
    choice.add_argument("--actor", metavar="NAME", help="choose the events that this actor triggered")
    person_help = "choose the events that this person of `people` triggered, under any name"
    choice.add_argument("--person", metavar="NAME", help=person_help)
    confirmation = command.add_mutually_exclusive_group()
    confirmation.add_argument("--yes", action="store_true", help="erase without asking")
    confirmation.add_argument("--dry-run", action="store_true", help="print what would be erased, and erase nothing")
    add_state(command)
    add_platform(command)
    command.add_argument("--json", action="store_true", help="print one JSON document; needs --yes or --dry-run")
    return command


# Events


def _forget_events(call: Call) -> int:
    """Erase the chosen events and return the exit code. Raises UsageError, StateFault and HookchainError.

    It is NOT_DONE if no event was chosen, if the choice may lack events, or if content is left after an erasure.
    """
    chosen = choose_events(call.state, call.options)
    print_doubts(chosen)
    found = asyncio.run(_find_traces(call, chosen.ids))
    if not call.options.yes:
        _print_found(call, found)
    code = DONE if chosen.ids and chosen.is_certain else NOT_DONE
    if call.options.dry_run:
        return code
    if not found:
        # An earlier run erased all that can be found, but the bus had messages then. They may be deleted by now, and
        # their bytes still in its file.
        files_with_data = _rewrite_files(call)
        if call.options.json:
            _print_erased(call, (), (), files_with_data)
        for each in files_with_data:
            print(f"not erased: {each}", file=sys.stderr)
        return code
    if not _is_confirmed(call, "yes", f"erase {count_of(len(found), 'event')}", _choice_arguments(call.options)):
        return code
    with _noted(call, {"events": id_list([each.event_id for each in found])}):
        left = asyncio.run(_erase(call, found))
    _print_erased(call, found, left, _rewrite_files(call))
    if unsearched := [each.event_id for each in left if not each.is_complete]:
        searched = f"only {MAX_DELIVERIES:,} of its deliveries and of its dead letters were searched"
        print(f"{ids_note(unsearched)}: {searched}, so others may stay", file=sys.stderr)
    return NOT_DONE if any(map(_is_left, left)) else code


def _is_left(traces: Traces) -> bool:
    """Return whether a store has content of the event, or may have it because not everything was searched."""
    return any(traces.counts.values()) or not traces.is_complete


@contextmanager
def _noted(call: Call, entry: JsonObject) -> Iterator[None]:
    """Note on this machine what the block erases, so that a restore of an earlier backup erases it again.

    The note is written before the block, because the process may die in it. It is written again after the block, even
    after an error, because a backup that was begun meanwhile has a part of the content.
    """
    _note_forgotten(call, entry)
    try:
        yield
    finally:
        _note_forgotten(call, entry)


def _note_forgotten(call: Call, entry: JsonObject) -> None:
    if is_local(call.options):
        local_erasure.add_forgotten(call.options.state, {"at": time.time(), **entry})


async def _find_traces(call: Call, ids: Sequence[str]) -> list[Traces]:
    """Return what the stores have of each event. Raises Temporary."""
    async with open_forgetter(call.state, call.mails) as forgetter:
        return [await forgetter.search(each) for each in ids]


async def _erase(call: Call, found: Sequence[Traces]) -> Sequence[Traces]:
    """Erase the content, then search for it again over new connections. Return what is left."""

    async def erase_once(present: Sequence[Traces]) -> Sequence[Traces]:
        async with open_forgetter(call.state, call.mails) as forgetter:
            await forgetter.erase(present, time.time())
        return await _find_traces(call, [each.event_id for each in found])

    return await _erase_repeatedly(erase_once, found, lambda left: any(total_counts(left).values()))


async def _erase_repeatedly(
    erase_once: Callable[[_Content], Awaitable[_Content]], found: _Content, has_content: Callable[[_Content], bool]
) -> _Content:
    """Erase what was found, then what is left of it, at most ERASURES times. Return what is left.

    `erase_once` erases the content that it gets, and returns the content that a search finds after it.
    """
    left = await erase_once(found)
    for _ in range(ERASURES - 1):
        if not has_content(left):
            break
        await asyncio.sleep(LATE_WRITE_SECONDS)
        left = await erase_once(left)
    return left


def _choice_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options that choose the same events again, for the command that is suggested without a terminal."""
    if options.event:
        return [word for each in options.event for word in ("--event", each)]
    names = ("where", "actor", "person")
    return [word for name in names if (value := getattr(options, name)) is not None for word in (f"--{name}", value)]


def _print_found(call: Call, found: Sequence[Traces]) -> None:
    """Print what would be erased. Without --json, print nothing if nothing was found."""
    counts = total_counts(found)
    if call.options.json:
        print_json({"dry_run": True, **_document(found), "stores": {**counts}})
        return
    if not found:
        return
    print(f"{count_of(len(found), 'event')}: {ids_note([each.event_id for each in found])}\n")
    _print_counts(call, counts, sum(each.unsent for each in found))
    _print_unsent_digests(call, found)


def _print_erased(call: Call, found: Sequence[Traces], left: Sequence[Traces], files_with_data: Sequence[str]) -> None:
    """Print the result: what was `found` before the erasure, and what is `left` after it.

    `files_with_data` are the lines that _rewrite_files returns.
    """
    before, after = total_counts(found), total_counts(left)
    beyond_reach: list[Json] = [*EVENTS_BEYOND_REACH, *call.state.beyond_reach, *files_with_data]
    in_flight = sum(each.in_flight for each in found)
    if call.options.json:
        stores = _stores_document(before, after)
        result: JsonObject = {"stores": stores, "in_flight": in_flight, "beyond_reach": beyond_reach}
        print_json({"dry_run": False, **_document(found), **result})
        return
    events = count_of(len(found), "event")
    remaining = [each.event_id for each in left if _is_left(each)]
    remainder = f"{count_of(len(remaining), 'event')}: {ids_note(remaining)}" if remaining else ""
    _print_left(call, before, after, events, remainder)
    if in_flight:
        print(f"{count_of(in_flight, 'event')} may still be on the bus.")
    _print_unsent_digests(call, found)
    _print_beyond_reach(beyond_reach)


def _print_unsent_digests(call: Call, found: Sequence[Traces]) -> None:
    """Print, for each digest that is never sent, how to deliver the other events in it."""
    forgotten = {each.event_id for each in found}
    for digest in _unsent_digests(found):
        others = [each for each in digest.others if each not in forgotten]
        name, where = digest.destination, same_state(call.options)
        print(f"The digest {digest.event_id} to {name!r} has not been sent and never will be.")
        if others:
            line = f"hookchain events replay {shlex.join(others)} --only {shlex.quote(name)} --force{where} --yes"
            print(f"To deliver the {count_of(len(others), 'other event')} in it, then run:\n  {line}")


def _unsent_digests(found: Sequence[Traces]) -> list[DigestTraces]:
    digests = {digest.event_id: digest for each in found for digest in each.digests}
    return [each for each in digests.values() if each.is_unsent]


def _document(found: Sequence[Traces]) -> JsonObject:
    """Return the fields that the JSON document has before and after the erasure."""
    digests: list[Json] = [
        {"digest": each.event_id, "destination": each.destination, "others": id_list(each.others)}
        for each in _unsent_digests(found)
    ]
    unsent = sum(each.unsent for each in found)
    return {"events": id_list([each.event_id for each in found]), "unsent": unsent, "unsent_digests": digests}


# A tenant


def _forget_tenant(call: Call) -> int:
    """Erase the tenant and return the exit code. Raises CommandError, also if nothing is stored, and HookchainError.

    It is NOT_DONE only if content is left after an erasure.
    """
    tenant: str = call.options.tenant
    found = asyncio.run(_find_tenant_traces(call, tenant))
    if not any(found.counts.values()):
        raise CommandError(f"nothing is stored of a tenant {tenant!r}")
    if not call.options.yes:
        _print_found_tenant(call, found)
    if call.options.dry_run or not _is_confirmed(call, tenant, "erase this tenant", ["--tenant", tenant]):
        return DONE
    with _noted(call, {"tenant": tenant}):
        left = asyncio.run(_erase_tenant(call, found))
    _print_erased_tenant(call, found, left, _rewrite_files(call))
    return NOT_DONE if any(left.counts.values()) else DONE


async def _find_tenant_traces(call: Call, tenant: str, known: Known | None = None) -> TenantTraces:
    """Return what the stores have of the tenant.

    `known` is that of the search before the erasure. It names what to search for again, once nothing else names it.
    """
    async with open_tenant_forgetter(call.state, call.mails) as forgetter:
        return await forgetter.search(tenant, known)


async def _erase_tenant(call: Call, found: TenantTraces) -> TenantTraces:
    """Erase the content, then search for it again over new connections. Return what is left."""

    async def erase_once(present: TenantTraces) -> TenantTraces:
        async with open_tenant_forgetter(call.state, call.mails) as forgetter:
            await forgetter.erase(present, time.time())
        return await _find_tenant_traces(call, found.tenant, found.known)

    return await _erase_repeatedly(erase_once, found, lambda left: any(left.counts.values()))


def _print_found_tenant(call: Call, found: TenantTraces) -> None:
    if call.options.json:
        document: JsonObject = {"dry_run": True, "tenant": found.tenant, "unsent": found.unsent}
        print_json({**document, "stores": {**found.counts}})
        return
    print(f"Tenant {printable(found.tenant)}\n")
    _print_counts(call, found.counts, found.unsent)


def _print_erased_tenant(call: Call, found: TenantTraces, left: TenantTraces, files_with_data: Sequence[str]) -> None:
    """Print the result as `_print_erased` does, and the commands that erase the tenant's events."""
    before, after = found.counts, left.counts
    beyond_reach: list[Json] = [*TENANT_BEYOND_REACH, *call.state.beyond_reach, *files_with_data]
    event_commands = _event_commands(call, found.tenant)
    if call.options.json:
        document: JsonObject = {"dry_run": False, "tenant": found.tenant, "unsent": found.unsent}
        result: JsonObject = {"stores": _stores_document(before, after), "beyond_reach": beyond_reach}
        print_json({**document, **result, "event_commands": id_list(event_commands)})
        return
    tenant = printable(found.tenant)
    _print_left(call, before, after, tenant, tenant if any(left.counts.values()) else "")
    if event_commands:
        print("The events themselves are stored as they were received. To erase them too:")
        print("\n".join(f"  {line}" for line in event_commands))
    _print_beyond_reach(beyond_reach)


def _event_commands(call: Call, tenant: str) -> list[str]:
    """Return the commands that erase the tenant's events: a destination's expression says whose an event is.

    The expression may return one tenant or a list, so `[…][]` makes one list of both. A tenant's id has no quote.
    """
    expressions = dict.fromkeys(each for each in subscriber_destinations(call.state).values() if each)
    where = same_state(call.options)
    conditions = [f"contains([{each}][], '{tenant}')" for each in expressions]
    return [f"hookchain forget --where {shlex.quote(each)}{where} --dry-run" for each in conditions]


# Both


def _is_confirmed(call: Call, word: str, purpose: str, choice: Sequence[str]) -> bool:
    """Ask for `word` to be typed. Without a terminal, print the command that needs no answer: `choice` and --yes."""
    if call.options.yes:
        return True
    line = f"hookchain forget {shlex.join(choice)}{same_state(call.options)} --yes"
    question = f"This cannot be undone. Type {printable(word)} to {purpose}:"
    return is_confirmed(question, "Nothing was erased.", f"To erase it:\n  {line}", word)


def _print_counts(call: Call, counts: Mapping[str, int], unsent: int) -> None:
    """Print the number of parts by store, and the deliveries that the erasure would end before they are sent."""
    rows = [(store, f"{count:,}") for store, count in counts.items()]
    print(table((Column("STORE"), Column("FOUND")), rows, call.screen) + "\n")
    if unsent:
        print(f"{count_of(unsent, 'delivery', 'deliveries')} not sent yet would never be sent.")


def _print_left(call: Call, before: Mapping[str, int], after: Mapping[str, int], subject: str, remainder: str) -> None:
    """Print what was erased from each store. `remainder` names what is left of the subject; empty for nothing."""
    rows = [(store, f"{count - after[store]:,}", f"{after[store]:,}") for store, count in before.items()]
    print(table((Column("STORE"), Column("ERASED"), Column("LEFT")), rows, call.screen) + "\n")
    if remainder:
        print(f"Something remains of {remainder}. Run the command again.")
    else:
        print(f"Searched again: nothing is left of {subject}.")


def _rewrite_files(call: Call) -> list[str]:
    """Rewrite the files of this machine that still have deleted data, and return a line for each that still has it."""
    return [f"deleted data in {each}" for each in call.state.rewrite_files()]


def _print_beyond_reach(beyond_reach: Sequence[Json]) -> None:
    print("\n".join(["This command cannot reach:", *(f"  - {each}" for each in beyond_reach)]))


def _stores_document(before: Mapping[str, int], after: Mapping[str, int]) -> JsonObject:
    return {store: {"found": before[store], "left": after[store]} for store in before}
