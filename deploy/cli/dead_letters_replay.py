"""`hookchain dead-letters replay` and `drop`; without --yes they only say which."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from deploy.cli.dead_letters_selection import FILTERS, add_filters, chosen, letters_table
from deploy.cli.ending import DONE, NOT_DONE
from deploy.cli.kept_command import Asked
from deploy.cli.replay_command_line import line_to_do_it
from deploy.history.documents import as_dead_letter, dead_letter_document
from deploy.history.replay import Progress, is_replayable, make_dead_letter_replay, send_at_rate
from deploy.terminal.printing import count_of, print_json
from shared.cloud.journal_rows import DROPPED, KEPT, REPLAYED, DeadLetterRow
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.ports import Bus

SHOWN: Final = 5
REPLAY_EPILOG: Final = """\
What was given up on is tried anew, attempts from 1. Mend its fault first: `dead-letters show` tells it."""
DROP_EPILOG: Final = """\
Dropped ones are listed with `--status dropped` until their retention is over, and can still be replayed."""


def add_ids(words: argparse.ArgumentParser) -> None:
    words.add_argument("ids", metavar="ID", nargs="*", help="ids, or their first characters, six at least")
    add_filters(words, None, None)


def replay_letters(asked: Asked) -> int:
    letters = _chosen(asked)
    good = [letter for letter in letters if is_replayable(as_dead_letter(letter))]
    left_out = [letter.id for letter in letters if letter not in good]
    done: JsonObject = {}
    if good and asked.options.yes:
        done["replay"] = replay_id = secrets.token_hex(8)
        asyncio.run(_publish(asked, good, replay_id))
    _tell(asked, "replay", "replayed", good, left_out, done)
    return DONE if good and not (asked.options.ids and left_out) else NOT_DONE


def drop_letters(asked: Asked) -> int:
    letters = _chosen(asked)
    if asked.options.yes:
        asked.state.reader.mark_dead_letters([letter.id for letter in letters], DROPPED)
    _tell(asked, "drop", "dropped", letters, [], {})
    return DONE if letters else NOT_DONE


def _chosen(asked: Asked) -> list[DeadLetterRow]:
    letters = chosen(asked.state, asked.options)
    if not letters:
        print("no dead letter is like that", file=sys.stderr)
    return letters


async def _publish(asked: Asked, letters: Sequence[DeadLetterRow], replay_id: str) -> None:
    progress = Progress(len(letters), "published", sys.stderr)
    async with asked.state.bus() as bus:
        with progress:
            await send_at_rate(letters, asked.options.rate, partial(_send, asked, bus, replay_id), progress.tell)


async def _send(asked: Asked, bus: Bus, replay_id: str, letters: Sequence[DeadLetterRow]) -> None:
    """Marked first: one that fails again at once is kept again, which must come last.

    What somebody else has replayed since it was chosen is left out: it would be delivered twice.
    """
    for row in letters:
        letter = as_dead_letter(row)
        message = make_dead_letter_replay(letter, replay_id)
        if not asked.state.reader.mark_dead_letters([row.id], REPLAYED) and row.state != REPLAYED:
            continue
        try:
            await bus.publish(letter.topic, [message])
        except (Temporary, asyncio.CancelledError):  # Ctrl-C too: it may not have been sent
            asked.state.reader.mark_dead_letters([row.id], KEPT)
            raise


def _tell(
    asked: Asked, action: str, done: str, letters: Sequence[DeadLetterRow], left_out: Sequence[str], more: JsonObject
) -> None:
    if asked.options.json:
        _print_document(asked, action, letters, left_out, more)
    elif letters and asked.options.yes:
        print(f"{count_of(len(letters), 'dead letter')} {done}")
    elif letters:
        which = f", oldest first; the first {SHOWN}:" if len(letters) > SHOWN else ":"
        print(f"{count_of(len(letters), 'dead letter')} would be {done}{which}\n")
        print(letters_table(letters[:SHOWN], asked.screen))
        print(f"\nNothing was done. To do it:\n  {_line(asked, action)}")
    if left_out and not asked.options.json:
        print(f"left out, for they hold nothing that could be sent on again: {', '.join(left_out)}", file=sys.stderr)


def _print_document(
    asked: Asked, action: str, letters: Sequence[DeadLetterRow], left_out: Sequence[str], more: JsonObject
) -> None:
    document: JsonObject = {"dry_run": not asked.options.yes, "count": len(letters), **more}
    if not asked.options.yes:
        listed: list[Json] = [dead_letter_document(letter) for letter in letters]
        document |= {"dead_letters": listed, "command": _line(asked, action)}
    print_json({**document, "left_out": list(left_out)})


def _line(asked: Asked, action: str) -> str:
    return line_to_do_it(f"dead-letters {action}", asked.options, FILTERS, asked.now)
