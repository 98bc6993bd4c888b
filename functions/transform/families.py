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
from typing import TYPE_CHECKING, Final, TypeAlias

from functions.transform import steps
from functions.transform.step import Step, step_name

if TYPE_CHECKING:  # a configuration without steps does not need it
    from pydantic import BaseModel

StepModels: TypeAlias = "Mapping[str, type[BaseModel]]"

_CLASS: Final = re.compile(r"^class ([A-Za-z]\w*)\b", re.MULTILINE)


def step_model(name: str) -> "type[BaseModel] | None":
    for family in _families_by_class().get(name, ()):
        if model := models_of(_family(family)).get(name):
            return model
    return None


def step_models() -> StepModels:
    """Return all steps by name, in the order of their names. Imports every family."""
    found: dict[str, type[BaseModel]] = {}
    for family in family_names():
        found |= models_of(_family(family))
    return dict(sorted(found.items()))


def family_names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(steps.__path__)]


@cache
def models_of(module: ModuleType) -> StepModels:
    from pydantic import BaseModel

    return {
        model.step_name(): model
        for model in vars(module).values()
        if isinstance(model, type)
        and issubclass(model, Step)
        and issubclass(model, BaseModel)
        and model.__module__ == module.__name__
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


def families() -> list[tuple[str, StepModels]]:
    """Return the first line of each family's docstring, and its steps. Imports every family."""
    modules = [_family(name) for name in family_names()]
    return [((module.__doc__ or module.__name__).strip().splitlines()[0], models_of(module)) for module in modules]
