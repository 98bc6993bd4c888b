"""The configuration's named chains: reused by routes, switched to by steps, asked by other functions over HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from functions.transform.families import StepModels
from functions.transform.read_chains import NamedStep, StepFault, read_chain
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json


@dataclass(frozen=True, slots=True)
class ChainsRead:
    """`faults` by the chain's name, in the order of the file."""

    chains: Mapping[str, tuple[NamedStep, ...]]
    faults: Sequence[tuple[str, StepFault]]


def read_chains(raw: Json, own: StepModels) -> ChainsRead:
    chains: dict[str, tuple[NamedStep, ...]] = {}
    faults: list[tuple[str, StepFault]] = []
    for name, written in raw.items() if isinstance(raw, dict) else ():
        found, wrong = read_chain(written, own, name)
        chains[name] = tuple(found)
        faults += [(name, fault) for fault in wrong]
    for name, steps in chains.items():
        faults += [(name, fault) for fault in unknown_chains(steps, chains)]
        faults += [(name, fault) for fault in _cycle(name, chains)]
    return ChainsRead(chains, faults)


def unknown_chains(steps: Sequence[NamedStep], chains: Mapping[str, object]) -> Iterator[StepFault]:
    for named in steps:
        for name in named.step.chains():
            if name not in chains:
                hint = did_you_mean(name, chains) or "; `chains` names none"
                yield StepFault(named.number, named.name, f"there is no chain {name!r}{hint}")


def _cycle(name: str, chains: Mapping[str, tuple[NamedStep, ...]]) -> Iterator[StepFault]:
    """Told of each chain that can lead back to itself, by the step where that way begins."""
    for named in chains[name]:
        for first in named.step.chains():
            if way := _way_back([first], name, chains, set()):
                yield StepFault(named.number, named.name, f"a chain cannot lead to itself: {' → '.join([name, *way])}")


def _way_back(
    way: list[str], target: str, chains: Mapping[str, tuple[NamedStep, ...]], seen: set[str]
) -> list[str] | None:
    here = way[-1]
    if here == target:
        return way
    if here in seen:
        return None
    seen.add(here)
    for named in chains.get(here, ()):
        for following in named.step.chains():
            if found := _way_back([*way, following], target, chains, seen):
                return found
    return None
