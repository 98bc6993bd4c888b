"""`hookchain events`: list and show events, and send stored events through the pipeline again."""

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from deploy.cli.command import DONE, NOT_DONE
from deploy.cli.event_text import EventContext, clock, colour_of, digest_text, event_text
from deploy.cli.record_command import (
    LISTED,
    SAMPLE,
    Action,
    Context,
    add_confirmation,
    add_id,
    add_ids,
    add_selection,
    confirmed_line,
    id_list,
    ids_note,
    print_records,
    publish_at_rate,
    require_choice,
    run_action,
    sample_note,
    short_ids,
)
from deploy.history.digests import DigestRecord, digest_document
from deploy.history.documents import record_document, summary_document
from deploy.history.journal_view import STATUSES, EventQuery, EventRecord, EventSummary
from deploy.history.replay import make_event_replay, renew_blobs
from deploy.history.state import State, StateFault
from deploy.platforms.choice import same_platform
from deploy.terminal.command_error import CommandError, UsageError
from deploy.terminal.printing import count_of, print_json
from deploy.terminal.progress import with_progress
from deploy.terminal.tables import Column, Screen, table
from shared.did_you_mean import did_you_mean
from shared.journal import RouteDecision, route_documents
from shared.jsontext import Json, JsonObject
from shared.outcomes import EventStatus
from shared.ports import EVENTS, Bus, BusMessage

PAGE: Final = 500
FILTERS: Final = ("source", "type", "status", "text", "since", "until", "limit")
FINISHED: Final[frozenset[EventStatus]] = frozenset({"delivered", "merged", "dead_lettered"})
SETTLED: Final = FINISHED | frozenset[EventStatus](("no_route", "filtered", "duplicate", "held"))
SHOWN_ROUTES: Final = 10
"""The other routes that are shown of an event without --routes."""
MAX_CELL: Final = 40
"""The columns of a text that a sender chose."""
COLUMNS: Final = (
    Column("TIME"),
    Column("EVENT"),
    Column("SOURCE", 8, most=MAX_CELL),
    Column("TYPE", 8, most=MAX_CELL),
    Column("SUBJECT", 8, most=MAX_CELL),
    Column("STATUS", colour=colour_of),
)
LIST_DETAILS: Final = "A rejected request is not an event: `hookchain logs --severity WARNING` prints the reason."
REPLAY_DETAILS: Final = """\
Replay events after you add a route or a destination that they missed, or fix a step.
Deliveries that are delivered or dead-lettered stay so, unless you add --force."""


def main(arguments: list[str]) -> int:
    return run_action("events", ACTIONS, arguments)


def list_events(context: Context) -> int:
    events = list(find_events(context.state, context.options, context.options.limit + 1))
    return print_records(context, events, "event", summary_document, events_table)


def show_event(context: Context) -> int:
    state = context.state
    try:
        event_id = state.find_id("events", context.options.id)
    except StateFault:
        if (digest := state.digest(context.options.id)) is None:
            raise
        return _show_digest(context, digest)
    record = state.reader.event(event_id)
    if record is None:  # removed since its id was looked up
        return NOT_DONE
    document, rows = state.event_with_data(record.document), state.deliveries(event_id)
    is_asked = context.options.routes
    others = (
        _unlisted_decisions(state, record, document, is_asked=is_asked) if is_asked or record.other_routes else None
    )
    troubles = [] if record.summary.status in SETTLED else list(state.troubles())
    if context.options.json:
        whole = {**record_document(record, document, rows), "troubles": id_list(troubles)}
        print_json({**whole, "unlisted_routes": route_documents(others or ())} if is_asked else whole)
    else:
        limit = None if is_asked else SHOWN_ROUTES
        print("\n".join(event_text(record, document, rows, context.screen, EventContext(others, limit, troubles))))
    return DONE


def _show_digest(context: Context, digest: DigestRecord) -> int:
    if context.options.json:
        print_json(digest_document(digest))
    else:
        print("\n".join(digest_text(digest, context.screen)))
    return DONE


def _unlisted_decisions(
    state: State, record: EventRecord, document: JsonObject | None, *, is_asked: bool
) -> Sequence[RouteDecision] | None:
    """Return the decisions that the journal does not list. If they cannot be computed, return None, or raise
    CommandError if --routes asks for them."""
    transform, fault = state.transform_slice(), ""
    if document is None or "dataref" in document:
        fault = "the event's data is not there, and the conditions of routes read it"
    elif transform is None:
        fault = "there is no configuration to compute it with"
    if is_asked and fault:
        raise CommandError(f"--routes: {fault}")
    if document is None or transform is None or fault:
        return None
    from deploy.explain.transform_stage import unlisted_decisions  # imports the steps

    return unlisted_decisions(document, record.routes, transform)


def events_table(events: Sequence[EventSummary], screen: Screen) -> str:
    ids = short_ids([event.id for event in events])
    rows = [
        (clock(event.received_at), shown, event.source, event.type or "", event.subject or "", event.status)
        for event, shown in zip(events, ids, strict=True)
    ]
    return table(COLUMNS, rows, screen)


def find_events(state: State, options: argparse.Namespace, limit: int | None) -> Iterator[EventSummary]:
    """Yield events, newest first. A search by text first indexes every event."""
    names = {name: getattr(options, name) for name in ("source", "type", "status", "since", "until")}
    query = EventQuery(**names, text=options.text or "")
    while query.text and state.reader.index():
        pass
    yield from with_progress(_pages(state, query, limit), sys.stderr)


def _pages(state: State, query: EventQuery, limit: int | None) -> Iterator[list[EventSummary]]:
    count = 0
    while limit is None or count < limit:
        page = state.reader.events(replace(query, limit=PAGE if limit is None else min(PAGE, limit - count)))
        yield list(page.events)
        count += len(page.events)
        if page.next_before is None:
            return
        query = replace(query, before=page.next_before)


def _chosen_events(state: State, options: argparse.Namespace) -> list[EventSummary]:
    """Return them oldest first, in the order in which they arrived. Raises UsageError and StateFault."""
    require_choice(options, FILTERS)
    if not options.ids:
        return list(find_events(state, options, options.limit))[::-1]
    ids = dict.fromkeys(_replayable_id(state, each) for each in options.ids)
    records = (state.reader.event(event_id) for event_id in ids)
    return sorted((record.summary for record in records if record), key=lambda event: event.seq)


# Replay


def replay_events(context: Context) -> int:
    options = context.options
    _require_destination(context.state, options.only)
    events = _chosen_events(context.state, options)
    stored = context.state.reader.with_document([event.id for event in events])
    replayable = [event for event in events if event.id in stored]
    left_out = [event.id for event in events if event.id not in stored]
    if not events:
        print("no event matches", file=sys.stderr)
    if options.yes:
        replay_id = secrets.token_hex(8)
        if replayable:
            asyncio.run(_publish(context, replayable, replay_id))
        _print_replay(context, len(replayable), left_out, replay_id)
    else:
        _print_dry_run(context, replayable, left_out)
    if left_out and not options.json:
        why = "transform has not processed them, or their bodies were removed by `forget` or after their retention"
        print(f"left out, because there is nothing to replay ({why}): {ids_note(left_out)}", file=sys.stderr)
    return DONE if replayable and not (options.ids and left_out) else NOT_DONE


def _replayable_id(state: State, prefix: str) -> str:
    """Return the id of the one event that begins so. Raises StateFault, also for a digest."""
    try:
        return state.find_id("events", prefix)
    except StateFault as fault:
        if state.digest(prefix) is None:
            raise
        rule = f"{prefix} is a digest, which no route made. Replay events in it"
        raise StateFault(f"{rule} (`hookchain events show {prefix}` lists them), or its dead letter.") from fault


def _require_destination(state: State, only: str | None) -> None:
    names = state.destinations() if only is not None else ()
    if only is not None and names and only not in names:
        raise UsageError(f"--only: there is no destination {only!r}{did_you_mean(only, names)}")


async def _publish(context: Context, events: Sequence[EventSummary], replay_id: str) -> None:
    async def send(bus: Bus, batch: Sequence[EventSummary]) -> None:
        found = (context.state.reader.stored_document(event.id) for event in batch)
        texts = [text for text in found if text is not None]
        await renew_blobs(map(str.encode, texts), blobs)
        await bus.publish(EVENTS, [_message(context.options, text, replay_id) for text in texts])

    async with context.state.blobs() as blobs:
        await publish_at_rate(context, events, send)


def _message(options: argparse.Namespace, text: str, replay_id: str) -> BusMessage:
    document: Json = json.loads(text)
    assert isinstance(document, dict)
    return make_event_replay(document, replay_id, options.only, options.force)


def _print_replay(context: Context, count: int, left_out: Sequence[str], replay_id: str) -> None:
    if context.options.json:
        print_json({"dry_run": False, "count": count, "replay": replay_id, "left_out": id_list(left_out)})
    elif count:
        line = f"hookchain events show ID{same_platform(context.options)}"
        print(f"{count_of(count, 'event')} published as replay {replay_id}. See what became of each: {line}")


def _print_dry_run(context: Context, events: Sequence[EventSummary], left_out: Sequence[str]) -> None:
    options = context.options
    line = confirmed_line("events replay", options, FILTERS, context.now)
    if options.json:
        listed: list[Json] = [summary_document(event) for event in events]
        counts = {"dry_run": True, "count": len(events)}
        print_json({**counts, "events": listed, "left_out": id_list(left_out), "command": line})
        return
    if not events:
        return
    only = f" for {options.only} only" if options.only else ""
    print(f"{count_of(len(events), 'event')} would be replayed{only}{sample_note(len(events))}\n")
    print(events_table(events[:SAMPLE], context.screen) + "\n")
    finished = sum(event.status in FINISHED and event.expected > 0 for event in events)
    if options.force:
        print("--force: what was delivered is delivered again.")
    elif finished:
        print(f"Finished deliveries of {count_of(finished, 'event')} stay as they are without --force.")
    print(f"Nothing was sent. To send them, at most {options.rate:g} a second:\n  {line}")


# Arguments


def _add_filters(command: argparse.ArgumentParser, limit: int | None) -> None:
    command.add_argument("--source", metavar="NAME", help="include events from this source only")
    command.add_argument("--type", metavar="TYPE", help="include this type; `trial.*` is every type with this prefix")
    command.add_argument("--status", metavar="STATUS", choices=STATUSES, help=f"include one of: {', '.join(STATUSES)}")
    command.add_argument(
        "--text", metavar="WORDS", help='include events with all these words; "double quotes" keep words together'
    )
    add_selection(command, limit)


def _add_show_arguments(command: argparse.ArgumentParser) -> None:
    add_id(command)
    command.add_argument(
        "--routes",
        action="store_true",
        help="also show why each route that the journal does not list did not match, by the current configuration",
    )


def _add_replay_arguments(command: argparse.ArgumentParser) -> None:
    add_ids(command)
    _add_filters(command, None)
    command.add_argument("--only", metavar="DESTINATION", help="replay for this destination only")
    command.add_argument("--force", action="store_true", help="also repeat what was delivered or dead-lettered")
    add_confirmation(command)


ACTIONS: Final = {
    "list": Action(
        "List events, newest first",
        "hookchain events list --source shop --since 1h",
        lambda command: _add_filters(command, LISTED),
        list_events,
        LIST_DETAILS,
    ),
    "show": Action(
        "Show one event: its request, routes, deliveries and attempts",
        "hookchain events show 4f2a9c",
        _add_show_arguments,
        show_event,
    ),
    "replay": Action(
        "Send stored events through the routes again",
        "hookchain events replay --source shop --since 2h --only crm",
        _add_replay_arguments,
        replay_events,
        REPLAY_DETAILS,
    ),
}
