"""An event lent to an operator's own step, whose code may write into what it is given.

Each route has the same event, and so has what tells afterwards what a step did: so such a step gets a copy.
"""

from collections.abc import Callable
from dataclasses import replace

from functions.transform.step import Many, Noted, StepResult, Switch, Through
from shared.event import Event
from shared.jsontext import Json, to_json


def lent(event: Event) -> Event:
    return replace(event, data=_copied(event.data))


def taken_back(result: StepResult, given: Event, before: Event) -> StepResult:
    """The step's answer, verified. What it wrote into the data `given` makes other data: the body as it came goes."""

    def back(event: Event) -> Event:
        if event.data is not given.data:
            return event
        data = before.data if to_json(event.data) == to_json(before.data) else event.data
        return replace(event, data=before.data).with_data(data, event.datatype)

    return _with_each_event(result, back)


def _with_each_event(result: StepResult, changed: Callable[[Event], Event]) -> StepResult:
    if isinstance(result, Event):
        return changed(result)
    if isinstance(result, Many):
        return Many(tuple(changed(event) for event in result.events))
    if isinstance(result, Noted | Switch | Through):
        return replace(result, event=changed(result.event))
    return result


def _copied(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
