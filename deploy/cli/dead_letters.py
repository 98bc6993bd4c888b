"""`hookchain dead-letters`: list and show them, publish them again, or drop them."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from deploy.cli import record_text, records
from deploy.cli.command import DONE, NOT_DONE
from deploy.history import documents, replay, stored_messages
from deploy.history.journal_view import DROPPED, REPLAYED, DeadLetterRow
from deploy.history.state import State
from deploy.platforms.choice import audited_action
from deploy.terminal.output import DIM, Column, Screen, clock, count_of, cut, print_json, printable, table
from deploy.terminal.progress import with_progress
from shared import errors, journal, jsontext, ports

PAGE: Final = 100
"""The dead letters that are read at once, with their messages."""
ALL: Final = "all"
"""The value of --status that includes every status."""
NOT_PUBLISHED: Final = "their messages cannot be published again, or somebody else replayed or dropped them meanwhile"
DELIVERED_SINCE: Final = "they were delivered since, and only --force delivers them again"
STATUSES: Final = (journal.KEPT, REPLAYED, DROPPED, ALL)
FILTERS: Final = ("source", "type", "code", "route", "destination", "text", "since", "until", "limit", "status")
COLUMNS: Final = (
    Column("TIME"),
    Column("ID"),
    Column("CODE", 7, is_cut_last=True),
    Column("REASON", 10, is_whole_in_pipe=True),
    Column("DESTINATION", 11),
    Column("EVENT", 12),
    Column("STATUS", colour=record_text.colour_of),
)


def main(arguments: list[str]) -> int:
    return records.run_action("dead-letters", ACTIONS, arguments)


def list_letters(context: records.Context) -> int:
    """Print the newest dead letters that match. One more than --limit is read, to tell whether there are more."""
    letters = list(find_letters(context.state, context.options, context.options.limit + 1))
    return records.print_records(context, letters, "dead letter", documents.dead_letter_document, letters_table)


def show_letter(context: records.Context) -> int:
    """Print a dead letter with its event, or with its message if that has no event.

    Raises StateFault if no id begins so, or several do.
    """
    state = context.state
    letter = state.reader.dead_letter(state.find_id("dead_letters", context.options.id))
    if letter is None:  # removed since its id was looked up
        return NOT_DONE
    message = stored_messages.message_json(letter.message)
    event = state.event_with_data(stored_messages.event_in(message))
    if context.options.json:
        print_json({**documents.dead_letter_document(letter, whole=True), "event": event})
    else:
        print("\n".join(record_text.RecordText(context.screen).letter(letter, message if event is None else event)))
    return DONE


def letters_table(letters: Sequence[DeadLetterRow], screen: Screen) -> str:
    """Return a line for each dead letter. On a terminal, its reason follows on a line of its own.

    There, the statuses are left out if all are `kept`, as without --status, so that more fits into a line.
    """
    is_terminal = screen.width is not None
    has_statuses = not is_terminal or any(letter.state != journal.KEPT for letter in letters)
    ids = records.short_ids([letter.id for letter in letters])
    rows = [
        (
            clock(letter.at),
            shown,
            letter.code,
            "" if is_terminal else letter.reason,
            letter.destination or (f"route {letter.route}" if letter.route else f"topic {letter.topic}"),
            letter.event_id[: len(shown)],
            letter.state if has_statuses else "",
        )
        for letter, shown in zip(letters, ids, strict=True)
    ]
    if screen.width is None:
        return table(COLUMNS, rows, screen)
    title, *lines = table(COLUMNS, rows, screen).split("\n")
    reasons = [screen.coloured(cut(f"  {printable(each.reason)}", screen.width), DIM) for each in letters]
    return "\n".join([title, *(line for pair in zip(lines, reasons, strict=True) for line in pair)])


# Choosing


def find_letters(state: State, options: argparse.Namespace, limit: int | None) -> Iterator[DeadLetterRow]:
    """Yield the dead letters that match, newest first, and `limit` of them; None for all."""
    return islice(with_progress(_pages(state, options), sys.stderr), limit)


def _pages(state: State, options: argparse.Namespace) -> Iterator[list[DeadLetterRow]]:
    """Yield what matches of each page that is read, newest first. The state knows only the status as a filter."""
    status, before = options.status or journal.KEPT, None
    while True:
        page = state.reader.dead_letters(PAGE, state=None if status == ALL else status, before=before)
        yield [letter for letter in page if _matches(letter, options)]
        if len(page) < PAGE:
            return
        before = page[-1].seq


def _chosen_letters(context: records.Context) -> list[DeadLetterRow]:
    """Return the dead letters that the options choose, oldest first. If there are none, print this.

    Raises UsageError, also for a filter with an unknown name, and StateFault.
    """
    state, options = context.state, context.options
    records.require_choice(options, FILTERS)
    if options.ids:
        ids = dict.fromkeys(state.find_id("dead_letters", each) for each in options.ids)
        found = (state.reader.dead_letter(letter_id) for letter_id in ids)
        letters = sorted((letter for letter in found if letter), key=lambda letter: letter.seq)
    else:
        letters = list(find_letters(state, options, options.limit))[::-1]
    if not letters:
        records.require_known(state, options)
        print("no dead letter matches", file=sys.stderr)
    return letters


def _matches(letter: DeadLetterRow, options: argparse.Namespace) -> bool:
    for name in ("code", "route", "destination"):
        if getattr(options, name) not in (None, getattr(letter, name)):
            return False
    if options.since is not None and letter.at < options.since:
        return False
    if options.until is not None and letter.at > options.until:
        return False
    text = f"{letter.reason} {letter.message.decode('utf-8', errors='replace')}"
    return has_words(text, options.text or "") and _is_from(letter, options.source, options.type)


def has_words(text: str, wanted: str) -> bool:
    """Return whether the text has each of the wanted words, in any order and case, also as a part of a word."""
    low = text.casefold()
    return all(word in low for word in wanted.casefold().split())


def _is_from(letter: DeadLetterRow, source: str | None, wanted_type: str | None) -> bool:
    """Return whether the event in the letter is of the source and the type. None stands for any."""
    if source is None and wanted_type is None:
        return True
    event = stored_messages.event_in(stored_messages.message_json(letter.message))
    if event is None or (source is not None and event.get("source") != f"/sources/{source}"):
        return False
    found_type = str(event.get("type"))
    if wanted_type is not None and wanted_type.endswith("*"):
        return found_type.startswith(wanted_type[:-1])
    return wanted_type in (None, found_type)


# Replay and drop


def replay_letters(context: records.Context) -> int:
    """Publish the chosen dead letters again with --yes, else print which ones would be published.

    Without --force, letters whose deliveries have succeeded since are only marked as replayed. Returns NOT_DONE if none
    is replayed, or if one of the named ids is left out. Raises UsageError, StateFault and HookchainError.
    """
    letters = _chosen_letters(context)
    delivered_ids = frozenset[str]() if context.options.force else asyncio.run(_delivered_since(context, letters))
    undelivered = [letter for letter in letters if letter.id not in delivered_ids]
    replayable = [letter for letter in undelivered if replay.is_replayable(letter)]
    replayed_ids = {letter.id for letter in replayable}  # or would be, without --yes
    facts: jsontext.JsonObject = {}
    if context.options.yes and (replayable or delivered_ids):
        replay_id = secrets.token_hex(8)
        replayed_ids = _replay(context, replayable, delivered_ids, replay_id)
        facts = {"replay": replay_id} if replayable else {}
    replayed = [letter for letter in replayable if letter.id in replayed_ids]
    left_out = [letter.id for letter in undelivered if letter.id not in replayed_ids]
    ids_by_reason = {NOT_PUBLISHED: left_out, DELIVERED_SINCE: sorted(delivered_ids)}
    _print_result(context, "replay", "replayed", replayed, ids_by_reason, facts)
    lacks_named = bool(context.options.ids and (left_out or delivered_ids))
    return DONE if replayed and not lacks_named else NOT_DONE


def _replay(
    context: records.Context, letters: Sequence[DeadLetterRow], delivered_ids: Collection[str], replay_id: str
) -> set[str]:
    """Publish the letters, then mark those with `delivered_ids` as replayed. Return the ids of the published ones.

    After an error, the audit record counts those that were published before it, and no delivered one is marked.
    """
    published_ids: set[str] = set()
    what = f"replay dead letters {replay_id}"
    with audited_action(context.options, "hookchain dead-letters replay", what, len(letters)) as action:
        try:
            if letters:
                asyncio.run(_publish(context, letters, replay_id, published_ids))
        finally:
            action.count = len(published_ids)
        context.state.reader.mark_dead_letters(sorted(delivered_ids), REPLAYED)
    return published_ids


async def _delivered_since(context: records.Context, letters: Sequence[DeadLetterRow]) -> frozenset[str]:
    """Return the ids of the letters whose deliveries have succeeded since. Raises Temporary."""
    async with context.state.ledger() as ledger:
        return await replay.delivered_since(ledger, letters)


def drop_letters(context: records.Context) -> int:
    """Mark the chosen dead letters as dropped with --yes, else print which ones would be.

    Returns NOT_DONE if none is chosen. Raises UsageError, StateFault and HookchainError.
    """
    letters = _chosen_letters(context)
    if letters and context.options.yes:
        ids = [letter.id for letter in letters]
        what = f"drop dead letters {records.ids_note(ids)}"
        with audited_action(context.options, "hookchain dead-letters drop", what, len(ids)) as action:
            action.count = context.state.reader.mark_dead_letters(ids, DROPPED)
    _print_result(context, "drop", "dropped", letters, {}, {})
    return DONE if letters else NOT_DONE


async def _publish(
    context: records.Context, letters: Sequence[DeadLetterRow], replay_id: str, published_ids: set[str]
) -> None:
    """Publish the letters, and add the id of each to `published_ids`, which the caller reads also after an error.

    Each letter is marked as replayed first, so that one that fails again at once is kept again.
    A letter that somebody else has replayed or dropped meanwhile is left out: it would be delivered twice.
    """
    reader = context.state.reader

    async def send(bus: ports.Bus, batch: Sequence[DeadLetterRow]) -> None:
        for letter in batch:
            message = replay.make_dead_letter_replay(letter, replay_id, context.options.force)
            is_marked = reader.mark_dead_letters([letter.id], REPLAYED) == 1
            if not is_marked and letter.state != REPLAYED:  # one that was replayed before it was chosen may be again
                continue
            try:
                await replay.restart_blob_expiry([letter.message], blobs)
                await bus.publish(letter.topic, [message])
            except (errors.Temporary, asyncio.CancelledError):  # after Ctrl-C too, it may not have been sent
                reader.mark_dead_letters([letter.id], journal.KEPT)
                raise
            published_ids.add(letter.id)

    async with context.state.blobs() as blobs:
        await records.publish_at_rate(context, letters, send)


def _print_result(
    context: records.Context,
    action: str,
    past_tense: str,
    letters: Sequence[DeadLetterRow],
    ids_by_reason: Mapping[str, Sequence[str]],
    facts: jsontext.JsonObject,
) -> None:
    """Print which letters the action has, or would have, replayed or dropped. Only --json prints `facts`.

    `ids_by_reason` are the letters that are left out, by the reason.
    """
    is_done = context.options.yes
    line = records.confirmed_line(f"dead-letters {action}", context.options, FILTERS, context.now)
    if context.options.json:
        document: jsontext.JsonObject = {"dry_run": not is_done, "count": len(letters), **facts}
        if not is_done:
            listed: list[jsontext.Json] = [documents.dead_letter_document(letter) for letter in letters]
            document |= {"dead_letters": listed, "command": line}
        left_out = [letter_id for ids in ids_by_reason.values() for letter_id in ids]
        print_json({**document, "left_out": records.id_list(left_out)})
        return
    if letters and is_done:
        print(f"{count_of(len(letters), 'dead letter')} {past_tense}")
    elif letters:
        print(f"{count_of(len(letters), 'dead letter')} would be {past_tense}{records.sample_note(len(letters))}\n")
        print(letters_table(letters[: records.SAMPLE], context.screen))
        print(f"\nNothing was done. To do it:\n  {line}")
    for reason, ids in ids_by_reason.items():
        if ids:
            print(f"left out, because {reason}: {', '.join(ids)}", file=sys.stderr)


# Arguments


def _add_filters(command: argparse.ArgumentParser, limit: int | None, status: str | None) -> None:
    records.add_event_filters(command, "include letters with all these words in reason or message")
    command.add_argument("--code", metavar="CODE", help="include this reason code only, such as `retries_exhausted`")
    command.add_argument("--route", metavar="NAME", help="include this route only")
    command.add_argument("--destination", metavar="NAME", help="include this destination only")
    command.add_argument(
        "--status",
        metavar="STATUS",
        choices=STATUSES,
        default=status,
        help=f"include one of: {', '.join(STATUSES)} [{journal.KEPT}]",
    )
    records.add_selection(command, limit)


def _add_choice(command: argparse.ArgumentParser, *, has_rate: bool) -> None:
    records.add_ids(command)
    _add_filters(command, None, None)
    records.add_confirmation(command, has_rate=has_rate)


def _add_replay_arguments(command: argparse.ArgumentParser) -> None:
    _add_choice(command, has_rate=True)
    command.add_argument("--force", action="store_true", help="also repeat what was delivered since")


ACTIONS: Final = {
    "list": records.Action(lambda command: _add_filters(command, records.LISTED, journal.KEPT), list_letters),
    "show": records.Action(records.add_id, show_letter),
    "replay": records.Action(_add_replay_arguments, replay_letters),
    "drop": records.Action(lambda command: _add_choice(command, has_rate=False), drop_letters),
}
