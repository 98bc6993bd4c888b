"""`hookchain events`: list and show events, and send stored events through the pipeline again.

The actions come first, then the text of one event, digest or dead letter.
"""

import argparse
import asyncio
import json
import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from deploy.cli import records
from deploy.cli.command import DONE, NOT_DONE
from deploy.history import digests, documents, replay, stored_messages
from deploy.history.journal_view import STATUSES, DeadLetterRow, EventQuery, EventRecord, EventSummary, RequestRow
from deploy.history.state import State, StateFault
from deploy.platforms.choice import audited_action, same_state
from deploy.terminal.command_line import CommandError, UsageError
from deploy.terminal.output import BOLD, DIM, GREEN, RED, YELLOW, Column, Screen, count_of, print_json, printable, table
from deploy.terminal.progress import with_progress
from shared import delivery, ledger, outcomes, ports, times
from shared.did_you_mean import did_you_mean
from shared.journal import AttemptEntry, RouteDecision, route_documents
from shared.jsontext import Json, JsonObject, mapping_at
from shared.subscribers.names import endpoint_name

COLOURS: Final = {
    "delivered": GREEN,
    "merged": GREEN,
    "dead_lettered": RED,
    "failed": RED,
    "kept": RED,
    "retry_scheduled": YELLOW,
    "waiting": YELLOW,
    "unknown": YELLOW,
    "held": YELLOW,
}
_ROUTE_STATES: Final = {
    "waiting": "waiting",
    "rerun": "no longer waiting, because the event was published again for this route",
    "dead_lettered": "dead_lettered",
}
_INDENT: Final = "  "
REPEATED: Final = (
    "These requests have the same id or the same signed bytes, so they count as one event. "
    "If they are different events, set `dedupe` on the source."
)
MAX_ENDPOINTS: Final = 20
"""The deliveries to endpoints that are listed of an event."""
MAX_MEMBERS: Final = 50
"""The events that are listed of a digest."""


def colour_of(status: str) -> str:
    return COLOURS.get(status, "")


def clock(seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00Z`, which `--since` accepts."""
    return times.rfc3339(seconds)[:19] + "Z"


PAGE: Final = 500
FILTERS: Final = ("source", "type", "status", "text", "since", "until", "limit")
FINISHED: Final[frozenset[outcomes.EventStatus]] = frozenset({"delivered", "merged", "dead_lettered"})
SETTLED: Final = FINISHED | frozenset[outcomes.EventStatus](("no_route", "filtered", "duplicate", "held"))
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
    events = list(find_events(context.state, context.options, context.options.limit + 1))
    return records.print_records(context, events, "event", documents.summary_document, events_table)


def show_event(context: records.Context) -> int:
    state = context.state
    try:
        event_id = state.find_id("events", context.options.id)
    except StateFault:
        if (digest := state.digest(context.options.id)) is None:
            raise
        if context.options.json:
            print_json(digests.digest_document(digest))
        else:
            print("\n".join(digest_text(digest, context.screen)))
        return DONE
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
        whole = {**documents.record_document(record, document, rows), "troubles": records.id_list(troubles)}
        print_json({**whole, "unlisted_routes": route_documents(others or ())} if is_asked else whole)
    else:
        limit = None if is_asked else SHOWN_ROUTES
        print("\n".join(event_text(record, document, rows, context.screen, EventContext(others, limit, troubles))))
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
    # Imported here, because it imports the steps, which is slow.
    from deploy.explain.transform_stage import unlisted_decisions

    return unlisted_decisions(document, record.routes, transform)


def events_table(events: Sequence[EventSummary], screen: Screen) -> str:
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
        pass
    yield from with_progress(event_pages(state, query, limit, page), sys.stderr)


def event_pages(
    state: State, query: EventQuery, limit: int | None = None, page: int = PAGE
) -> Iterator[list[EventSummary]]:
    count = 0
    while limit is None or count < limit:
        found = state.reader.events(replace(query, limit=page if limit is None else min(page, limit - count)))
        yield list(found.events)
        count += len(found.events)
        if found.next_before is None:
            return
        query = replace(query, before=found.next_before)


def chosen_events(state: State, options: argparse.Namespace) -> list[EventSummary]:
    """Return them oldest first, in the order in which they arrived. Raises UsageError and StateFault."""
    records.require_choice(options, FILTERS)
    if not options.ids:
        return list(find_events(state, options, options.limit))[::-1]
    ids = dict.fromkeys(_replayable_id(state, each) for each in options.ids)
    found = (state.reader.event(event_id) for event_id in ids)
    return sorted((record.summary for record in found if record), key=lambda event: event.seq)


def replay_events(context: records.Context) -> int:
    options = context.options
    require_destination(context.state, options.only)
    events = chosen_events(context.state, options)
    stored = context.state.reader.with_document([event.id for event in events])
    replayable = [event for event in events if event.id in stored]
    left_out = [event.id for event in events if event.id not in stored]
    if not events:
        print("no event matches", file=sys.stderr)
    if options.yes:
        replay_id = secrets.token_hex(8)
        published: set[str] = set()
        if replayable:
            publish_events(context, replayable, replay_id, "hookchain events replay", published)
        left_out += [event.id for event in replayable if event.id not in published]
        replayable = [event for event in replayable if event.id in published]
        _print_replay(context, replayable, left_out, replay_id)
    else:
        _print_dry_run(context, replayable, left_out)
    if left_out and not options.json:
        why = "transform has not processed them, or their bodies were removed by `forget` or after their retention"
        print(f"left out, because there is nothing to replay ({why}): {records.ids_note(left_out)}", file=sys.stderr)
    return DONE if replayable and not (options.ids and left_out) else NOT_DONE


def _replayable_id(state: State, prefix: str) -> str:
    """Return the id of the one event that begins so. Raises StateFault, also for a digest."""
    try:
        return state.find_id("events", prefix)
    except StateFault as fault:
        if state.digest(prefix) is None:
            raise
        rule = f"{prefix} is a digest, not an event of a source. Replay the events in it"
        raise StateFault(f"{rule} (`hookchain events show {prefix}` lists them), or its dead letter.") from fault


def require_destination(state: State, only: str | None) -> None:
    names = state.destinations() if only is not None else ()
    if only is not None and names and only not in names:
        raise UsageError(f"--only: there is no destination {only!r}{did_you_mean(only, names)}")


def publish_events(
    context: records.Context, events: Sequence[EventSummary], replay_id: str, tool: str, published: set[str]
) -> None:
    """Publish the events whose documents are still stored, and leave audit records. Add their ids to `published`."""
    options = context.options
    what = f"replay {replay_id} only={options.only} force={options.force}"
    with audited_action(options, tool, what, len(events)) as action:
        require_destination(context.state, options.only)
        try:
            asyncio.run(_publish(context, events, replay_id, published))
        finally:
            action.count = len(published)


async def _publish(
    context: records.Context, events: Sequence[EventSummary], replay_id: str, published: set[str]
) -> None:
    """Publish the events whose documents are still stored, and add the id of each to `published`."""

    async def send(bus: ports.Bus, batch: Sequence[EventSummary]) -> None:
        found = {event.id: context.state.reader.stored_document(event.id) for event in batch}
        texts = {event_id: text for event_id, text in found.items() if text is not None}
        await replay.restart_blob_expiry(map(str.encode, texts.values()), blobs)
        await bus.publish(ports.EVENTS, [_message(context.options, text, replay_id) for text in texts.values()])
        published.update(texts)

    async with context.state.blobs() as blobs:
        await records.publish_at_rate(context, events, send)


def _message(options: argparse.Namespace, text: str, replay_id: str) -> ports.BusMessage:
    return replay.make_event_replay(mapping_at(json.loads(text)), replay_id, options.only, options.force)


def _print_replay(
    context: records.Context, events: Sequence[EventSummary], left_out: Sequence[str], replay_id: str
) -> None:
    count = len(events)
    if context.options.json:
        print_json({"dry_run": False, "count": count, "replay": replay_id, "left_out": records.id_list(left_out)})
    elif events:
        line = f"hookchain events show ID{same_state(context.options)}"
        print(f"{count_of(count, 'event')} published as replay {replay_id}. To see the result of each: {line}")
        _print_finished(context.options, events)


def _print_dry_run(context: records.Context, events: Sequence[EventSummary], left_out: Sequence[str]) -> None:
    options = context.options
    line = records.confirmed_line("events replay", options, FILTERS, context.now)
    if options.json:
        listed: list[Json] = [documents.summary_document(event) for event in events]
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
    finished = sum(event.status in FINISHED and event.expected > 0 for event in events)
    if options.force:
        print("--force: deliveries that succeeded are sent again.")
    elif finished:
        line = f"Finished deliveries of {count_of(finished, 'event')} are not repeated without --force."
        print(f"{line} If you have renamed a route or a destination, it delivers these events again.")


def _add_filters(command: argparse.ArgumentParser, limit: int | None) -> None:
    records.add_event_filters(command, 'include events with all these words; "double quotes" keep words together')
    command.add_argument("--status", metavar="STATUS", choices=STATUSES, help=f"include one of: {', '.join(STATUSES)}")
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


# One event, digest or dead letter as text


class EventContext(NamedTuple):
    """The facts about an event that its records do not have.

    others    the decisions of the routes that the journal does not list; None if they were not computed
    limit     how many of them are shown; None for all
    troubles  why nothing happens to the event now
    """

    others: Sequence[RouteDecision] | None = None
    limit: int | None = None
    troubles: Sequence[str] = ()


def event_text(
    record: EventRecord,
    document: JsonObject | None,
    rows: Sequence[ledger.LedgerRow],
    screen: Screen,
    around: EventContext = EventContext(),  # noqa: B008 a tuple
) -> Iterator[str]:
    """Yield the lines. `document` is the event with its data, which may come from a blob."""
    others = around.others
    yield from _summary(record.summary, screen)
    yield from (f"{_INDENT}{''.ljust(11)}  {screen.coloured(printable(text), RED)}" for text in around.troubles)
    requests = [line for each in record.requests for line in _request(each)]
    if sum(each.event_id is not None for each in record.requests) > 1:
        requests.append(REPEATED)
    yield from _section("Received", requests, screen)
    seen = "" if record.passes < 2 else f" (the last of {record.passes} passes through transform)"
    routes = [line for each in record.routes for line in _route(each)]
    if record.other_routes and others is None:
        routes.append(f"{count_of(record.other_routes, 'other route')} did not match: --routes prints why")
    yield from _section(f"Routes{seen}", routes, screen)
    lines = [line for each in (others or ())[: around.limit] for line in _route(each)]
    if others and around.limit is not None and (more := len(others) - around.limit) > 0:
        lines.append(f"and {count_of(more, 'other route')}: --routes prints why")
    yield from _section("Other routes, by the current configuration", lines, screen)
    waiting = [row for row in rows if row.destination == delivery.ROUTE_ITSELF]
    waits = [line for row in waiting for line in _waiting_route(row, record.attempts, screen)]
    yield from _section("Routes that waited for a step's system", waits, screen)
    own = [row for row in rows if row not in waiting and endpoint_name(row.destination) is None]
    deliveries = [line for row in own for line in _delivery(row, record.attempts, screen)]
    yield from _section("Deliveries", deliveries, screen)
    to_endpoints = [*_endpoints([row for row in rows if endpoint_name(row.destination)], record.attempts, screen)]
    yield from _section("Deliveries to endpoints", to_endpoints, screen)
    letters = [line for each in record.dead_letters for line in letter_lines(each, screen)]
    yield from _section("Dead letters", letters, screen)
    yield from _section("Event", _document(record.summary, document), screen)


def digest_text(digest: digests.DigestRecord, screen: Screen) -> Iterator[str]:
    """Yield the lines about a digest or a burst, and the events that it stands for."""
    summary = digest.record.summary
    yield screen.coloured(f"Digest {printable(summary.id)}", BOLD)
    yield from _pairs(
        {
            "destination": digest.destination,
            "contains": count_of(digest.count, "delivery", "deliveries"),
            "created": times.rfc3339(summary.received_at),
        }
    )
    yield f"{_INDENT}{'status'.ljust(11)}  {screen.coloured(summary.status, colour_of(summary.status))}"
    attempts = digest.record.attempts
    deliveries = [line for row in digest.rows for line in _delivery(row, attempts, screen)]
    yield from _section("Deliveries", deliveries, screen)
    letters = [line for each in digest.dead_letters for line in letter_lines(each, screen)]
    yield from _section("Dead letters", letters, screen)
    yield from _section("Events in it", [*_members(digest)], screen)
    content = json_lines(digest.document) if digest.document else ["not kept: it is delivered"]
    yield from _section("Event", content, screen)


def _members(digest: digests.DigestRecord) -> Iterator[str]:
    yield from (f"{row.event_id}  by route {printable(row.route)!r}" for row in digest.members[:MAX_MEMBERS])
    if (more := len(digest.members) - MAX_MEMBERS) > 0:
        yield f"and {more:,} more: --json lists them"
    if (missing := digest.count - len(digest.members)) > 0:
        where = f"the newest {digests.MAX_SEARCHED:,} merged deliveries to {printable(digest.destination)!r}"
        yield f"{count_of(missing, 'event')} not found: either not merged yet, or not among {where}"


def letter_text(letter: DeadLetterRow, message: Json, screen: Screen) -> Iterator[str]:
    yield screen.coloured(f"Dead letter {printable(letter.id)}", BOLD)
    yield from (f"{_INDENT}{line}" for line in letter_lines(letter, screen))
    if count := stored_messages.merged_count(letter.message):
        what = f"digest of {count_of(count, 'event')}: `hookchain events show {printable(letter.event_id)}` lists them"
        yield from _pairs({"contains": what})
    yield from _section("Message", json_lines(message), screen)


def letter_lines(letter: DeadLetterRow, screen: Screen) -> Iterator[str]:
    state = screen.coloured(letter.state, colour_of(letter.state))
    yield f"{clock(letter.at)}  {state}  {letter.code}: {printable(letter.reason)}"
    yield from _pairs(
        {
            "id": letter.id,
            "event": letter.event_id,
            "route": letter.route,
            "destination": letter.destination,
            "topic": letter.topic,
        }
    )


def json_lines(value: Json) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return [printable(line) for line in text.split("\n")]


def _summary(event: EventSummary, screen: Screen) -> Iterator[str]:
    yield screen.coloured(f"Event {printable(event.id)}", BOLD)
    yield from _pairs(
        {
            "type": event.type or "",
            "source": event.source,
            "subject": event.subject or "",
            "actor": event.actor or "",
            "received": times.rfc3339(event.received_at),
        }
    )
    yield f"{_INDENT}{'status'.ljust(11)}  {screen.coloured(event.status, colour_of(event.status))}"


def _section(title: str, lines: Sequence[str], screen: Screen) -> Iterator[str]:
    if lines:
        yield ""
        yield screen.coloured(title, BOLD)
        yield from (f"{_INDENT}{line}".rstrip() for line in lines)


def _pairs(values: dict[str, str]) -> Iterator[str]:
    yield from (f"{_INDENT}{name.ljust(11)}  {printable(value)}" for name, value in values.items() if value)


def _request(request: RequestRow) -> Iterator[str]:
    took = "" if request.duration_ms is None else f" after {request.duration_ms:g} ms"
    why = ": ".join(filter(None, (request.code, request.detail)))
    line = f"{times.rfc3339(request.at)}  {request.method} answered {request.status}{took}  {why}"
    yield printable(line.rstrip())


def _route(route: RouteDecision) -> Iterator[str]:
    decision = f"{route.outcome}, code {route.code}" if route.code else route.outcome
    to = f" → {', '.join(route.destinations)}" if route.destinations else ""
    yield printable(f"{route.route or 'every route'}: {decision}: {route.reason}{to}")


def _waiting_route(row: ledger.LedgerRow, attempts: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    state, own = documents.route_state(row), [attempt for attempt in attempts if attempt.delivery_id == row.key]
    at = f", try {documents.tries_of(row, own) + 1} at {clock(row.retry_at)}" if row.retry_at is not None else ""
    yield f"{printable(row.route)}: {screen.coloured(_ROUTE_STATES[state], colour_of(state))}{at}"
    yield from _attempts(row, own, screen)


def _delivery(row: ledger.LedgerRow, attempts: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    again = f", replayed {row.generation} ×" if row.generation else ""
    yield f"to {printable(row.destination)} by route {printable(row.route)!r}: {_delivery_state(row, screen)}{again}"
    yield from _attempts(row, [attempt for attempt in attempts if attempt.delivery_id == row.key], screen)
    yield f"{_INDENT}{screen.coloured(f'delivery {row.key}', DIM)}"


def _endpoints(rows: Sequence[ledger.LedgerRow], attempts: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    """Yield how many there are in which state, where they are many, and first those that are not delivered."""
    if len(rows) > MAX_ENDPOINTS:
        counts = Counter(row.state for row in rows)
        listed = ", ".join(f"{count:,} {screen.coloured(state, colour_of(state))}" for state, count in counts.items())
        yield f"{count_of(len(rows), 'delivery', 'deliveries')}: {listed}"
    shown = sorted(rows, key=lambda row: row.state == "delivered")[:MAX_ENDPOINTS]
    for row in shown:
        yield from _delivery(row, attempts, screen)
    if len(rows) > len(shown):
        yield f"and {len(rows) - len(shown):,} more: --json lists them"


def _delivery_state(row: ledger.LedgerRow, screen: Screen) -> str:
    state = screen.coloured(row.state, colour_of(row.state))
    if row.state != "retry_scheduled" or row.retry_at is None:
        return state
    if row.group:
        return f"waits until {clock(row.retry_at)}"
    return f"{state}, attempt {row.attempt_number + 1} at {clock(row.planned_at or row.retry_at)}"


def _attempts(row: ledger.LedgerRow, own: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    """Yield the reason for the state, unless the last attempt gives it, and the attempts."""
    if row.reason and not (own and own[-1].reason == row.reason):
        yield f"{_INDENT}{printable(row.reason)}"
    yield from (_INDENT + _attempt(attempt, screen) for attempt in own)


def _attempt(attempt: AttemptEntry, screen: Screen) -> str:
    outcome = screen.coloured(attempt.outcome, colour_of(attempt.outcome))
    took = f"{(attempt.ended_at - attempt.started_at) * 1000:.0f} ms"
    answer = f"answer: {attempt.answer}" if attempt.answer else ""
    texts = printable("; ".join(filter(None, (attempt.reason, answer))))
    return f"{attempt.attempt_number}. {times.rfc3339(attempt.started_at)}  {outcome} after {took}  {texts}"


def _document(event: EventSummary, document: JsonObject | None) -> list[str]:
    if document is not None:
        return json_lines(document)
    if event.routed_at is None:
        return ["transform has not finished with it: a step may still be waiting for another system"]
    return ["removed: its body was forgotten, or is past retention"]


ACTIONS: Final = {
    "list": records.Action(lambda command: _add_filters(command, records.LISTED), list_events),
    "show": records.Action(_add_show_arguments, show_event),
    "replay": records.Action(_add_replay_arguments, replay_events),
}
