"""Checks of routes: their names, what they take, and where they lead."""

from collections.abc import Iterator

from deploy.config.checks.places import place
from deploy.config.checks.steps import step_checks
from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault, Path
from functions.transform.expressions import ExpressionFault, over_event
from shared.did_you_mean import did_you_mean
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
        at: Path = ("routes", number)
        if isinstance(name := route.get("name"), str):
            if name in seen:
                yield Fault(file.line((*at, "name")), place(file, at), "another route has this name")
            seen.add(name)
        yield from _unknown_names(file, (*at, "from"), route.get("from"), [*sources, "all"], "source")
        yield from _unknown_names(file, (*at, "to"), route.get("to"), destinations, "destination")
        yield from _where_faults(file, (*at, "where"), route.get("where"))
        yield from checks.of_route((*at, "steps"), route.get("steps", []))


def _unknown_names(file: ConfigFile, path: Path, value: Json, known: list[str], word: str) -> Iterator[Fault]:
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str) and name not in known:
            rule = f"there is no {word} {name!r}{did_you_mean(name, known)}"
            yield Fault(file.line(path), place(file, path), rule)


def _where_faults(file: ConfigFile, path: Path, where: Json) -> Iterator[Fault]:
    if isinstance(where, str):
        try:
            over_event(where)
        except ExpressionFault as fault:
            yield Fault(file.line(path), place(file, path), str(fault))


def names_in(document: JsonObject, section: str) -> list[str]:
    found = document.get(section)
    return list(found) if isinstance(found, dict) else []
