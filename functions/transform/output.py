"""Verification of what a step returns: events and JSON, no larger, deeper or more numerous than these limits.

An operator's own step can return anything.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from functions.transform.step import Many, NamedStep, Noted, StepResult, Stop, Switch, Through
from shared.errors import Permanent
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.jsontext import Json, from_json, texts_json
from shared.limits import DEFAULT
from shared.writers.writing import MAX_OUTPUT_CHARACTERS

MAX_EVENTS: Final = 1_000
MAX_ALL_EVENTS_CHARACTERS: Final = 16 * MAX_OUTPUT_CHARACTERS
"""The characters of all events that one event becomes. Data that they share counts once for each event."""
MAX_OUTPUT_DEPTH: Final = 200
MOST_COUNTED: Final = 2
"""The most characters that count_characters counts for each byte of the data's JSON text."""
_ABSENT: Final = object()
_TOO_LARGE: Final[int] = 10**DEFAULT.max_number_digits


def verify_events(events: int, characters: int = 0) -> None:
    """Verify the number and the total characters of the events that one event becomes. Raises Permanent."""
    if events > MAX_EVENTS:
        raise Permanent("output_too_large", f"it makes more than {MAX_EVENTS} events of one")
    if characters > MAX_ALL_EVENTS_CHARACTERS:
        raise Permanent(
            "output_too_large",
            f"the events that it makes are larger together than {MAX_ALL_EVENTS_CHARACTERS} characters",
        )


def count_characters(data: Json) -> int:
    """Return the number of characters of the data as JSON. Raises Permanent (`output_too_large`) at the limit.

    Computed values can hold each other so often that the JSON could never be written. So it is counted, level by
    level, before anything is written. A value counts its text, and two characters for itself and a comma.
    """
    return _verify_level([[data]], MAX_OUTPUT_DEPTH + 1)


def _verify_level(level: list[Json], depth: int) -> int:
    """Return the number of characters in these containers. Raises Permanent at a limit, and below that depth.

    It runs for every value after every step, so it is one loop, and the checks for exact types come first.
    """
    room = MAX_OUTPUT_CHARACTERS
    for _ in range(depth):
        below: list[Json] = []
        for container in level:
            values: Iterable[Json]
            if isinstance(container, dict):
                # Raises TypeError for a key that is not text.
                keys = "".join(container)
                if not keys.isascii():
                    _verify_text(keys)
                room -= len(keys) + 2 * len(container)
                values = container.values()
            else:
                assert isinstance(container, list)
                room -= 2 * len(container)
                values = container
            for value in values:
                kind = type(value)
                if kind is str:
                    assert isinstance(value, str)
                    if not value.isascii():
                        _verify_text(value)
                    room -= len(value)
                elif kind is dict or kind is list:
                    below.append(value)
                elif value is not None and kind is not bool:
                    room -= _number_characters(value)
            if room < 0:
                raise Permanent("output_too_large", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")
        if not below:
            return MAX_OUTPUT_CHARACTERS - room
        level = below
    raise Permanent("output_too_large", f"its output is nested deeper than {MAX_OUTPUT_DEPTH}")


def _verify_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        rule = "its output holds half a surrogate pair, which is no character"
        raise Permanent("invalid_output", rule) from None


def verify_change(data: Json, before: Json, characters: int) -> int:
    """Return an upper bound of the characters in data that was made of `before`. `characters` is the number of
    characters of `before`.

    Values that `before` has under the same key are part of its characters, and were verified with it. So only the other
    values are looked at, if they cannot lead to a limit. Raises Permanent as count_characters does.
    """
    if isinstance(data, dict) and isinstance(before, dict):
        changed = {key: value for key, value in data.items() if before.get(key, _ABSENT) is not value}
        try:
            characters += _verify_level([changed], MAX_OUTPUT_DEPTH)
        except Permanent:
            characters = MAX_OUTPUT_CHARACTERS + 1
        if characters <= MAX_OUTPUT_CHARACTERS:
            return characters
    return count_characters(data)


def _number_characters(value: Json) -> int:
    if type(value) is float:
        if not math.isfinite(value):
            raise Permanent("invalid_output", "its output holds a number that JSON lacks (infinity, or not a number)")
        return 0
    if not isinstance(value, int):
        raise Permanent("invalid_output", f"its output holds what JSON lacks: {type(value).__name__}")
    if abs(value) >= _TOO_LARGE:  # a sum can be, and could never be written
        raise Permanent(
            "invalid_output", f"its output holds an integer of more than {DEFAULT.max_number_digits} digits"
        )
    return value.bit_length() // 4


@dataclass(slots=True)
class ResultVerifier:
    """The verifier of all results in one event's run through a chain.

    To count the characters of an event takes long. So the verifier remembers the count of the last event. For an event
    that was made from it, only the change is counted.

    chain_names          the chains that a step may lead to
    measured_event       the event that was verified last, or the one that entered the chain
    measured_characters  an upper bound of the characters in its data; None if none is known
    event_count          how many events the one event has become
    split_characters     the characters in the data of all events that came of splitting
    """

    chain_names: Collection[str]
    measured_event: Event
    measured_characters: int | None
    event_count: int = 1
    split_characters: int = 0

    def verify(self, result: StepResult, before: Event, step: NamedStep) -> StepResult:
        """Return the result of a step that took the event `before`. The events of Many get ids of their own.

        Raises Permanent for what a step must not return.
        """
        if isinstance(result, Event):
            if result is not before:
                self._verify_event(result, before, step)
        elif isinstance(result, Noted):
            self._verify_event(result.event, before, step)
        elif isinstance(result, Switch | Through):
            self._verify_event(result.event, before, step)
            if result.chain not in step.step.chains() or result.chain not in self.chain_names:
                raise Permanent("invalid_chain", "it leads to a chain that its `chains` method does not return")
        elif isinstance(result, Many):
            return self._verify_and_number(result, before, step)
        elif not isinstance(result, Stop):
            raise Permanent("step_failed", f"it returned {type(result).__name__}, not an event")
        return result

    def _verify_event(self, event: Event, before: Event, step: NamedStep) -> None:
        """Verify an event that takes the place of `before`, and remember its size for the next step."""
        _verify_identity(event, before, step)
        characters = self.measured_characters if self.measured_event is before else None
        if event.data is not before.data and not step.only_removes:
            if characters is None:
                characters = count_characters(event.data)
            else:
                characters = verify_change(event.data, before.data, characters)
        self.measured_event = event
        self.measured_characters = characters

    def _verify_and_number(self, result: Many, before: Event, step: NamedStep) -> Many | Stop:
        """Return the events with the ids `<id>-1`, `<id>-2` …; Stop if there are none.

        Each event is counted whole, because data that they share is written once for each.
        """
        if not result.events:
            return Stop("the list is empty, so there is nothing to make events of")
        self.event_count += len(result.events) - 1
        verify_events(self.event_count)
        for event in result.events:
            _verify_identity(event, before, step)
            if event.data is not before.data and not step.only_removes:
                self.split_characters += count_characters(event.data)
            verify_events(self.event_count, self.split_characters)
        events = tuple(replace(event, id=f"{before.id}-{n}") for n, event in enumerate(result.events, 1))
        return Many(events, result.note)


def _verify_identity(event: Event, before: Event, step: NamedStep) -> None:
    """Verify that it is an event, and the same one. Raises Permanent."""
    if not isinstance(event, Event):
        raise Permanent("step_failed", f"it returned {type(event).__name__}, not an event")
    if event.id != before.id:
        raise Permanent("step_failed", "it changed the event's id")
    if step.is_own:
        _verify_attributes(event)


def _verify_attributes(event: Event) -> None:
    """Verify that the event's attributes can be written and read again. Raises Permanent (`invalid_output`)."""
    try:
        from_cloudevent(from_json(texts_json(to_cloudevent(replace(event, data=None)))))
    except Permanent as error:
        raise Permanent("invalid_output", f"it returned an event that cannot be read: {error.detail}") from error
    except (TypeError, ValueError) as error:  # half a surrogate pair, too
        reason = "it returned an event with an attribute that JSON cannot hold"
        raise Permanent("invalid_output", reason) from error
