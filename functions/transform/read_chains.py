"""A chain of steps, read from its configuration: `[{name: settings}, …]`."""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from functions.transform.expressions import kind_of
from functions.transform.families import StepModels, step_model, step_models
from functions.transform.own_steps import place_in_own_step
from functions.transform.setting_faults import setting_faults
from functions.transform.step import Step
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json

MAX_STEPS: Final = 32
NO_OWN_STEPS: Final[StepModels] = {}


@dataclass(frozen=True, slots=True)
class NamedStep:
    """`number` counts from 1 in its chain, which is a route's own where it has no name. `is_own`: the operator's."""

    number: int
    name: str
    step: Step
    chain: str | None = None
    is_own: bool = False

    @property
    def label(self) -> str:
        return f"{f'chain {self.chain!r} ' if self.chain else ''}step {self.number} {self.name!r}"


@dataclass(frozen=True, slots=True)
class StepFault:
    """`number` is None where the chain as a whole is at fault."""

    number: int | None
    name: str | None
    reason: str

    def __str__(self) -> str:
        where = f"step {self.number}" if self.number else "steps"
        return f"{where} {self.name!r}: {self.reason}" if self.name else f"{where}: {self.reason}"


def read_chain(
    raw: Json, own: StepModels = NO_OWN_STEPS, chain: str | None = None
) -> tuple[list[NamedStep], list[StepFault]]:
    """The steps, and every fault in them. `own` are the operator's; `chain` is its name where it has one."""
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
        return [StepFault(number, name, _unknown(name, own))]
    try:
        step = model.model_validate(settings)
    except ValidationError as error:
        return [StepFault(number, name, reason) for reason in setting_faults(error, model, settings)]
    except Exception as error:
        if name not in own:
            raise
        # What the operator's own code does with its settings is its own matter, and may be wrong in any way.
        return [StepFault(number, name, f"its code fails on these settings: {place_in_own_step(error)}")]
    assert isinstance(step, Step)
    return NamedStep(number, name, step, chain, name in own)


def _unknown(name: str, own: StepModels) -> str:
    return f"there is no such step{did_you_mean(name, {*step_models(), *own})}"
