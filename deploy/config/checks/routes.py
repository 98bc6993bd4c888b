"""Checks of routes: their names, what they take, and where they lead."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deploy.config.checks.model_faults import place
from deploy.config.compiling.own_steps import SECTION, own_steps
from deploy.config.compiling.routes import UnreadableFile, with_files
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from deploy.config.models.configuration import as_steps
from functions.transform.expression_text import over_event
from functions.transform.families import StepModels
from functions.transform.named_chains import read_chains, unknown_chains
from functions.transform.registry import NamedStep, StepFault, read_chain
from shared.did_you_mean import did_you_mean
from shared.expressions import ExpressionFault
from shared.jsontext import Json, JsonObject


def route_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    checks = step_checks(file, document)
    yield from checks.faults
    routes = document.get("routes", [])
    sources, destinations = names_in(document, "sources"), names_in(document, "destinations")
    seen: set[str] = set()
    for number, route in enumerate(routes if isinstance(routes, list) else []):
        if not isinstance(route, dict):
            continue
        at: DocumentPath = ("routes", number)
        if isinstance(name := route.get("name"), str):
            if name in seen:
                yield Fault(file.line((*at, "name")), place(file, at), "another route has this name")
            seen.add(name)
        yield from _unknown_names(file, (*at, "from"), route.get("from"), [*sources, "all"], "source")
        yield from _unknown_names(file, (*at, "to"), route.get("to"), destinations, "destination")
        yield from _where_faults(file, (*at, "where"), route.get("where"))
        yield from checks.of_route((*at, "steps"), route.get("steps", []))


def _unknown_names(file: ConfigFile, path: DocumentPath, value: Json, known: list[str], word: str) -> Iterator[Fault]:
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str) and name not in known:
            rule = f"there is no {word} {name!r}{did_you_mean(name, known)}"
            yield Fault(file.line(path), place(file, path), rule)


def _where_faults(file: ConfigFile, path: DocumentPath, where: Json) -> Iterator[Fault]:
    if isinstance(where, str):
        try:
            over_event(where)
        except ExpressionFault as fault:
            yield Fault(file.line(path), place(file, path), str(fault))


def names_in(document: JsonObject, section: str) -> list[str]:
    found = document.get(section)
    return list(found) if isinstance(found, dict) else []


@dataclass(frozen=True, slots=True)
class StepChecks:
    """What a route's steps are checked against: the operator's own steps, and the named chains."""

    file: ConfigFile
    own: StepModels
    chains: dict[str, tuple[NamedStep, ...]]
    faults: list[Fault]

    def of_route(self, path: DocumentPath, steps: Json) -> Iterator[Fault]:
        filled, faults = _with_files(self.file, steps, self.own)
        found, wrong = read_chain(filled, self.own)
        told = {fault.number for fault in faults}
        faults += [fault for fault in wrong if fault.number not in told]
        yield from _at(self.file, path, [*faults, *unknown_chains(found, self.chains)])


def step_checks(file: ConfigFile, document: JsonObject) -> StepChecks:
    own, faults = own_steps(file, document.get(SECTION))
    written = document.get("chains")
    filled: dict[str, Json] = {}
    told = set[tuple[str, int | None]]()
    for name, steps in written.items() if isinstance(written, dict) else ():
        filled[name], unreadable = _with_files(file, steps, own)
        faults += _at(file, ("chains", name), unreadable)
        told |= {(name, fault.number) for fault in unreadable}
    read = read_chains(filled, own)
    for name, fault in read.faults:
        if (name, fault.number) not in told:
            faults += _at(file, ("chains", name), [fault])
    return StepChecks(file, own, dict(read.chains), faults)


def _at(file: ConfigFile, path: DocumentPath, faults: Iterable[StepFault]) -> Iterator[Fault]:
    for fault in faults:
        at = path if fault.number is None else (*path, fault.number - 1)
        yield Fault(file.line(at), place(file, path[:2]), str(fault))


def _with_files(file: ConfigFile, written: Json, own: StepModels) -> tuple[Json, list[StepFault]]:
    """A step whose file cannot be read stays as it is written."""
    steps = as_steps(written)
    if not isinstance(steps, list):
        return written, []
    filled = list(steps)
    faults: list[StepFault] = []
    for position, step in enumerate(steps):
        try:
            filled[position] = _with_file(file, step, own)
        except UnreadableFile as fault:
            faults.append(StepFault(position + 1, None, str(fault)))
    return filled, faults


def _with_file(file: ConfigFile, step: Json, own: StepModels) -> Json:
    if not isinstance(step, dict):
        return step
    return {name: with_files(settings, name, file.folder, own) for name, settings in step.items()}
