"""Steps of the operator's own: Python files that the configuration names, carried as text in transform's slice.

The operator is trusted: the code runs as ours does.
"""

import sys
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath
from types import ModuleType
from typing import Final

from functions.transform.families import StepModels, models_of, step_model
from shared.errors import place_of

PACKAGE: Final = "own_steps"


class OwnStepsFault(ValueError):
    """A file cannot be used. Its text has the line where there is one."""


def load_own_steps(sources: Mapping[str, str]) -> StepModels:
    """The steps in the files, whose names map to their text. Raises OwnStepsFault."""
    found: dict[str, StepModels] = {}
    models = dict[str, type]()
    for file, source in sources.items():
        found[file] = models_of(_module(file, source))
        if not found[file]:
            raise OwnStepsFault(f"{file}: no class in it is both a pydantic model and a Step")
        for name, model in found[file].items():
            if missing := [each for each in ("summary", "example") if not hasattr(model, each)]:
                raise OwnStepsFault(f"{file}: the step {name!r} has no `{missing[0]}: ClassVar[…]`")
            if lacking := sorted(getattr(model, "__abstractmethods__", ())):
                raise OwnStepsFault(f"{file}: the step {name!r} has no `def {lacking[0]}(self, …)`")
            if name in models or step_model(name):
                raise OwnStepsFault(f"{file}: there is another step {name!r}; give its class another name")
            models[name] = model
    return models


def place_in_own_step(error: BaseException) -> str:
    """Kind and place, as `place_of` has them, but the line of the operator's own file where one is on the way."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(f"{PACKAGE}."):
            place = f"{type(error).__name__} at {frame.f_code.co_filename}:{line}"
    return place or place_of(error)


@cache
def _module(file: str, source: str) -> ModuleType:
    """What is wrong with it is the operator's own code, so its words may be shown."""
    module = ModuleType(f"{PACKAGE}.{PurePosixPath(file).stem}")
    sys.modules[module.__name__] = module  # where pydantic looks up the names in a model's annotations
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 that is what the operator asks for
    except SyntaxError as error:
        raise OwnStepsFault(f"{file}: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a script's `sys.exit` would end us without a word
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        place = f"{file}: line {lines[-1]}" if lines else file
        said = str(error).partition("\n")[0]  # a fault is one line, whatever pydantic adds
        raise OwnStepsFault(f"{place}: {type(error).__name__}: {said}") from error
    return module
