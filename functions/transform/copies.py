"""Copies of events for an operator's own step, which may write into them. Other routes have the same event."""

from collections.abc import Callable
from dataclasses import replace

from functions.transform.step import Many, Noted, StepResult, Switch, Through
from shared.event import Event
from shared.jsontext import Json, to_json


def copy_event(event: Event) -> Event:
    """Return the event with a deep copy of its data, for code that may write into it."""
    return replace(event, data=_copy(event.data))


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def without_copy(result: StepResult, copy: Event, before: Event) -> StepResult:
    """Return the result of a step that was given `copy` in place of `before`.

    An event with the data of the copy gets the data of `before` again, unless the step wrote into the copy.
    """
    return _with_each_event(result, lambda event: _event_without_copy(event, copy, before))


def _event_without_copy(event: Event, copy: Event, before: Event) -> Event:
    if event.data is not copy.data:
        return event
    restored = replace(event, data=before.data)
    if to_json(copy.data) == to_json(before.data):
        return restored
    # The step wrote into the copy. The body as it was received does not say so, and `with_data` drops it.
    return restored.with_data(copy.data, event.datatype)


def _with_each_event(result: StepResult, change: Callable[[Event], Event]) -> StepResult:
    if isinstance(result, Event):
        return change(result)
    if isinstance(result, Many):
        return replace(result, events=tuple(change(event) for event in result.events))
    if isinstance(result, Noted | Switch | Through):
        return replace(result, event=change(result.event))
    return result
