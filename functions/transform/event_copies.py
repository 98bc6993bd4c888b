"""The copies of events that an operator's own steps get, because such a step may write into its event.

Other routes have the same event, so nothing may change it.
"""

from collections.abc import Callable
from dataclasses import replace

from functions.transform.step import Many, Noted, StepResult, Switch, Through
from shared.event import Event
from shared.jsontext import Json, to_json


def copy_event(event: Event) -> Event:
    """Return the event with a deep copy of its data."""
    return replace(event, data=_copy(event.data))


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def without_copy(result: StepResult, copy: Event, original: Event) -> StepResult:
    """Return the result of a step that was given `copy` in place of `original`.

    An event with the data of the copy gets the data of the original again, so that it counts as unchanged. If the step
    wrote into the copy, it keeps the data of the copy.
    """

    def restored(event: Event) -> Event:
        if event.data is not copy.data:
            return event
        unchanged = replace(event, data=original.data)
        if to_json(copy.data) == to_json(original.data):
            return unchanged
        # The received body does not have what the step wrote. `with_data` leaves it out.
        return unchanged.with_data(copy.data, event.datatype)

    return _with_each_event(result, restored)


def _with_each_event(result: StepResult, change: Callable[[Event], Event]) -> StepResult:
    if isinstance(result, Event):
        return change(result)
    if isinstance(result, Many):
        return replace(result, events=tuple(change(event) for event in result.events))
    if isinstance(result, Noted | Switch | Through):
        return replace(result, event=change(result.event))
    return result
