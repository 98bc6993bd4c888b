"""`hookchain events`: what arrived, the whole way of one event, and events sent through once more."""

import argparse
import sys
from typing import Final

from deploy.cli.ending import DONE, NOT_DONE
from deploy.cli.events_replay import EPILOG, add_replay_arguments, replay_events
from deploy.cli.events_selection import add_filters, events_table, found
from deploy.cli.events_text import event_text
from deploy.cli.kept_command import Action, Asked, run_command
from deploy.history.documents import record_document, summary_document
from deploy.terminal.printing import count_of, print_json

LISTED: Final = 50


def main(arguments: list[str]) -> int:
    return run_command("events", ACTIONS, arguments)


def list_events(asked: Asked) -> int:
    limit: int = asked.options.limit
    events = list(found(asked.state, asked.options, limit + 1))
    more, events = len(events) > limit, events[:limit]
    if asked.options.json:
        print_json({"events": [summary_document(event) for event in events], "more": more})
        return DONE
    if not events:
        print("no events", file=sys.stderr)
        return DONE
    print(events_table(events, asked.screen))
    if more:
        print(f"the newest {count_of(limit, 'event')}; --limit shows more of them", file=sys.stderr)
    return DONE


def show_event(asked: Asked) -> int:
    state, event_id = asked.state, asked.state.find_id("events", asked.options.id)
    record = state.reader.event(event_id)
    if record is None:  # forgotten this moment
        return NOT_DONE
    document, rows = state.event_with_data(record.document), state.deliveries(event_id)
    if asked.options.json:
        print_json(record_document(record, document, rows))
    else:
        print("\n".join(event_text(record, document, rows, asked.screen)))
    return DONE


def _add_id(words: argparse.ArgumentParser) -> None:
    words.add_argument("id", metavar="ID", help="the event's id, or its first characters, six at least")


ACTIONS: Final = {
    "list": Action("list events, newest first", lambda words: add_filters(words, LISTED), list_events),
    "show": Action(
        "show one event's whole way: what arrived, was decided, was tried, was answered", _add_id, show_event
    ),
    "replay": Action("send stored events through once more", add_replay_arguments, replay_events, EPILOG),
}
