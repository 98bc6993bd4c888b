"""Faults of test cases: their names, and the sources, destinations, routes and files that they name."""

from collections.abc import Iterator

from deploy.config.checks.model_faults import fault_at, names_in, setting_name, unknown_names
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from shared.jsontext import Json, JsonObject


def case_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    cases = document.get("tests")
    seen: set[str] = set()
    for number, case in enumerate(cases if isinstance(cases, list) else []):
        if not isinstance(case, dict):
            continue
        at: DocumentPath = ("tests", number)
        name = str(case.get("name"))
        if name in seen:
            yield Fault(file.line((*at, "name")), setting_name(file, at), "another test has this name")
        seen.add(name)
        yield from _input_faults(file, (*at, "input"), case.get("input"), document)
        expected = case.get("expect")
        for position, delivery in enumerate(expected if isinstance(expected, list) else []):
            yield from _expected_faults(file, (*at, "expect", position), delivery, document)


def _input_faults(file: ConfigFile, at: DocumentPath, test_input: Json, document: JsonObject) -> Iterator[Fault]:
    if not isinstance(test_input, dict):
        return
    yield from unknown_names(file, (*at, "source"), test_input.get("source"), names_in(document, "sources"), "source")
    name = test_input.get("file")
    if isinstance(name, str) and not (file.folder / name).is_file():
        yield fault_at(file, (*at, "file"), f"there is no file {name!r}, relative to the configuration's folder")


def _expected_faults(file: ConfigFile, at: DocumentPath, delivery: Json, document: JsonObject) -> Iterator[Fault]:
    if not isinstance(delivery, dict):
        return
    routes = document.get("routes")
    names = [str(each.get("name")) for each in routes if isinstance(each, dict)] if isinstance(routes, list) else []
    destinations = names_in(document, "destinations")
    yield from unknown_names(file, (*at, "to"), delivery.get("to"), destinations, "destination")
    yield from unknown_names(file, (*at, "route"), delivery.get("route"), names, "route")
