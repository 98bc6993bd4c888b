"""The events that `hookchain forget` is asked to erase: those with an id, or those that meet a condition.

A condition is computed on the event in the journal, in dead letters, and in deliveries that are pending or held. It
chooses the event if it holds in any of these places. If it holds in none and cannot be computed in one, it has failed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from deploy.cli.events import event_pages
from deploy.cli.records import ids_note
from deploy.history import journal_view, stored_messages
from deploy.history.state import State
from deploy.terminal.command_line import UsageError
from deploy.terminal.output import count_of
from deploy.terminal.progress import PassingLine
from functions.notify.recipients.people import folded
from functions.notify.recipients.people_list import compiled_directory
from shared import errors, ledger_rules
from shared.event import from_cloudevent, view_of
from shared.expressions import Expression, ExpressionFault, is_true, over_event, root_names
from shared.jsontext import Json, JsonObject, from_json, mapping_at

PROGRESS_EVERY: Final = 500
"""The number of searched events after which the progress line changes."""
LETTERS_PAGE: Final = 100
"""The number of dead letters that are read at once, with their messages."""
MAX_PENDING: Final = 1_000
"""The most rows that are read of each of the two states, because a row may have a message of 200 KiB."""
_LISTED_FIELDS: Final = frozenset({"id", "source", "type", "subject", "actor"})
"""The fields that a list of events has. All other fields are in the body."""
ID_CHARACTERS: Final = 32
"""The length of a whole event id. A shorter text is the beginning of one, for which the journal is searched."""


@dataclass(slots=True)
class Chosen:
    """The chosen events, in the order in which they were found.

    failed       events on which the condition cannot be computed, so it is not known whether they are meant: they stay
    is_complete  False if there may be more pending deliveries than were searched
    """

    ids: Sequence[str] = ()
    failed: Sequence[str] = ()
    is_complete: bool = True

    @property
    def is_certain(self) -> bool:
        """Return whether no event can be missing from the choice."""
        return self.is_complete and not self.failed


def choose_events(state: State, options: argparse.Namespace) -> Chosen:
    """Return the events that the options choose. Raises UsageError, StateFault and HookchainError."""
    if options.event:
        return _events_by_id(state, options.event)
    if options.actor is not None:
        condition = _actor_condition(options.actor)
    elif options.person is not None:
        condition = _person_condition(options.person, mapping_at(state.notify_slice()).get("people"))
    else:
        condition = _expression_condition(options.where)
    return _ConditionSearch(state, condition).run()


def print_doubts(chosen: Chosen) -> None:
    """Print to standard error why the choice may lack events."""
    if chosen.failed:
        failed = count_of(len(chosen.failed), "event")
        print(f"the condition fails for {failed}, which stay: {ids_note(chosen.failed)}", file=sys.stderr)
    if not chosen.is_complete:
        repeat = "run the command again once fewer are pending"
        print(f"only the newest {MAX_PENDING:,} pending deliveries were searched: {repeat}", file=sys.stderr)
    if not chosen.ids:
        print("no event matches", file=sys.stderr)


def _events_by_id(state: State, ids: Sequence[str]) -> Chosen:
    """Return the events with the ids or their beginnings. Raises StateFault.

    A whole id is used as it is: the event may be gone from the journal, and its dead letters not.
    """
    whole_ids = [each if len(each) >= ID_CHARACTERS else state.find_id("events", each) for each in ids]
    return Chosen(list(dict.fromkeys(whole_ids)))


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an event as routes see it.

    holds       may raise Permanent for an event, as an expression does that cannot be computed on its data
    reads_body  the condition needs more than _LISTED_FIELDS, so each event's document has to be read
    """

    holds: Callable[[JsonObject], bool]
    reads_body: bool = False


def _actor_condition(name: str) -> Condition:
    """Choose the events of an actor. As in `people`, the case of A to Z does not matter. Raises UsageError."""
    if not folded(name):  # it would choose every event without an actor
        raise UsageError(f"--actor: must have a character other than white space; got {name!r}")
    return Condition(lambda view: folded(str(view["actor"] or "")) == folded(name))


def _person_condition(name: str, people: Json) -> Condition:
    """Choose the events whose actor is a name of the person in the configuration's `people`. Raises UsageError."""
    if not isinstance(people, dict):
        rule = "no destination addresses a person, so that `people` is not compiled"
        raise UsageError(f"--person: {rule}. Use --actor for each name of the person.")
    if "url" in people:
        rule = "must be in the configuration or a file; `people` is at a URL"
        raise UsageError(f"--person: {rule}. Use --actor for each name of the person.")
    directory = compiled_directory(people)
    person = directory.find(name, source="")
    if person is None:
        raise UsageError(f"--person: must be a name in `people`; got {name!r}. Use --actor for other names.")
    return Condition(lambda view: directory.find(str(view["actor"] or ""), str(view["source"])) == person)


def _expression_condition(text: str) -> Condition:
    """Choose the events for which the JMESPath expression is true. Raises UsageError."""
    try:
        expression: Expression = over_event(text)
    except ExpressionFault as fault:
        raise UsageError(f"--where: {fault}") from fault
    reads_body = not root_names(expression.tree) <= _LISTED_FIELDS
    return Condition(lambda view: is_true(expression.search(view)), reads_body)


@dataclass(slots=True)
class _ConditionSearch:
    """A search for the events that meet a condition in the journal, the dead letters and what is pending.

    Call `run` once: it reads `_is_complete` after all of `_messages`, which makes it False if a state has MAX_PENDING
    rows or more.
    """

    state: State
    condition: Condition
    _is_complete: bool = field(default=True, init=False)

    def run(self) -> Chosen:
        """Search each store, with progress on standard error. Raises StateFault and HookchainError."""
        ids: dict[str, None] = {}
        failed: dict[str, None] = {}
        line = PassingLine(sys.stderr)
        try:
            for count, (event_id, view) in enumerate(self._views(), 1):
                try:
                    if self.condition.holds(view):
                        ids[event_id] = None
                except errors.Permanent:
                    failed[event_id] = None
                if count % PROGRESS_EVERY == 0:
                    line.show(f"looked at {count:,}")
        finally:
            line.clear()
        return Chosen([*ids], [each for each in failed if each not in ids], self._is_complete)

    def _views(self) -> Iterator[tuple[str, JsonObject]]:
        """Yield the id of each event, and the event as routes see it, once for each place that has it.

        For a condition that does not read the body, the events of the journal have only _LISTED_FIELDS.
        """
        for event in chain.from_iterable(event_pages(self.state, journal_view.EventQuery())):
            if not self.condition.reads_body:
                yield event.id, {name: getattr(event, name) for name in _LISTED_FIELDS}
            elif text := self.state.reader.stored_document(event.id):
                yield from self._view(event.id, mapping_at(from_json(text.encode())))
        for event_id, message in self._messages():
            yield from self._view(event_id, stored_messages.event_in(stored_messages.message_json(message)))

    def _view(self, event_id: str, document: JsonObject | None) -> Iterator[tuple[str, JsonObject]]:
        """Yield the event with its data from its blob.

        Yields nothing for a document that is not an event, as in a dead letter whose message was no event of ours, and
        for a message without an event's id.
        """
        try:
            event = from_cloudevent(self.state.event_with_data(document))
        except errors.Permanent:
            return
        if event_id:
            yield event_id, view_of(event)

    def _messages(self) -> Iterator[tuple[str, bytes]]:
        """Yield the event's id and the message of each dead letter, and of each delivery that is pending or held.

        An event is listed for a shorter time than either may be kept, and steps may have changed what these hold.
        """
        before = None
        while letters := self.state.reader.dead_letters(LETTERS_PAGE, state=None, before=before):
            yield from ((letter.event_id, letter.message) for letter in letters if letter.message)
            before = letters[-1].seq
        for pending_state in (ledger_rules.HELD, ledger_rules.RETRY_SCHEDULED):
            rows = self.state.rows(MAX_PENDING, pending_state)
            self._is_complete = self._is_complete and len(rows) < MAX_PENDING
            yield from ((row.event_id, row.message) for row in rows)
