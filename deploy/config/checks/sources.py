"""What is wrong with what a source says itself, where it takes more than its model to tell."""

from collections.abc import Iterator

from deploy.config.checks.places import place
from deploy.config.compiling.source_schema import SchemaFault, schema_document
from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault, Path
from functions.receive.replies import template_fault
from shared.jsontext import Json, JsonObject


def source_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    sources = document.get("sources")
    for name, settings in sources.items() if isinstance(sources, dict) else ():
        if isinstance(settings, dict):
            for key, rule in _faults(settings, file):
                path: Path = ("sources", name, *key)
                yield Fault(file.line(path), place(file, path), rule)


def _faults(settings: JsonObject, file: ConfigFile) -> Iterator[tuple[Path, str]]:
    if isinstance(schema := settings.get("schema"), str | dict):
        try:
            schema_document(schema, file.folder)
        except SchemaFault as fault:
            yield ("schema",), str(fault)
    if isinstance(respond := settings.get("respond"), dict):
        for text in _texts(respond.get("body")):
            if rule := template_fault(text):
                yield ("respond", "body"), rule


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
