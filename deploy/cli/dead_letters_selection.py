"""Which dead letters a command is about; and a table of them."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from deploy.cli.events_selection import require_choice, short_ids
from deploy.cli.events_text import clock, colour_of
from deploy.cli.kept_command import add_limit, add_times
from deploy.history.documents import dead_letter_document
from deploy.history.state import State
from deploy.terminal.searching import told
from deploy.terminal.tables import Column, Screen, table
from shared.cloud.journal_rows import DROPPED, KEPT, REPLAYED, DeadLetterRow
from shared.jsontext import Json, JsonObject

PAGE: Final = 100
ALL: Final = "all"
STATUSES: Final = (KEPT, REPLAYED, DROPPED, ALL)
FILTERS: Final = ("source", "type", "code", "route", "destination", "text", "since", "until", "limit", "status")
COLUMNS: Final = (
    Column("TIME"),
    Column("ID"),
    Column("CODE", 8),
    Column("REASON", 24),
    Column("ROUTE", 8),
    Column("DESTINATION", 11),
    Column("EVENT"),
    Column("STATUS", colour=colour_of),
)


def add_filters(words: argparse.ArgumentParser, limit: int | None, status: str | None) -> None:
    words.add_argument("--source", metavar="NAME", help="of events from this source")
    words.add_argument("--type", metavar="TYPE", help="of events of this type; `trial.*` is every type that begins so")
    words.add_argument("--code", metavar="CODE", help="given up on for this reason, such as `exhausted`")
    words.add_argument("--route", metavar="NAME", help="of this route")
    words.add_argument("--destination", metavar="NAME", help="owed to this destination")
    words.add_argument("--text", metavar="WORDS", help="with all these words in its reason or its message")
    told = f"{', '.join(STATUSES)}; without it {KEPT}"
    words.add_argument("--status", metavar="STATUS", choices=STATUSES, default=status, help=told)
    add_times(words)
    add_limit(words, limit)


def found(state: State, options: argparse.Namespace, limit: int | None) -> Iterator[DeadLetterRow]:
    """Newest first."""
    return islice(told(_pages(state, options), sys.stderr), limit)


def _pages(state: State, options: argparse.Namespace) -> Iterator[list[DeadLetterRow]]:
    status, before = options.status or KEPT, None
    while True:
        page = state.reader.dead_letters(PAGE, state=None if status == ALL else status, before=before)
        yield [letter for letter in page if is_wanted(letter, options)]
        if len(page) < PAGE:
            return
        before = page[-1].seq


def chosen(state: State, options: argparse.Namespace) -> list[DeadLetterRow]:
    """Oldest first. Raises BadUsage and StateFault."""
    require_choice(options, FILTERS)
    if not options.ids:
        return list(found(state, options, options.limit))[::-1]
    ids = dict.fromkeys(state.find_id("dead_letters", each) for each in options.ids)
    letters = (state.reader.dead_letter(letter_id) for letter_id in ids)
    return sorted((letter for letter in letters if letter), key=lambda letter: letter.seq)


def is_wanted(letter: DeadLetterRow, options: argparse.Namespace) -> bool:
    for name in ("code", "route", "destination"):
        if getattr(options, name) not in (None, getattr(letter, name)):
            return False
    if options.since is not None and letter.at < options.since:
        return False
    if options.until is not None and letter.at > options.until:
        return False
    return _is_of(letter, options.source, options.type) and _holds(letter, options.text or "")


def _is_of(letter: DeadLetterRow, source: str | None, wanted_type: str | None) -> bool:
    if source is None and wanted_type is None:
        return True
    event = event_of(message_of(letter))
    if event is None or (source is not None and event.get("source") != f"/sources/{source}"):
        return False
    found_type = str(event.get("type"))
    if wanted_type is not None and wanted_type.endswith("*"):
        return found_type.startswith(wanted_type[:-1])
    return wanted_type in (None, found_type)


def _holds(letter: DeadLetterRow, words: str) -> bool:
    text = f"{letter.reason} {letter.message.decode('utf-8', errors='replace')}".casefold()
    return all(word.casefold() in text for word in words.split())


def message_of(letter: DeadLetterRow) -> Json:
    """As JSON where it is some, else as text."""
    return dead_letter_document(letter, whole=True)["message"]


def event_of(message: Json) -> JsonObject | None:
    """The event that a delivery or an event's own message holds."""
    if not isinstance(message, dict):
        return None
    data = message.get("data")
    event = data.get("event") if isinstance(data, dict) and "route" in data and "destination" in data else None
    return event if isinstance(event, dict) else message


def letters_table(letters: Sequence[DeadLetterRow], screen: Screen) -> str:
    all_kept = screen.width is not None and all(letter.state == KEPT for letter in letters)
    ids = short_ids([letter.id for letter in letters], screen)
    rows = [
        (
            clock(letter.at),
            shown,
            letter.code,
            letter.reason,
            letter.route,
            letter.destination,
            letter.event_id if screen.width is None else letter.event_id[: len(shown)],
            "" if all_kept else letter.state,
        )
        for letter, shown in zip(letters, ids, strict=True)
    ]
    return table(COLUMNS, rows, screen)
