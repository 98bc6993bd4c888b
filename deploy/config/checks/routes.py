"""Faults of routes and named chains: their names, what they select, their steps, and where they lead."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deploy.config.checks.model_faults import expression_faults, names_in, setting_name, unknown_names
from deploy.config.compiling.own_steps import STEPS_SECTION, own_steps
from deploy.config.compiling.routes import UnreadableFile, with_files
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from deploy.config.models.route import as_steps
from functions.transform.families import StepClasses, step_class
from functions.transform.program import StepFault, read_chain, read_chains, unknown_chains
from functions.transform.step import NamedStep
from shared.jsontext import Json, JsonObject


def route_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    steps = _read_chains(file, document)
    yield from steps.faults
    routes = document.get("routes", [])
    sources, destinations = names_in(document, "sources"), names_in(document, "destinations")
    seen: set[str] = set()
    for number, route in enumerate(routes if isinstance(routes, list) else []):
        if not isinstance(route, dict):
            continue
        at: DocumentPath = ("routes", number)
        if isinstance(name := route.get("name"), str):
            if name in seen:
                yield Fault(file.line((*at, "name")), setting_name(file, at), "another route has this name")
            seen.add(name)
        yield from unknown_names(file, (*at, "from"), route.get("from"), [*sources, "all"], "source")
        yield from unknown_names(file, (*at, "to"), route.get("to"), destinations, "destination")
        yield from expression_faults(file, (*at, "where"), route.get("where"))
        yield from _step_faults(steps, (*at, "steps"), route.get("steps", []))


@dataclass(frozen=True, slots=True)
class _Chains:
    """The named chains, the operator's own steps, and the faults in both."""

    file: ConfigFile
    own: StepClasses
    chains: dict[str, tuple[NamedStep, ...]]
    faults: list[Fault]
    has_broken_file: bool

    def may_be_own(self, fault: StepFault) -> bool:
        """Return whether nothing defines the step: it may be in the file that does not load, a fault of its own."""
        return self.has_broken_file and _is_unknown(fault, self.own)


def _is_unknown(fault: StepFault, own: StepClasses) -> bool:
    return fault.name is not None and fault.name not in own and step_class(fault.name) is None


def _read_chains(file: ConfigFile, document: JsonObject) -> _Chains:
    own, faults = own_steps(file, document.get(STEPS_SECTION))
    has_broken_file = bool(faults)
    written = document.get("chains")
    filled: dict[str, Json] = {}
    reported = set[tuple[str, int | None]]()
    for name, steps in written.items() if isinstance(written, dict) else ():
        filled[name], unreadable = _with_files(file, steps, own)
        faults += _faults_at(file, ("chains", name), unreadable)
        reported |= {(name, fault.number) for fault in unreadable}
    read = read_chains(filled, own)
    for name, fault in read.faults:
        if (name, fault.number) not in reported and not (has_broken_file and _is_unknown(fault, own)):
            faults += _faults_at(file, ("chains", name), [fault])
    return _Chains(file, own, dict(read.chains), faults, has_broken_file)


def _step_faults(chains: _Chains, path: DocumentPath, steps: Json) -> Iterator[Fault]:
    filled, faults = _with_files(chains.file, steps, chains.own)
    found, invalid = read_chain(filled, chains.own)
    unreadable = {fault.number for fault in faults}
    faults += [fault for fault in invalid if fault.number not in unreadable and not chains.may_be_own(fault)]
    yield from _faults_at(chains.file, path, [*faults, *unknown_chains(found, chains.chains)])


def _faults_at(file: ConfigFile, path: DocumentPath, faults: Iterable[StepFault]) -> Iterator[Fault]:
    for fault in faults:
        at = path if fault.number is None else (*path, fault.number - 1)
        yield Fault(file.line(at), setting_name(file, path[:2]), str(fault))


def _with_files(file: ConfigFile, written: Json, own: StepClasses) -> tuple[Json, list[StepFault]]:
    """Return the steps with the content of their files, and a fault for each step whose file cannot be read."""
    steps = as_steps(written)
    if not isinstance(steps, list):
        return written, []
    filled = list(steps)
    faults: list[StepFault] = []
    for position, step in enumerate(steps):
        if not isinstance(step, dict):
            continue
        try:
            filled[position] = {name: with_files(each, name, file.folder, own) for name, each in step.items()}
        except UnreadableFile as fault:
            faults.append(StepFault(position + 1, None, str(fault)))
    return filled, faults
