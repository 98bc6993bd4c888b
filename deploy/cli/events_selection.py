"""Which events a command is about: by id, by filter and by time; and a table of them."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from deploy.cli.events_text import clock, colour_of
from deploy.cli.kept_command import BadUsage, add_limit, add_times
from deploy.history.state import State
from deploy.terminal.searching import told
from deploy.terminal.tables import Column, Screen, table
from shared.cloud.journal_rows import STATUSES, EventQuery, EventSummary

PAGE: Final = 500
SHORT_ID: Final = 12
FILTERS: Final = ("source", "type", "status", "text", "since", "until", "limit")
COLUMNS: Final = (
    Column("TIME"),
    Column("EVENT"),
    Column("SOURCE", 8),
    Column("TYPE", 8),
    Column("SUBJECT", 8),
    Column("STATUS", colour=colour_of),
)


def add_filters(words: argparse.ArgumentParser, limit: int | None) -> None:
    words.add_argument("--source", metavar="NAME", help="from this source")
    words.add_argument("--type", metavar="TYPE", help="of this type; `trial.*` is every type that begins so")
    words.add_argument("--status", metavar="STATUS", choices=STATUSES, help=", ".join(STATUSES))
    words.add_argument("--text", metavar="WORDS", help='with all these words in it; "double quotes" keep some together')
    add_times(words)
    add_limit(words, limit)


def found(state: State, options: argparse.Namespace, limit: int | None) -> Iterator[EventSummary]:
    """Newest first. A search by text first makes every event findable."""
    names = {name: getattr(options, name) for name in ("source", "type", "status", "since", "until")}
    query = EventQuery(**names, text=options.text or "")
    while query.text and state.reader.index():
        pass
    yield from told(_pages(state, query, limit), sys.stderr)


def _pages(state: State, query: EventQuery, limit: int | None) -> Iterator[list[EventSummary]]:
    count = 0
    while limit is None or count < limit:
        page = state.reader.events(replace(query, limit=PAGE if limit is None else min(PAGE, limit - count)))
        yield list(page.events)
        count += len(page.events)
        if page.next_before is None:
            return
        query = replace(query, before=page.next_before)


def chosen(state: State, options: argparse.Namespace) -> list[EventSummary]:
    """Oldest first, so that they come in the order in which they came. Raises BadUsage and StateFault."""
    require_choice(options, FILTERS)
    if not options.ids:
        return list(found(state, options, options.limit))[::-1]
    ids = dict.fromkeys(state.find_id("events", each) for each in options.ids)
    records = (state.reader.event(event_id) for event_id in ids)
    return sorted((record.summary for record in records if record), key=lambda event: event.seq)


def require_choice(options: argparse.Namespace, filters: Sequence[str]) -> None:
    """Nothing is done to everything by mistake. Raises BadUsage."""
    is_filtered = any(getattr(options, name) is not None for name in filters)
    if options.ids and is_filtered:
        raise BadUsage("name ids, or choose by filters; not both")
    if not options.ids and not is_filtered:
        raise BadUsage(f"which? Name ids, or choose by --{', --'.join(filters)}")


def events_table(events: Sequence[EventSummary], screen: Screen) -> str:
    ids = short_ids([event.id for event in events], screen)
    rows = [
        (clock(event.received_at), shown, event.source, event.type or "", event.subject or "", event.status)
        for event, shown in zip(events, ids, strict=True)
    ]
    return table(COLUMNS, rows, screen)


def short_ids(ids: Sequence[str], screen: Screen) -> list[str]:
    """On a terminal so much of each as names it among these; elsewhere whole."""
    if screen.width is None:
        return list(ids)
    beginnings = [each[:SHORT_ID] for each in ids]
    return [short if beginnings.count(short) == 1 else each for each, short in zip(ids, beginnings, strict=True)]
