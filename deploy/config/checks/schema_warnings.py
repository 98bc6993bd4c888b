"""Warnings about misspelt keywords in JSON Schemas, which the specification ignores."""

from collections.abc import Iterator
from typing import Final

from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault
from functions.transform.program import read_program
from functions.transform.step import NamedStep
from functions.transform.steps.lint import Lint
from shared.did_you_mean import nearest
from shared.jsontext import Json, JsonObject

_VOCABULARIES: Final = "https://json-schema.org/draft/2020-12/"


def schema_warnings(file: ConfigFile, receive: JsonObject, transform: JsonObject) -> Iterator[Fault]:
    """Yield the warnings. `receive` and `transform` are the compiled slices."""
    sources = receive["sources"]
    for name, source in sources.items() if isinstance(sources, dict) else ():
        for rule in _misspelled_keywords(source.get("schema") if isinstance(source, dict) else None):
            yield Fault(file.line(("sources", name)), f"source {name!r}", rule)
    program = read_program(transform)
    for number, route in enumerate(program.routes):
        for rule in _step_rules(route.chain.steps):
            yield Fault(file.line(("routes", number)), f"route {route.name!r}", rule)
    for name, steps in program.chains.items():
        for rule in _step_rules(steps):
            yield Fault(file.line(("chains", name)), f"chain {name!r}", rule)


def _step_rules(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    for named in steps:
        if isinstance(named.step, Lint):
            yield from (
                f"step {named.number} {named.name!r}: {rule}"
                for rule in _misspelled_keywords(named.step.schema_document)
            )


def _misspelled_keywords(schema: Json) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    from referencing.jsonschema import DRAFT202012

    known = _keywords()
    waiting = [DRAFT202012.create_resource(schema)]
    for resource in waiting:  # which grows
        waiting.extend(resource.subresources())
        for key in resource.contents if isinstance(resource.contents, dict) else ():
            if key not in known and (near := nearest(key, known)):
                yield f"the schema's {key!r} is not a keyword and has no effect; did you mean {near!r}?"


def _keywords() -> frozenset[str]:
    """Return the keywords that the specification's own schemas describe."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # it has no stubs

    described: list[Json] = [REGISTRY.contents(uri) for uri in REGISTRY if uri.startswith(_VOCABULARIES)]
    properties = [schema["properties"] for schema in described if isinstance(schema, dict)]
    return frozenset(name for each in properties if isinstance(each, dict) for name in each)
