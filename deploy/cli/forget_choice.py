"""The choice of the events that `hookchain forget` erases: by id, or by a condition on what is stored of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from deploy.history.journal_view import EventQuery, EventSummary
from deploy.history.replay import event_of_message
from deploy.history.state import State
from deploy.terminal.command_line import UsageError
from functions.notify.recipients.people import folded
from functions.notify.recipients.recipient import compiled_directory
from shared.errors import Permanent
from shared.event import from_cloudevent, view_of
from shared.expressions import Expression, ExpressionFault, is_true, over_event, root_names
from shared.jsontext import Json, JsonObject, from_json
from shared.ledger_rules import HELD, RETRY_SCHEDULED

PAGE: Final = 500
LETTERS_PAGE: Final = 100
MAX_PENDING: Final = 1_000
"""In each of the two states: a row may have a message of 200 KiB."""
LISTED: Final = frozenset({"id", "source", "type", "subject", "actor"})
"""What a list of events says of each. All else is in its body."""
ID_CHARACTERS: Final = 32


@dataclass(slots=True)
class Chosen:
    """The chosen events.

    failed       events for which the condition fails; whether they are meant is not known
    is_complete  False where there are more pending deliveries than were looked at
    """

    ids: dict[str, None] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an event as routes see it. `reads_body`: it needs more than a list of events says."""

    holds: Callable[[JsonObject], bool]
    reads_body: bool


def by_actor(name: str) -> Condition:
    """Names are compared as those of people are: without regard to the case of A to Z."""
    return Condition(lambda view: folded(str(view["actor"] or "")) == folded(name), reads_body=False)


def by_person(name: str, people: Json) -> Condition:
    """Choose the events whose actor is a name of the person in the configuration's `people`. Raises UsageError."""
    settings = people if isinstance(people, dict) else {}
    if "url" in settings:
        rule = "must be in the configuration or a file; `people` is at a URL"
        raise UsageError(f"--person: {rule}. Use --actor for each name of the person.")
    directory = compiled_directory(settings)
    person = directory.find(name, source="")
    if person is None:
        raise UsageError(f"--person: must be a name in `people`; got {name!r}. Use --actor for other names.")
    return Condition(lambda view: directory.find(str(view["actor"] or ""), str(view["source"])) == person, False)


def by_expression(text: str) -> Condition:
    """Raises UsageError."""
    try:
        expression = over_event(text)
    except ExpressionFault as fault:
        raise UsageError(f"--where: {fault}") from fault
    return Condition(lambda view: is_true(expression.search(view)), _reads_body(expression))


def _reads_body(expression: Expression) -> bool:
    return not root_names(expression.tree) <= LISTED


def by_ids(state: State, ids: list[str]) -> Chosen:
    """Return the events with the ids or their beginnings. Raises StateFault.

    A whole id is taken as it is: the event may be gone from the journal, and its dead letters not.
    """
    whole = [each for each in ids if len(each) >= ID_CHARACTERS]
    return Chosen(dict.fromkeys(each if each in whole else state.find_id("events", each) for each in ids))


def by_condition(state: State, condition: Condition, tell: Callable[[int], None]) -> Chosen:
    """Look through the listed events, the dead letters and what is pending. `tell` gets how many were looked at."""
    chosen = Chosen()
    for count, (event_id, view) in enumerate(_views(state, condition, chosen), 1):
        try:
            if condition.holds(view):
                chosen.ids[event_id] = None
        except Permanent:
            chosen.failed[event_id] = None
        tell(count)
    chosen.failed = {each: None for each in chosen.failed if each not in chosen.ids}
    return chosen


def _views(state: State, condition: Condition, chosen: Chosen) -> Iterator[tuple[str, JsonObject]]:
    for event in _events(state):
        if not condition.reads_body:
            yield event.id, _listed_view(event)
        elif text := state.reader.stored_document(event.id):
            document = from_json(text.encode())
            yield from _view(state, event.id, document if isinstance(document, dict) else None)
    for event_id, message in _messages(state, chosen):
        yield from _view(state, event_id, event_of_message(message))


def _listed_view(event: EventSummary) -> JsonObject:
    return {"id": event.id, "source": event.source, "type": event.type, "subject": event.subject, "actor": event.actor}


def _view(state: State, event_id: str, document: JsonObject | None) -> Iterator[tuple[str, JsonObject]]:
    """Yield the event as routes see it, with its data from its blob; nothing for what is not one of ours."""
    try:
        whole = state.event_with_data(document)
        event = from_cloudevent(whole)
    except Permanent:
        return
    if event_id:
        yield event_id, view_of(event)


def _events(state: State) -> Iterator[EventSummary]:
    query = EventQuery(limit=PAGE)
    while True:
        page = state.reader.events(query)
        yield from page.events
        if page.next_before is None:
            return
        query = EventQuery(limit=PAGE, before=page.next_before)


def _messages(state: State, chosen: Chosen) -> Iterator[tuple[str, bytes]]:
    """Yield the event's id and the message of each dead letter, and of each delivery that is pending or held.

    An event is listed for a shorter time than either may be kept, and steps may have changed what these hold.
    """
    before = None
    while letters := state.reader.dead_letters(LETTERS_PAGE, state=None, before=before):
        yield from ((letter.event_id, letter.message) for letter in letters if letter.message)
        before = letters[-1].seq
    for wanted in (HELD, RETRY_SCHEDULED):
        rows = state.rows(MAX_PENDING, wanted)
        chosen.is_complete = chosen.is_complete and len(rows) < MAX_PENDING
        yield from ((row.event_id, row.message) for row in rows)
