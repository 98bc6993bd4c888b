"""`hookchain events`: list and show events, and send stored events through the pipeline again.

records.py has what `hookchain dead-letters` needs too: the options, the choice of records, the lists and the dry run.
"""

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from deploy.cli import records
from deploy.cli.command import DONE, NOT_DONE
from deploy.cli.record_text import RecordText, UnlistedRoutes, colour_of
from deploy.history import digests, documents, replay
from deploy.history.journal_view import STATUSES, UNFINISHED, UNFINISHED_STATUSES, EventQuery, EventRecord, EventSummary
from deploy.history.state import State, StateFault
from deploy.platforms.choice import audited_action, same_state
from deploy.terminal import command_line, progress
from deploy.terminal.output import Column, Screen, clock, count_of, print_json, table
from shared import journal, jsontext, outcomes, ports
from shared.did_you_mean import did_you_mean

PAGE: Final = 500
"""The most events that are read at once."""
FILTERS: Final = ("source", "type", "status", "text", "since", "until", "limit")
FINISHED: Final[frozenset[outcomes.EventStatus]] = frozenset({"delivered", "merged", "dead_lettered"})
"""The statuses of events whose deliveries a replay does not repeat without --force."""
SETTLED: Final = FINISHED | frozenset[outcomes.EventStatus](("no_route", "filtered", "duplicate", "held"))
"""The statuses in which nothing is expected to happen, so that a function that does not run explains nothing."""
SHOWN_ROUTES: Final = 10
"""The other routes that are shown of an event without --routes."""
MAX_CELL: Final = 40
"""The columns of a text that a sender chose."""
COLUMNS: Final = (
    Column("TIME"),
    Column("EVENT"),
    Column("SOURCE", 8, max_width=MAX_CELL),
    Column("TYPE", 8, max_width=MAX_CELL),
    Column("SUBJECT", 8, max_width=MAX_CELL),
    Column("STATUS", colour=colour_of),
)


def main(arguments: list[str]) -> int:
    return records.run_action("events", ACTIONS, arguments)


def list_events(context: records.Context) -> int:
    """Print the newest events that match, newest first. One more than --limit is read, to tell whether there are more.

    The journal has them in the order in which they were stored, which can differ from that of their times.
    """
    events = list(find_events(context.state, context.options, context.options.limit + 1))
    events.sort(key=lambda event: (event.received_at, event.seq), reverse=True)
    return records.print_records(context, events, "event", documents.summary_document, events_table)


def show_event(context: records.Context) -> int:
    """Print everything that is stored of an event or a digest. Raises StateFault if no id begins so, or several do.

    An event that is not settled is printed with the troubles of what should process it.
    """
    state = context.state
    options = context.options
    found = _event_id_or_digest(state, options.id)
    if isinstance(found, digests.DigestRecord):
        _print_digest(context, found)
        return DONE
    record = state.reader.event(found)
    if record is None:  # removed since its id was looked up
        return NOT_DONE
    document = state.event_with_data(record.document)
    rows = state.deliveries(found)
    unlisted = _unlisted_routes(state, record, document, is_asked=options.routes)
    troubles = [] if record.summary.status in SETTLED else list(state.troubles())
    if not options.json:
        text = RecordText(context.screen)
        print("\n".join(text.event(record, document, rows, troubles=troubles, unlisted=unlisted)))
        return DONE
    printed = {**documents.record_document(record, document, rows), "troubles": records.id_list(troubles)}
    if options.routes:
        printed["unlisted_routes"] = journal.route_documents(unlisted.decisions if unlisted else ())
    print_json(printed)
    return DONE


def _event_id_or_digest(state: State, prefix: str) -> str | digests.DigestRecord:
    """Return the id of the one event whose id begins so, or the digest that has exactly this id. Raises StateFault."""
    try:
        return state.find_id("events", prefix)
    except StateFault:
        if digest := state.digest(prefix):
            return digest
        raise


def _print_digest(context: records.Context, digest: digests.DigestRecord) -> None:
    if context.options.json:
        print_json(digests.digest_document(digest))
    else:
        print("\n".join(RecordText(context.screen).digest(digest)))


def _unlisted_routes(
    state: State, record: EventRecord, document: jsontext.JsonObject | None, *, is_asked: bool
) -> UnlistedRoutes | None:
    """Return the decisions of the routes that the journal does not list: all of them for --routes, else the first.

    Return None if there are no such routes, or if the decisions cannot be computed. For --routes, that raises
    CommandError.
    """
    if not (is_asked or record.other_routes):
        return None
    transform = state.transform_slice()
    if document is None or "dataref" in document:
        fault = "the event's data is not there, and the conditions of routes read it"
    elif transform is None:
        fault = "there is no configuration to compute it with"
    else:
        # Imported here, because it imports the steps, which is slow.
        from deploy.explain.transform_stage import unlisted_decisions

        decisions = unlisted_decisions(document, record.routes, transform)
        shown = decisions if is_asked else decisions[:SHOWN_ROUTES]
        return UnlistedRoutes(shown, len(decisions) - len(shown))
    if is_asked:
        raise command_line.CommandError(f"--routes: {fault}")
    return None


def events_table(events: Sequence[EventSummary], screen: Screen) -> str:
    """Return a row for each event, with the beginnings of ids, which every command accepts."""
    ids = records.short_ids([event.id for event in events])
    rows = [
        (clock(event.received_at), shown, event.source, event.type or "", event.subject or "", event.status)
        for event, shown in zip(events, ids, strict=True)
    ]
    return table(COLUMNS, rows, screen)


def find_events(
    state: State, options: argparse.Namespace, limit: int | None, page: int = PAGE
) -> Iterator[EventSummary]:
    """Yield events, newest first, read in pages of at most `page`. A search by text first indexes every event."""
    names = {name: getattr(options, name) for name in ("source", "type", "status", "since", "until")}
    query = EventQuery(**names, text=options.text or "")
    while query.text and state.reader.index():
        pass  # each call indexes the next events, and returns 0 once there are no more
    yield from progress.with_progress(event_pages(state, query, limit, page), sys.stderr)


def event_pages(
    state: State, query: EventQuery, limit: int | None = None, page: int = PAGE
) -> Iterator[list[EventSummary]]:
    """Yield the events that match, newest first, in pages of at most `page`, and `limit` of them; None for all.

    A page can be empty although more events follow. `query.limit` is ignored.
    """
    count = 0
    while limit is None or count < limit:
        found = state.reader.events(replace(query, limit=page if limit is None else min(page, limit - count)))
        yield list(found.events)
        count += len(found.events)
        if found.next_before is None:
            return
        query = replace(query, before=found.next_before)


def chosen_events(state: State, options: argparse.Namespace) -> list[EventSummary]:
    """Return the events that the options choose, in the order in which they arrived.

    Raises UsageError, and StateFault also for the id of a digest.
    """
    records.require_choice(options, FILTERS)
    if not options.ids:
        return list(find_events(state, options, options.limit))[::-1]
    ids = dict.fromkeys(_replayable_id(state, each) for each in options.ids)
    found = (state.reader.event(event_id) for event_id in ids)
    return sorted((record.summary for record in found if record), key=lambda event: event.seq)


def replay_events(context: records.Context) -> int:
    """Publish the chosen events again with --yes, else print which ones would be published.

    Events without a stored body are left out. Returns NOT_DONE if none is replayed, or if one of the named ids is left
    out. Raises UsageError, StateFault and HookchainError.
    """
    options = context.options
    require_destination(context.state, options.only)
    chosen = chosen_events(context.state, options)
    if not chosen:
        records.require_known(context.state, options)
        print(f"no event matches{records.near_type_hint(context.state, options)}", file=sys.stderr)
    stored = context.state.reader.with_document([event.id for event in chosen])
    replayable = [event for event in chosen if event.id in stored]
    planned = Replay(context, replayable, "hookchain events replay")
    if options.yes and replayable:
        planned.run()
    replayed_ids = planned.published_ids if options.yes else stored  # without --yes, those that would be
    replayed = [event for event in chosen if event.id in replayed_ids]
    left_out = [event.id for event in chosen if event.id not in replayed_ids]
    if options.yes:
        _print_replay(context, replayed, left_out, planned.id)
    else:
        _print_dry_run(context, replayed, left_out)
    if left_out and not options.json:
        why = "transform has not processed them, or their bodies were removed by `forget` or after their retention"
        print(f"left out, because there is nothing to replay ({why}): {records.ids_note(left_out)}", file=sys.stderr)
    return DONE if replayed and not (options.ids and left_out) else NOT_DONE


def _replayable_id(state: State, prefix: str) -> str:
    """Return the id of the one event whose id begins so. Raises StateFault, also for a digest."""
    found = _event_id_or_digest(state, prefix)
    if isinstance(found, str):
        return found
    rule = f"{prefix} is a digest, not an event of a source. Replay the events in it"
    raise StateFault(f"{rule} (`hookchain events show {prefix}` lists them), or its dead letter.")


def require_destination(state: State, only: str | None) -> None:
    """Raise UsageError if the destination of --only is unknown; if no configuration is known, accept each name."""
    names = state.destinations() if only is not None else ()
    if only is not None and names and only not in names:
        raise command_line.UsageError(f"--only: there is no destination {only!r}{did_you_mean(only, names)}")


@dataclass(slots=True)
class Replay:
    """A replay of events, which is run once, with the options of `events replay`.

    tool           the operator's tool, for the audit records
    id             the id of the replay, which each of its events carries
    published_ids  the events that were published so far, also if `run` raises an error
    """

    context: records.Context
    events: Sequence[EventSummary]
    tool: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    published_ids: set[str] = field(default_factory=set)

    @property
    def sent(self) -> list[EventSummary]:
        return [event for event in self.events if event.id in self.published_ids]

    @property
    def unsent(self) -> list[EventSummary]:
        return [event for event in self.events if event.id not in self.published_ids]

    def run(self) -> None:
        """Publish the events whose documents are still stored, and leave audit records.

        Raises UsageError for an unknown destination, and HookchainError.
        """
        options = self.context.options
        what = f"replay {self.id} only={options.only} force={options.force}"
        with audited_action(options, self.tool, what, len(self.events)) as action:
            require_destination(self.context.state, options.only)  # again: the events may have been chosen long before
            try:
                asyncio.run(self._publish())
            finally:
                action.count = len(self.published_ids)

    async def _publish(self) -> None:
        async with self.context.state.blobs() as blobs:

            async def send(bus: ports.Bus, batch: Sequence[EventSummary]) -> None:
                stored = {event.id: self.context.state.reader.stored_document(event.id) for event in batch}
                texts = {event_id: text for event_id, text in stored.items() if text is not None}
                await replay.restart_blob_expiry(map(str.encode, texts.values()), blobs)
                await bus.publish(ports.EVENTS, [self._message(text) for text in texts.values()])
                self.published_ids.update(texts)

            await records.publish_at_rate(self.context, self.events, send)

    def _message(self, text: str) -> ports.BusMessage:
        options = self.context.options
        return replay.make_event_replay(jsontext.mapping_at(json.loads(text)), self.id, options.only, options.force)


def _print_replay(
    context: records.Context, events: Sequence[EventSummary], left_out: Sequence[str], replay_id: str
) -> None:
    """Print which events were published. Without --json, print nothing if there are none."""
    count = len(events)
    if context.options.json:
        print_json({"dry_run": False, "count": count, "replay": replay_id, "left_out": records.id_list(left_out)})
    elif events:
        line = f"hookchain events show ID{same_state(context.options)}"
        print(f"{count_of(count, 'event')} published as replay {replay_id}. To see the result of each: {line}")
        _print_finished(context.options, events)


def _print_dry_run(context: records.Context, events: Sequence[EventSummary], left_out: Sequence[str]) -> None:
    """Print what would be replayed, and the command that does it. Without --json, print nothing for no events."""
    options = context.options
    line = records.confirmed_line("events replay", options, FILTERS, context.now)
    if options.json:
        listed: list[jsontext.Json] = [documents.summary_document(event) for event in events]
        counts = {"dry_run": True, "count": len(events)}
        print_json({**counts, "events": listed, "left_out": records.id_list(left_out), "command": line})
        return
    if not events:
        return
    only = f" for {options.only} only" if options.only else ""
    print(f"{count_of(len(events), 'event')} would be replayed{only}{records.sample_note(len(events))}\n")
    print(events_table(events[: records.SAMPLE], context.screen) + "\n")
    _print_finished(options, events)
    print(f"Nothing was sent. To send them, at most {options.rate:g} per second:\n  {line}")


def _print_finished(options: argparse.Namespace, events: Sequence[EventSummary]) -> None:
    """Print what the replay does with deliveries that are finished."""
    finished = sum(event.status in FINISHED and event.expected > 0 for event in events)
    if options.force:
        print("--force: deliveries that succeeded are sent again.")
    elif finished:
        line = f"Finished deliveries of {count_of(finished, 'event')} are not repeated without --force."
        print(f"{line} If you have renamed a route or a destination, it delivers these events again.")


def _add_filters(command: argparse.ArgumentParser, limit: int | None) -> None:
    records.add_event_filters(command, 'include events with all these words; "double quotes" keep words together')
    command.add_argument(
        "--status",
        metavar="STATUS",
        choices=(*STATUSES, UNFINISHED),
        help=f"include one of: {', '.join(STATUSES)}; or {UNFINISHED}, which is {', '.join(UNFINISHED_STATUSES)}",
    )
    records.add_selection(command, limit)


def _add_show_arguments(command: argparse.ArgumentParser) -> None:
    records.add_id(command)
    command.add_argument(
        "--routes",
        action="store_true",
        help="also show why each route that the journal does not list did not match, by the current configuration",
    )


def _add_replay_arguments(command: argparse.ArgumentParser) -> None:
    records.add_ids(command)
    _add_filters(command, None)
    command.add_argument("--only", metavar="DESTINATION", help="replay for this destination only")
    command.add_argument("--force", action="store_true", help="also repeat what was delivered or dead-lettered")
    records.add_confirmation(command)


ACTIONS: Final = {
    "list": records.Action(lambda command: _add_filters(command, records.LISTED), list_events),
    "show": records.Action(_add_show_arguments, show_event),
    "replay": records.Action(_add_replay_arguments, replay_events),
}
