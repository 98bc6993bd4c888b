"""`hookchain events replay`: stored events go onto the bus again; without --yes it only says which."""

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from deploy.cli.ending import DONE, NOT_DONE
from deploy.cli.events_selection import FILTERS, add_filters, chosen, events_table
from deploy.cli.kept_command import Asked, BadUsage, add_doing
from deploy.cli.replay_command_line import line_to_do_it
from deploy.history.documents import summary_document
from deploy.history.platform_options import same_platform
from deploy.history.replay import Progress, make_event_replay, send_at_rate
from deploy.history.state import State
from deploy.terminal.printing import count_of, print_json
from shared.cloud.journal_rows import EventSummary
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json
from shared.ports import EVENTS, Bus, BusMessage

SHOWN: Final = 5
FINISHED: Final = frozenset({"delivered", "failed"})
EPILOG: Final = """\
A replay makes what was missed good: a route or a destination that was not there yet, a step that was mended. What was
delivered is not delivered again, and what was given up on stays so, unless you say --force.

examples:
  hookchain events replay 4f2a9c
  hookchain events replay --source shop --since 2h --only crm --force --yes"""


def add_replay_arguments(words: argparse.ArgumentParser) -> None:
    words.add_argument("ids", metavar="ID", nargs="*", help="ids, or their first characters, six at least")
    add_filters(words, None)
    words.add_argument("--only", metavar="DESTINATION", help="for this destination alone")
    words.add_argument("--force", action="store_true", help="also what is finished: delivered, or given up on")
    add_doing(words)


def replay_events(asked: Asked) -> int:
    options = asked.options
    _require_known(asked.state, options.only)
    events = chosen(asked.state, options)
    stored = asked.state.reader.with_document([event.id for event in events])
    kept = [event for event in events if event.id in stored]
    left_out = [event.id for event in events if event.id not in stored]
    if not events:
        print("no event is like that", file=sys.stderr)
    if options.yes:
        replay_id = secrets.token_hex(8)
        if kept:
            asyncio.run(_publish(asked, kept, replay_id))
        _tell_what_was(asked, len(kept), left_out, replay_id)
    else:
        _tell_what_would_be(asked, kept, left_out)
    return DONE if kept and not (options.ids and left_out) else NOT_DONE


def _require_known(state: State, only: str | None) -> None:
    if only is None:
        return
    names = state.destinations()
    if names and only not in names:
        raise BadUsage(f"--only: there is no destination {only!r}{did_you_mean(only, names)}")


async def _publish(asked: Asked, events: Sequence[EventSummary], replay_id: str) -> None:
    progress = Progress(len(events), "published", sys.stderr)
    async with asked.state.bus() as bus:
        with progress:
            await send_at_rate(events, asked.options.rate, partial(_send, asked, bus, replay_id), progress.tell)


async def _send(asked: Asked, bus: Bus, replay_id: str, events: Sequence[EventSummary]) -> None:
    texts = (asked.state.reader.stored_document(event.id) for event in events)
    await bus.publish(EVENTS, [_message(asked.options, text, replay_id) for text in texts if text is not None])


def _message(options: argparse.Namespace, text: str, replay_id: str) -> BusMessage:
    document: Json = json.loads(text)
    assert isinstance(document, dict)
    return make_event_replay(document, replay_id, options.only, options.force)


def _tell_what_was(asked: Asked, count: int, left_out: Sequence[str], replay_id: str) -> None:
    if asked.options.json:
        print_json({"dry_run": False, "count": count, "replay": replay_id, "left_out": list(left_out)})
        return
    if count:
        show = f"hookchain events show ID{same_platform(asked.options)}"
        print(f"{count_of(count, 'event')} published as replay {replay_id}; `{show}` tells the rest")
    _tell_left_out(left_out)


def _tell_what_would_be(asked: Asked, events: Sequence[EventSummary], left_out: Sequence[str]) -> None:
    line = line_to_do_it("events replay", asked.options, FILTERS, asked.now)
    if asked.options.json:
        listed: list[Json] = [summary_document(event) for event in events]
        print_json(
            {"dry_run": True, "count": len(events), "events": listed, "left_out": list(left_out), "command": line}
        )
        return
    if events:
        print(f"{count_of(len(events), 'event')} would be replayed{_for_whom(asked.options)}{_which(events)}\n")
        print(events_table(events[:SHOWN], asked.screen) + "\n")
        _tell_finished(asked.options, events)
        print(f"Nothing was sent. To do it, at most {asked.options.rate:g} a second:\n  {line}")
    _tell_left_out(left_out)


def _for_whom(options: argparse.Namespace) -> str:
    return f" for {options.only} alone" if options.only else ""


def _which(events: Sequence[EventSummary]) -> str:
    return f", oldest first; the first {SHOWN}:" if len(events) > SHOWN else ":"


def _tell_finished(options: argparse.Namespace, events: Sequence[EventSummary]) -> None:
    finished = sum(event.status in FINISHED and event.expected > 0 for event in events)  # else no delivery came of it
    if options.force:
        print("--force: what was delivered is delivered again.")
    elif finished:
        print(f"Delivered or given up on, and staying so without --force: deliveries of {finished:,} of them.")


def _tell_left_out(left_out: Sequence[str]) -> None:
    if left_out:
        listed = ", ".join(left_out[:SHOWN]) + (f" and {len(left_out) - SHOWN:,} more" if left_out[SHOWN:] else "")
        why = "transform has not seen it, or its body is no longer kept"
        print(f"left out, with nothing to replay ({why}): {listed}", file=sys.stderr)
