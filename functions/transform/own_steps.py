"""The operator's own steps: Python files that the configuration names, carried as text in transform's slice.

The operator is trusted: the code runs as the built-in steps do.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from functions.transform.families import StepClasses, step_class, steps_of
from functions.transform.step import Many, Noted, Step, StepResult, Switch, Through
from shared.errors import Permanent
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.jsontext import Json, from_json, texts_json, to_json
from shared.own_modules import OwnModuleFault, own_module, place_in_own_module
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime


def load_own_steps(sources: Mapping[str, str]) -> StepClasses:
    """Return the steps in the files; `sources` maps each file's name to its text. Raises OwnModuleFault."""
    found: dict[str, StepClasses] = {}
    models = dict[str, type[Step]]()
    if sources:
        from pydantic import BaseModel
    for file, source in sources.items():
        found[file] = steps_of(own_module(file, source), BaseModel)
        if not found[file]:
            raise OwnModuleFault(f"{file}: no class in it is both a pydantic model and a Step")
        for name, model in found[file].items():
            if missing := [each for each in ("summary", "example") if not hasattr(model, each)]:
                raise OwnModuleFault(f"{file}: the step {name!r} has no `{missing[0]}: ClassVar[…]`")
            if lacking := sorted(getattr(model, "__abstractmethods__", ())):
                raise OwnModuleFault(f"{file}: the step {name!r} has no `def {lacking[0]}(self, …)`")
            if name in models or step_class(name):
                raise OwnModuleFault(f"{file}: there is another step {name!r}; give its class another name")
            models[name] = model
    return models


def step_fault(error: BaseException) -> Permanent:
    """Return the Permanent for any other exception of a step. An operator's own step can raise anything."""
    if isinstance(error, OutOfTime):
        return Permanent("time_limit_exceeded", f"it computed for more than {MAX_COMPUTING_SECONDS:g} s")
    return Permanent("step_failed", place_in_own_module(error))


def copy_event(event: Event) -> Event:
    """Return the event with a deep copy of its data, for code that may write into it."""
    return replace(event, data=_copy(event.data))


def verify_attributes(event: Event) -> None:
    """Verify that the event's attributes can be written and read again. Raises Permanent (`invalid_output`)."""
    try:
        from_cloudevent(from_json(texts_json(to_cloudevent(replace(event, data=None)))))
    except Permanent as error:
        raise Permanent("invalid_output", f"it returned an event that cannot be read: {error.detail}") from error
    except (TypeError, ValueError) as error:  # half a surrogate pair, too
        reason = "it returned an event with an attribute that JSON cannot hold"
        raise Permanent("invalid_output", reason) from error


def without_copy(result: StepResult, copy: Event, before: Event) -> StepResult:
    """Return the result of a step that was given `copy` in place of `before`.

    Data that the step left as it was is that of `before` again. Data that it wrote into is new data, so the event no
    longer has the body as it was received.
    """

    def restored(event: Event) -> Event:
        if event.data is not copy.data:
            return event
        data = before.data if to_json(event.data) == to_json(before.data) else event.data
        return replace(event, data=before.data).with_data(data, event.datatype)

    return _with_each_event(result, restored)


def _with_each_event(result: StepResult, change: Callable[[Event], Event]) -> StepResult:
    if isinstance(result, Event):
        return change(result)
    if isinstance(result, Many):
        return Many(tuple(change(event) for event in result.events))
    if isinstance(result, Noted | Switch | Through):
        return replace(result, event=change(result.event))
    return result


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
