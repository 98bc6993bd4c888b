"""The registry of built-in steps: a family is a module of `functions.transform.steps`, imported when it is used.

The module of a step is found in the text of the modules, so that a process imports only what its configuration names.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

from functions.transform import steps
from functions.transform.step import Settings, Step, step_name
from shared.own_modules import OwnModuleFault, own_module

StepClasses: TypeAlias = Mapping[str, type[Step]]

_CLASS: Final = re.compile(r"^class ([A-Za-z]\w*)\b", re.MULTILINE)


def step_class(name: str) -> type[Step] | None:
    for family in _families_by_class().get(name, ()):
        if found := steps_of(_family(family), Settings).get(name):
            return found
    return None


def step_classes() -> StepClasses:
    """Return all steps by name, in the order of their names. Imports every family."""
    found: dict[str, type[Step]] = {}
    for family in family_names():
        found |= steps_of(_family(family), Settings)
    return dict(sorted(found.items()))


def family_names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(steps.__path__)]


@cache
def steps_of(module: ModuleType, base: type) -> StepClasses:
    """Return the steps that the module defines; their settings have this base."""
    return {
        found.step_name(): found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Step)
        and issubclass(found, base)
        and found.__module__ == module.__name__
    }


def _family(name: str) -> ModuleType:
    return importlib.import_module(f"{steps.__name__}.{name}")


@cache
def _families_by_class() -> Mapping[str, list[str]]:
    """Return the families that may have each step, by the names of their classes; importing shows whether they do."""
    found: dict[str, list[str]] = {}
    for path in _family_files():
        for name in _CLASS.findall(path.read_text(encoding="utf-8")):
            found.setdefault(step_name(name), []).append(path.stem)
    return found


def _family_files() -> Iterator[Path]:
    for folder in steps.__path__:
        yield from sorted(path for path in Path(folder).glob("*.py") if path.stem != "__init__")


def families() -> list[tuple[str, StepClasses]]:
    """Return the first line of each family's docstring, and its steps. Imports every family."""
    modules = [_family(name) for name in family_names()]
    return [
        ((module.__doc__ or module.__name__).strip().splitlines()[0], steps_of(module, Settings)) for module in modules
    ]


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
