"""What routes, chains and lists may be, but are seldom meant to be. Of a configuration without faults."""

from collections.abc import Iterator

from deploy.config_file import ConfigFile
from deploy.faults import Fault
from functions.transform.read_routes import Program, read_program
from functions.transform.registry import NamedStep
from functions.transform.steps.decide import Stop, Switch
from shared.config.bundle import BundleConfig
from shared.config.route import RouteConfig
from shared.jsontext import JsonObject


def route_warnings(file: ConfigFile, transform: JsonObject) -> Iterator[Fault]:
    """`transform` is its slice, compiled of the file."""
    config = BundleConfig.model_validate(file.document)
    program = read_program(transform)
    for number, route in enumerate(config.routes):
        for rule in (*_of_route(route, config, number), *_dead_ends(program.routes[number].chain.steps)):
            yield Fault(file.line(("routes", number)), f"route {route.name!r}", rule)
    used = _used_chains(program)
    for name, steps in program.chains.items():
        if name not in used:
            rule = "no route and no step leads to it: only POST /chains/ on transform does"
            yield Fault(file.line(("chains", name)), f"chain {name!r}", rule)
        for rule in _dead_ends(steps):
            yield Fault(file.line(("chains", name)), f"chain {name!r}", rule)
    yield from _unused_lists(file, config)


def _of_route(route: RouteConfig, config: BundleConfig, number: int) -> Iterator[str]:
    if not route.enabled:
        yield "is switched off (`enabled: false`)"
        return
    others = [each for each in config.routes if each is not route and each.enabled]
    if route.else_:
        covering = [each for each in others if not each.else_ and _covers(each, route, set(config.sources))]
        if covering:
            yield f"can never take an event: {covering[0].name!r} takes every one that it could"
    twins = [each for each in config.routes[:number] if each.enabled and _same(each, route)]
    if twins:
        yield f"takes the same events to the same destinations as {twins[0].name!r}: each is delivered twice"


def _covers(one: RouteConfig, other: RouteConfig, known: set[str]) -> bool:
    """Whether every event that the other could take is taken by this one for sure."""
    ours, theirs = (known if "all" in route.from_ else set(route.from_) for route in (one, other))
    sources = theirs <= ours
    types = not one.types or "*" in one.types or (bool(other.types) and set(other.types) <= set(one.types))
    return sources and types and one.where in (None, other.where)


def _same(one: RouteConfig, other: RouteConfig) -> bool:
    own = {"name", "on_error"}
    return one.model_dump(exclude=own) == other.model_dump(exclude=own)


def _dead_ends(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    for named in steps[:-1]:
        step = named.step
        ends = isinstance(step, Stop) and step.root.when is None
        leads = isinstance(step, Switch) and any(case.when is None for case in step.root)
        if ends or leads:
            yield f"step {named.number} {named.name!r} always ends it here: no event comes to the steps after it"


def _used_chains(program: Program) -> set[str]:
    reached = [named for route in program.routes for named in route.chain.reachable()]
    return {name for named in reached for name in named.step.chains()}


def _unused_lists(file: ConfigFile, config: BundleConfig) -> Iterator[Fault]:
    named = set(_texts([dict(destination.kinds) for destination in config.destinations.values()]))
    for name in config.lists:
        if name not in named:
            yield Fault(file.line(("lists", name)), f"list {name!r}", "no destination sends to it")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)
