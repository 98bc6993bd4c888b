"""The sections `routes` and `chains`: which events go through which steps to which destinations.

The settings of steps have models of their own, in functions/transform/steps/.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, unreadable
from deploy.config.model_faults import expression_faults, setting_name, unknown_names
from deploy.config.sections.kinds import destination_kinds
from deploy.config.sections.own_files import STEP_FILES, own_steps
from functions.transform import program, verifying
from functions.transform.step import Settings, removals_of
from functions.transform.step_classes import NO_OWN_STEPS, StepClasses, load_own_steps, step_class
from shared.config import rules, values
from shared.jsontext import Json, JsonObject
from shared.waiting_route import RETRY_SECONDS


def as_steps(value: object) -> object:
    """Return the steps. The name of a chain is short for the step `chain`."""
    return [{"chain": value}] if isinstance(value, str) else value


StepConfig = values.VerbatimObject
StepsConfig = Annotated[list[StepConfig], BeforeValidator(as_steps)]


class RouteConfig(values.Model):
    """A route: which events go through which steps to which destinations.

    from      names of sources, or `all`
    types     patterns of event types; default: every type
    where     a JMESPath condition over the event
    else      take only events that no other route takes
    on_error  what happens to an event that a step can never process: `dead_letter` keeps it, `continue` passes it on as
              it was before the step, `drop` discards it with an entry in the journal
    to        names of destinations
    """

    name: str = Field(min_length=1, max_length=100)
    from_: Annotated[list[str], BeforeValidator(rules.listed)] = Field(default=["all"], alias="from", min_length=1)
    types: Annotated[list[str], BeforeValidator(rules.listed)] = Field(default=[], min_length=1)
    where: str | None = None
    else_: bool = Field(default=False, alias="else")
    enabled: bool = True
    on_error: Literal["dead_letter", "continue", "drop"] = "dead_letter"
    steps: StepsConfig = Field(default=[])
    to: Annotated[list[str], BeforeValidator(rules.listed), Field(min_length=1)]


def route_faults(file: ConfigFile) -> Iterator[Fault]:
    """Yield faults of routes and chains: their names, what they select, their steps, and where they lead."""
    seen: set[str] = set()
    for number, route in file.numbered_mappings("routes"):
        at: DocumentPath = ("routes", number)
        if isinstance(name := route.get("name"), str):
            if name in seen:
                yield Fault(file.line((*at, "name")), setting_name(file, at), "another route has this name")
            seen.add(name)
        yield from unknown_names(file, (*at, "from"), "source", [*file.mapping("sources"), "all"])
        yield from unknown_names(file, (*at, "to"), "destination")
        yield from expression_faults(file, (*at, "where"))
    own, own_faults = own_steps(file)
    yield from own_faults
    if not own_faults:  # otherwise an unknown step may be in the operator's file that does not load
        yield from _step_faults(file, own)


def _step_faults(file: ConfigFile, own: StepClasses) -> Iterator[Fault]:
    """Yield the faults of the steps in chains and routes."""
    filled_chains: dict[str, Json] = {}
    file_faults_of: dict[str, list[program.StepFault]] = {}
    for name, written in file.mapping("chains").items():
        filled_chains[name], file_faults_of[name] = _fill_steps(file, written, own)
    chains, chain_faults = program.read_chains(filled_chains, own)
    for name, file_faults in file_faults_of.items():
        other_faults = [fault for chain_name, fault in chain_faults if chain_name == name]
        yield from _faults_at(file, ("chains", name), _one_cause(file_faults, other_faults), own)
    for number, route in file.numbered_mappings("routes"):
        filled, file_faults = _fill_steps(file, route.get("steps", []), own)
        steps, other_faults = program.read_chain(filled, own)
        other_faults += program.unknown_chains(steps, chains)
        yield from _faults_at(file, ("routes", number, "steps"), _one_cause(file_faults, other_faults), own)


def _one_cause(file_faults: list[program.StepFault], other_faults: list[program.StepFault]) -> list[program.StepFault]:
    """Return the faults, without the others of a step whose file cannot be read: they may be due to this."""
    unread_steps = {fault.number for fault in file_faults}
    return file_faults + [fault for fault in other_faults if fault.number not in unread_steps]


def _faults_at(
    file: ConfigFile, path: DocumentPath, faults: Iterable[program.StepFault], own: StepClasses
) -> Iterator[Fault]:
    """Yield the faults of a chain's steps with their lines. `path` is that of the chain."""
    for fault in faults:
        text = str(fault)
        if _is_destination_kind(fault.name, own):
            rule = "is a kind of destination: write it under `destinations`, and name that in the route's `to`"
            text = str(program.StepFault(fault.number, fault.name, rule))
        at = path if fault.number is None else (*path, fault.number - 1)
        yield Fault(file.line(at), setting_name(file, path[:2]), text)


def _is_destination_kind(step_name: str | None, own: StepClasses) -> bool:
    """Return whether there is no such step, but a kind of destination has this name."""
    is_step = step_name is not None and (step_name in own or step_class(step_name) is not None)
    return step_name in destination_kinds() and not is_step


def _fill_steps(file: ConfigFile, written: Json, own: StepClasses) -> tuple[Json, list[program.StepFault]]:
    """Return the steps with the content of their files, and a fault for each step whose file cannot be read."""
    steps = as_steps(written)
    if not isinstance(steps, list):
        return written, []
    filled = list(steps)
    faults: list[program.StepFault] = []
    for position, step in enumerate(steps):
        if not isinstance(step, dict):
            continue
        try:
            filled[position] = {name: with_files(each, name, file.folder, own) for name, each in step.items()}
        except UnreadableFile as fault:
            faults.append(program.StepFault(position + 1, None, str(fault)))
    return filled, faults


def compiled_routes(file: ConfigFile, routes: Iterable[RouteConfig], chains: Mapping[str, StepsConfig]) -> JsonObject:
    """Return that part of transform's slice. The content of a file replaces its name."""
    sources = STEP_FILES.sources(file)
    own = load_own_steps(sources)
    compiled_chains: JsonObject = {name: _compiled_steps(steps, file, own) for name, steps in chains.items()}
    return {
        "routes": [_compiled_route(route, file, own) for route in routes],
        **({"chains": compiled_chains} if compiled_chains else {}),
        **({"own_steps": dict(sources)} if sources else {}),
    }


def compiled_for_notify(transform: JsonObject) -> JsonObject:
    """Return the part of notify's slice about routes. `transform` is the compiled slice.

    waiting_routes  the longest schedule of the steps that ask another system, in seconds, if any does
    removals        by route, the paths that its steps may remove, for faults about a missing field
    """
    routes = program.read_program(transform, is_compiled=True).routes
    removals: JsonObject = {
        route.name: {label: [*paths] for label, paths in found.items()}
        for route in routes
        if (found := removals_of(route.chain.reachable_steps()))
    }
    compiled: JsonObject = {"removals": removals} if removals else {}
    asking = [step for route in routes for step in route.chain.reachable_steps() if step.asks_others]
    if asking:
        schedules = [step.retry_seconds for step in asking]
        longest = max(sum(RETRY_SECONDS if schedule is None else schedule) for schedule in schedules)
        compiled["waiting_routes"] = {"longest_seconds": longest}
    return compiled


def _compiled_route(route: RouteConfig, file: ConfigFile, own: StepClasses) -> JsonObject:
    compiled: JsonObject = {
        "name": route.name,
        "from": None if "all" in route.from_ else list(route.from_),
        "types": list(route.types) or None,
        "where": route.where,
        "steps": _compiled_steps(route.steps, file, own),
        "to": list(route.to),
    }
    optional: JsonObject = {
        "else": route.else_ or None,
        "enabled": None if route.enabled else False,
        "on_error": None if route.on_error == "dead_letter" else route.on_error,
    }
    return {**compiled, **{key: value for key, value in optional.items() if value is not None}}


def _compiled_steps(steps: list[StepConfig], file: ConfigFile, own: StepClasses) -> list[Json]:
    return [_compiled_step(step, file, own) for step in steps]


def _compiled_step(step: JsonObject, file: ConfigFile, own: StepClasses) -> JsonObject:
    """Return the step with its settings in full, which transform need not verify; those of an own step as written."""
    compiled: JsonObject = {}
    for name, written in step.items():
        settings = with_files(written, name, file.folder, own)
        kind = None if name in own else step_class(name)
        compiled[name] = verifying.compile_settings(kind, settings) if kind and issubclass(kind, Settings) else settings
    return compiled


class UnreadableFile(ValueError):
    """A file cannot be read. The text names it."""


def with_files(settings: Json, name: str, folder: Path, own: StepClasses = NO_OWN_STEPS) -> Json:
    """Return a step's settings with the content of files. `own` are the operator's steps. Raises UnreadableFile."""
    keys = _file_keys(name, own)
    if not isinstance(settings, dict):
        return settings
    return {
        key: _content(value, folder) if key in keys and isinstance(value, str) else _filled(value, folder)
        for key, value in settings.items()
    }


def _file_keys(name: str, own: StepClasses) -> tuple[str, ...]:
    kind = own.get(name) or step_class(name)
    return () if kind is None else kind.file_keys


def _filled(value: Json, folder: Path) -> Json:
    """Return the value with the content of each `{file: …}` in it, at any depth. Raises UnreadableFile."""
    if isinstance(value, list):
        return [_filled(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("file")
    if len(value) == 1 and isinstance(name, str):
        return _content(name, folder)
    return {key: _filled(item, folder) for key, item in value.items()}


def _content(name: str, folder: Path) -> Json:
    """Return the text of the file, or `{base64: …}` if it is not UTF-8. Raises UnreadableFile."""
    try:
        content = (folder / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise UnreadableFile(unreadable(name)) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": b64encode(content).decode("ascii")}
