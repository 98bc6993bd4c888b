"""The steps there are, found in the package `functions.transform.steps`; and a chain read from its configuration."""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from pydantic import BaseModel, ValidationError

from functions.transform import steps
from functions.transform.step import Step
from shared.expressions import kind_of
from shared.jsontext import Json

MAX_STEPS: Final = 32


@dataclass(frozen=True, slots=True)
class NamedStep:
    """`number` counts from 1 in its chain."""

    number: int
    name: str
    step: Step


@dataclass(frozen=True, slots=True)
class StepFault:
    """`number` is None where the chain as a whole is at fault."""

    number: int | None
    name: str | None
    reason: str

    def __str__(self) -> str:
        where = f"step {self.number}" if self.number else "steps"
        return f"{where} {self.name!r}: {self.reason}" if self.name else f"{where}: {self.reason}"


@cache
def step_models() -> Mapping[str, type[BaseModel]]:
    """Every step by its name, in the order of their names."""
    found: dict[str, type[BaseModel]] = {}
    for module in pkgutil.iter_modules(steps.__path__):
        family = importlib.import_module(f"{steps.__name__}.{module.name}")
        for model in vars(family).values():
            if _is_step_of(family.__name__, model):
                found[model.step_name()] = model
    return dict(sorted(found.items()))


def _is_step_of(family: str, model: object) -> bool:
    return (
        isinstance(model, type)
        and issubclass(model, Step)
        and issubclass(model, BaseModel)
        and model.__module__ == family
    )


def read_chain(raw: Json) -> tuple[list[NamedStep], list[StepFault]]:
    """The steps of a route as the configuration has them, `[{name: settings}]`, and every fault in them."""
    if raw is None:
        return [], []
    if not isinstance(raw, list):
        return [], [StepFault(None, None, f"a chain is a list of steps; found {kind_of(raw)}")]
    found: list[NamedStep] = []
    faults: list[StepFault] = []
    if len(raw) > MAX_STEPS:
        faults.append(StepFault(None, None, f"a chain has at most {MAX_STEPS} steps; this one has {len(raw)}"))
    for number, entry in enumerate(raw, 1):
        named = _read_step(number, entry)
        if isinstance(named, NamedStep):
            found.append(named)
        else:
            faults.extend(named)
    return found, faults


def _read_step(number: int, entry: Json) -> NamedStep | list[StepFault]:
    if not isinstance(entry, dict) or len(entry) != 1:
        return [StepFault(number, None, "a step is one name with its settings, such as `drop: [data.password]`")]
    [(name, settings)] = entry.items()
    model = step_models().get(name)
    if model is None:
        return [StepFault(number, name, _unknown(name))]
    try:
        step = model.model_validate(settings)
    except ValidationError as error:
        return [StepFault(number, name, reason) for reason in _reasons(error)]
    assert isinstance(step, Step)
    return NamedStep(number, name, step)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, step_models(), n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(step_models())}"
    return f"there is no such step; {meant}"


def _reasons(error: ValidationError) -> list[str]:
    reasons = []
    for detail in error.errors(include_url=False, include_input=False):
        place = ".".join(f"[{part}]" if isinstance(part, int) else part for part in detail["loc"])
        reason = detail["msg"].removeprefix("Value error, ")
        reasons.append(f"{place}: {reason}" if place else reason)
    return reasons
