"""`hookchain dead-letters`: what was given up on and why; sent on again, or dropped."""

import argparse
import sys
from typing import Final

from deploy.cli.dead_letters_replay import DROP_EPILOG, REPLAY_EPILOG, add_ids, drop_letters, replay_letters
from deploy.cli.dead_letters_selection import add_filters, event_of, found, letters_table, message_of
from deploy.cli.ending import DONE, NOT_DONE
from deploy.cli.events_text import letter_text
from deploy.cli.kept_command import Action, Asked, add_doing, run_command
from deploy.history.documents import dead_letter_document
from deploy.terminal.printing import count_of, print_json
from shared.cloud.journal_rows import KEPT

LISTED: Final = 50


def main(arguments: list[str]) -> int:
    return run_command("dead-letters", ACTIONS, arguments)


def list_letters(asked: Asked) -> int:
    limit: int = asked.options.limit
    letters = list(found(asked.state, asked.options, limit + 1))
    more, letters = len(letters) > limit, letters[:limit]
    if asked.options.json:
        print_json({"dead_letters": [dead_letter_document(letter) for letter in letters], "more": more})
        return DONE
    if not letters:
        print("no dead letters", file=sys.stderr)
        return DONE
    print(letters_table(letters, asked.screen))
    if more:
        print(f"the newest {count_of(limit, 'dead letter')}; --limit shows more of them", file=sys.stderr)
    return DONE


def show_letter(asked: Asked) -> int:
    state = asked.state
    letter = state.reader.dead_letter(state.find_id("dead_letters", asked.options.id))
    if letter is None:  # forgotten this moment
        return NOT_DONE
    message = message_of(letter)
    event = state.event_with_data(event_of(message))
    if asked.options.json:
        print_json({**dead_letter_document(letter, whole=True), "event": event})
    else:
        print("\n".join(letter_text(letter, message if event is None else event, asked.screen)))
    return DONE


def _add_id(words: argparse.ArgumentParser) -> None:
    words.add_argument("id", metavar="ID", help="the dead letter's id, or its first characters, six at least")


def _add_replay_arguments(words: argparse.ArgumentParser) -> None:
    add_ids(words)
    add_doing(words, has_rate=True)


def _add_drop_arguments(words: argparse.ArgumentParser) -> None:
    add_ids(words)
    add_doing(words, has_rate=False)


ACTIONS: Final = {
    "list": Action("list dead letters, newest first", lambda words: add_filters(words, LISTED, KEPT), list_letters),
    "show": Action("show one: why it was given up on, and the event", _add_id, show_letter),
    "replay": Action("try what was given up on anew", _add_replay_arguments, replay_letters, REPLAY_EPILOG),
    "drop": Action("mark as needing nothing more", _add_drop_arguments, drop_letters, DROP_EPILOG),
}
