"""Checks of the configuration's own tests: the names in them lead somewhere."""

from collections.abc import Iterator

from deploy.config.checks.model_faults import place
from deploy.config.checks.routes import names_in
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from shared.did_you_mean import did_you_mean
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
            yield Fault(file.line((*at, "name")), place(file, at), "another test has this name")
        seen.add(name)
        yield from _input_faults(file, (*at, "input"), case.get("input"), document)
        expected = case.get("expect")
        for position, delivery in enumerate(expected if isinstance(expected, list) else []):
            yield from _expected_faults(file, (*at, "expect", position), delivery, document)


def _input_faults(file: ConfigFile, at: DocumentPath, given: Json, document: JsonObject) -> Iterator[Fault]:
    if not isinstance(given, dict):
        return
    yield from _unknown(file, (*at, "source"), given.get("source"), names_in(document, "sources"), "source")
    name = given.get("file")
    if isinstance(name, str) and not (file.folder / name).is_file():
        rule = f"there is no file {name!r}, relative to the configuration's folder"
        yield Fault(file.line((*at, "file")), place(file, at), rule)


def _expected_faults(file: ConfigFile, at: DocumentPath, delivery: Json, document: JsonObject) -> Iterator[Fault]:
    if not isinstance(delivery, dict):
        return
    routes = document.get("routes")
    names = [str(each.get("name")) for each in routes if isinstance(each, dict)] if isinstance(routes, list) else []
    yield from _unknown(file, (*at, "to"), delivery.get("to"), names_in(document, "destinations"), "destination")
    yield from _unknown(file, (*at, "route"), delivery.get("route"), names, "route")


def _unknown(file: ConfigFile, at: DocumentPath, name: Json, known: list[str], word: str) -> Iterator[Fault]:
    if isinstance(name, str) and name not in known:
        yield Fault(file.line(at), place(file, at), f"there is no {word} {name!r}{did_you_mean(name, known)}")
