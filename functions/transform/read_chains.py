"""Chains of steps, read from the configuration: `[{name: settings}, …]`, and the named ones of `chains`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from functions.transform.families import StepModels, step_model, step_models
from functions.transform.step import MAX_STEPS, NamedStep, Step
from shared.config.values import fault_text
from shared.did_you_mean import did_you_mean, nearest
from shared.expressions import kind_of
from shared.jsontext import Json
from shared.own_modules import place_in_own_module

NO_OWN_STEPS: Final[StepModels] = {}
_ALONE: Final = re.compile(r"^\[0\](: |\.)")


@dataclass(frozen=True, slots=True)
class StepFault:
    """A fault in the settings of a step; `number` and `name` are None for a fault of the chain as a whole."""

    number: int | None
    name: str | None
    reason: str

    def __str__(self) -> str:
        place = f"step {self.number}" if self.number else "steps"
        return f"{place} {self.name!r}: {self.reason}" if self.name else f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ChainsRead:
    """The named chains, and their faults by the chain's name, in the order of the file."""

    chains: Mapping[str, tuple[NamedStep, ...]]
    faults: Sequence[tuple[str, StepFault]]


def read_chain(
    raw: Json, own: StepModels = NO_OWN_STEPS, chain: str | None = None
) -> tuple[list[NamedStep], list[StepFault]]:
    """Return the steps and all their faults. `own` are the operator's steps; `chain` is the name of a named chain."""
    if raw is None:
        return [], []
    if not isinstance(raw, list):
        return [], [StepFault(None, None, f"a chain is a list of steps; found {kind_of(raw)}")]
    found: list[NamedStep] = []
    faults: list[StepFault] = []
    if len(raw) > MAX_STEPS:
        faults.append(StepFault(None, None, f"a chain has at most {MAX_STEPS} steps; this one has {len(raw)}"))
    for number, entry in enumerate(raw, 1):
        named = _read_step(number, entry, own, chain)
        if isinstance(named, NamedStep):
            found.append(named)
        else:
            faults.extend(named)
    return found, faults


def _read_step(number: int, entry: Json, own: StepModels, chain: str | None) -> NamedStep | list[StepFault]:
    if not isinstance(entry, dict) or len(entry) != 1:
        return [StepFault(number, None, "a step is one name with its settings, such as `drop: [data.password]`")]
    [(name, settings)] = entry.items()
    model = own.get(name) or step_model(name)
    if model is None:
        hint = did_you_mean(name, {*step_models(), *own})
        return [StepFault(number, name, f"there is no such step{hint}")]
    try:
        step = model.model_validate(settings)
    except ValidationError as error:
        return [StepFault(number, name, reason) for reason in _setting_faults(error, model, settings)]
    except Exception as error:
        if name not in own:
            raise
        # The operator's own code may fail on its settings in any way.
        return [StepFault(number, name, f"its code fails on these settings: {place_in_own_module(error)}")]
    assert isinstance(step, Step)
    return NamedStep(number, name, step, chain, name in own)


def read_chains(raw: Json, own: StepModels) -> ChainsRead:
    chains: dict[str, tuple[NamedStep, ...]] = {}
    faults: list[tuple[str, StepFault]] = []
    for name, written in raw.items() if isinstance(raw, dict) else ():
        found, step_faults = read_chain(written, own, name)
        chains[name] = tuple(found)
        faults += [(name, fault) for fault in step_faults]
    for name, steps in chains.items():
        faults += [(name, fault) for fault in unknown_chains(steps, chains)]
        faults += [(name, fault) for fault in _cycle(name, chains)]
    return ChainsRead(chains, faults)


def unknown_chains(steps: Sequence[NamedStep], chains: Mapping[str, object]) -> Iterator[StepFault]:
    """Yield a fault for each step that leads to a chain that is not configured."""
    for named in steps:
        for name in named.step.chains():
            if name not in chains:
                hint = did_you_mean(name, chains) or "; `chains` names none"
                yield StepFault(named.number, named.name, f"there is no chain {name!r}{hint}")


def _cycle(name: str, chains: Mapping[str, tuple[NamedStep, ...]]) -> Iterator[StepFault]:
    """Yield a fault for each step of the chain from which events can come back to it."""
    for named in chains[name]:
        for first in named.step.chains():
            if path := _path_to(name, [first], chains, set()):
                yield StepFault(named.number, named.name, f"a chain cannot lead to itself: {' → '.join([name, *path])}")


def _path_to(
    target: str, path: list[str], chains: Mapping[str, tuple[NamedStep, ...]], seen: set[str]
) -> list[str] | None:
    last = path[-1]
    if last == target:
        return path
    if last in seen:
        return None
    seen.add(last)
    for named in chains.get(last, ()):
        for following in named.step.chains():
            if found := _path_to(target, [*path, following], chains, seen):
                return found
    return None


def _setting_faults(error: ValidationError, model: type[BaseModel], settings: Json) -> list[str]:
    """Return what pydantic found, in an operator's terms.

    A single value that the model takes for a list of one has no position, since the operator wrote none.
    """
    faults = [_setting_fault(detail, model) for detail in error.errors(include_url=False)]
    return faults if isinstance(settings, list) else [_ALONE.sub("", fault) for fault in faults]


def _setting_fault(detail: ErrorDetails, model: type[BaseModel]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _written(detail["loc"]))[:200]
    place = place.removeprefix(".")
    reason = _reason(detail, model)
    return f"{place}: {reason}" if place else reason


def _reason(detail: ErrorDetails, model: type[BaseModel]) -> str:
    if detail["type"] == "union_tag_invalid":
        return f"there is no scheme {detail['ctx']['tag']!r}; there are: {detail['ctx']['expected_tags']}"
    if detail["type"] == "union_tag_not_found":
        return "has no `scheme`"
    if detail["type"] == "literal_error":
        expected, found = str(detail["ctx"]["expected"]), detail["input"]
        near = nearest(found, re.findall(r"'([^']*)'", expected)) if isinstance(found, str) else None
        return f"must be {expected}" + (f"; did you mean {near!r}?" if near else "")
    if detail["type"] != "extra_forbidden":
        return fault_text(detail)
    return f"there is no such setting{did_you_mean(str(detail['loc'][-1]), _keys(model))}"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of the model, or of the model that a short form stands for."""
    root = model.model_fields.get("root")
    inner = root.annotation if root else None
    fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else model.model_fields
    yield from (field.alias or name for name, field in fields.items() if name != "root")


def _written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the location without the names that pydantic gives to its own parts."""
    own = ("function-", "tagged-union", "[key]")
    return tuple(part for part in location if isinstance(part, int) or not part.startswith(own))
