"""The classes of steps by name: the built-in ones in functions/transform/steps/, and an operator's own.

The modules of that folder are families of steps. A process imports only the families that its configuration names. An
operator's own steps are Python files, carried as text in the slice. The operator is trusted: their code runs as the
built-in steps do.
"""

import importlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

from functions.transform import steps as step_families
from functions.transform.step import Settings, Step, step_name
from shared.own_modules import OwnModuleFault, own_module

StepClasses: TypeAlias = Mapping[str, type[Step]]
"""Steps by the name that a configuration has for them."""
NO_OWN_STEPS: Final[StepClasses] = {}
_CLASS: Final = re.compile(r"^class ([A-Za-z]\w*)\b", re.MULTILINE)


def step_class(name: str) -> type[Step] | None:
    """Return the built-in step of this name; None if there is none. Imports its family alone."""
    for family in _families_by_class().get(name, ()):
        if step := steps_of(_family(family), Settings).get(name):
            return step
    return None


def step_classes() -> StepClasses:
    """Return all built-in steps by name, in the order of their names. Imports every family."""
    classes: dict[str, type[Step]] = {}
    for _, steps in families():
        classes |= steps
    return dict(sorted(classes.items()))


def families() -> list[tuple[str, StepClasses]]:
    """Return the first line of each family's docstring, and its steps. Imports every family."""
    modules = [_family(path.stem) for path in _family_files()]
    return [
        ((module.__doc__ or module.__name__).strip().splitlines()[0], steps_of(module, Settings)) for module in modules
    ]


@cache
def steps_of(module: ModuleType, base: type) -> StepClasses:
    """Return the steps that the module defines; their settings have this base."""
    return {
        each.step_name(): each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Step)
        and issubclass(each, base)
        and each.__module__ == module.__name__
    }


def _family(name: str) -> ModuleType:
    return importlib.import_module(f"{step_families.__name__}.{name}")


@cache
def _families_by_class() -> Mapping[str, list[str]]:
    """Return the families that may have each step, by the names of the classes in their text: nothing is imported."""
    by_class: dict[str, list[str]] = {}
    for path in _family_files():
        for name in _CLASS.findall(path.read_text(encoding="utf-8")):
            by_class.setdefault(step_name(name), []).append(path.stem)
    return by_class


def _family_files() -> list[Path]:
    paths = [path for folder in step_families.__path__ for path in Path(folder).glob("*.py")]
    return sorted(path for path in paths if path.stem != "__init__")


def load_own_steps(sources: Mapping[str, str]) -> StepClasses:
    """Return the steps in the files; `sources` maps each file's name to its text. Raises OwnModuleFault."""
    if not sources:
        return NO_OWN_STEPS
    from pydantic import BaseModel  # slow to import

    models: dict[str, type[Step]] = {}
    for file, source in sources.items():
        steps_in_file = steps_of(own_module(file, source), BaseModel)
        if not steps_in_file:
            raise OwnModuleFault(f"{file}: no class in it is both a pydantic model and a Step")
        for name, model in steps_in_file.items():
            if missing := [each for each in ("summary", "example") if not hasattr(model, each)]:
                raise OwnModuleFault(f"{file}: the step {name!r} has no `{missing[0]}: ClassVar[…]`")
            if lacking := sorted(getattr(model, "__abstractmethods__", ())):
                raise OwnModuleFault(f"{file}: the step {name!r} has no `def {lacking[0]}(self, …)`")
            if name in models or step_class(name):
                raise OwnModuleFault(f"{file}: there is another step {name!r}; give its class another name")
            models[name] = model
    return models
