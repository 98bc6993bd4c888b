"""What became of an event in a chain, step by step: for those who ask, and at no cost where nobody does."""

from dataclasses import dataclass

from functions.transform.read_chains import NamedStep
from functions.transform.step import StepResult
from shared.errors import HookchainError
from shared.event import Event


@dataclass(frozen=True, slots=True)
class Taken:
    """One step, taken by one event: what it was given, and what it answered, or why it failed."""

    step: NamedStep
    before: Event
    result: StepResult | HookchainError


Trail = list[Taken]
