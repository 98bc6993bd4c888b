"""The operator's own steps: Python files that the configuration names, carried as text in transform's slice.

The operator is trusted: the code runs as the built-in steps do.
"""

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath
from types import ModuleType
from typing import Final

from functions.transform.families import StepClasses, step_class, steps_of
from functions.transform.step import Many, Noted, Step, StepResult, Switch, Through
from shared.errors import place_of
from shared.event import Event
from shared.jsontext import Json, to_json

PACKAGE: Final = "own_steps"


class OwnStepsFault(ValueError):
    """A file of steps cannot be used. The text names the file, and the line if there is one."""


def load_own_steps(sources: Mapping[str, str]) -> StepClasses:
    """Return the steps in the files; `sources` maps each file's name to its text. Raises OwnStepsFault."""
    found: dict[str, StepClasses] = {}
    models = dict[str, type[Step]]()
    if sources:
        from pydantic import BaseModel
    for file, source in sources.items():
        found[file] = steps_of(_module(file, source), BaseModel)
        if not found[file]:
            raise OwnStepsFault(f"{file}: no class in it is both a pydantic model and a Step")
        for name, model in found[file].items():
            if missing := [each for each in ("summary", "example") if not hasattr(model, each)]:
                raise OwnStepsFault(f"{file}: the step {name!r} has no `{missing[0]}: ClassVar[…]`")
            if lacking := sorted(getattr(model, "__abstractmethods__", ())):
                raise OwnStepsFault(f"{file}: the step {name!r} has no `def {lacking[0]}(self, …)`")
            if name in models or step_class(name):
                raise OwnStepsFault(f"{file}: there is another step {name!r}; give its class another name")
            models[name] = model
    return models


def place_in_own_step(error: BaseException) -> str:
    """Return the error's type and line, as `place_of` does; a line in an operator's own file comes first."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(f"{PACKAGE}."):
            place = f"{type(error).__name__} at {frame.f_code.co_filename}:{line}"
    return place or place_of(error)


@cache
def _module(file: str, source: str) -> ModuleType:
    """Return the module that the text makes. The errors of the operator's own code are shown with their texts."""
    module = ModuleType(f"{PACKAGE}.{PurePosixPath(file).stem}")
    sys.modules[module.__name__] = module  # pydantic looks up the names in annotations there
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 the operator's code is meant to run
    except SyntaxError as error:
        raise OwnStepsFault(f"{file}: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a script's `sys.exit` would end this process without a message
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        place = f"{file}: line {lines[-1]}" if lines else file
        first_line = str(error).partition("\n")[0]  # pydantic adds lines
        raise OwnStepsFault(f"{place}: {type(error).__name__}: {first_line}") from error
    return module


def copy_event(event: Event) -> Event:
    """Return the event with a deep copy of its data, for code that may write into it."""
    return replace(event, data=_copy(event.data))


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
