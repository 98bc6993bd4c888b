"""The event types of `subscribers`: those that stand in the configuration, or in the files that it names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from deploy.config.checks.model_faults import rule_of
from deploy.config.compiling.sources import SchemaFault, schema_document
from deploy.config.config_file import ConfigFile, read_config_file
from deploy.config.faults import ConfigFaults, DocumentPath, Fault, unreadable
from deploy.config.models.subscribers import MAX_EVENT_TYPES, EventTypeConfig
from shared.jsontext import Json, JsonObject, from_json
from shared.subscribers.catalogue_document import is_own_form, read_catalogue
from shared.subscribers.event_types import event_type_fields
from shared.subscribers.names import TYPE_PATTERN
from shared.subscribers.standalone_schema import CatalogueFault, CatalogueFaults

AT: Final[DocumentPath] = ("subscribers", "event_types")
WHERE: Final = ".".join(map(str, AT))
SUFFIXES: Final = (".json", ".yaml", ".yml")
MAX_BYTES: Final = 10 * 2**20
_NAME: Final = re.compile(TYPE_PATTERN)


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The event types as the slice has them, by name, and the faults that their model does not show.

    `lines` are where they stand in the configuration; those of files stand where the files are named.
    """

    types: Mapping[str, JsonObject] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def event_types(file: ConfigFile) -> EventTypes:
    written = _written(file)
    if names := _names(written):
        return _in_files(file, names)
    lines = {name: file.line((*AT, name)) for name in written}
    faults: list[Fault] = []
    types: dict[str, JsonObject] = {}
    for name, entry in written.items():
        try:
            config = EventTypeConfig.model_validate(entry)
        except ValidationError:  # the model of the configuration has its faults
            continue
        types |= _compiled(name, config, file.folder, Fault(lines[name], f"event type {name!r}", ""), faults)
    return EventTypes(types, lines, tuple(faults))


def event_type_files(file: ConfigFile) -> list[Path]:
    """Return the files that the configuration names, those of its folders included."""
    return [path for name in _names(_written(file)) for path in _files_at(file.folder / name)]


def _written(file: ConfigFile) -> JsonObject:
    section = file.document.get("subscribers") if isinstance(file.document, dict) else None
    written = section.get("event_types") if isinstance(section, dict) else None
    return written if isinstance(written, dict) else {}


def _names(written: JsonObject) -> list[str]:
    """Return the names of files. An event type may be called `file`, but an event type is no text."""
    named = written.get("file")
    return [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)]


def _files_at(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
    except (OSError, ValueError):  # ValueError: a name with a NUL in it
        return [path]


def _in_files(file: ConfigFile, names: list[str]) -> EventTypes:
    line = file.line((*AT, "file"))
    types: dict[str, JsonObject] = {}
    faults: list[Fault] = []
    for path in (path for name in names for path in _files_at(file.folder / name)):
        shown = str(path.relative_to(file.folder)) if path.is_relative_to(file.folder) else str(path)
        for name, entry in _read(path, shown, line, faults):
            fault = Fault(line, f"{shown}: event type {name!r}", "")
            if not _NAME.fullmatch(name):
                rule = "must be letters, digits, `_`, `.` and `-`, at most 128, and begin with a letter or digit"
                faults.append(replace(fault, rule=rule))
            elif name in types:
                faults.append(replace(fault, rule="is a duplicate event type; keep one"))
            else:
                types |= _verified(name, entry, path.parent, fault, faults)
    if len(types) > MAX_EVENT_TYPES:
        rule = f"must have at most {MAX_EVENT_TYPES:,} event types; got {len(types):,}"
        faults.append(Fault(line, WHERE, rule))
    return EventTypes(types, dict.fromkeys(types, line), tuple(faults))


def _read(path: Path, shown: str, line: int, faults: list[Fault]) -> Iterator[tuple[str, Json]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CatalogueFaults([CatalogueFault("", f"must have at most {MAX_BYTES:,} bytes")])
        document = _document(path)
        if is_own_form(document) and isinstance(document, dict):
            yield from document.items()
            return
        for each in read_catalogue(document, path.stem):
            yield each.name, event_type_fields(each)
    except OSError:
        faults.append(Fault(line, WHERE, unreadable(shown)))
    except CatalogueFaults as error:
        faults += [Fault(line, WHERE, f"{shown}: {fault}") for fault in error.faults]
    except (ValueError, RecursionError):
        faults.append(Fault(line, WHERE, f"{shown}: is not JSON"))
    except ConfigFaults as error:
        faults += [Fault(line, WHERE, fault.text(shown)) for fault in error.faults]


def _document(path: Path) -> Json:
    """Raises OSError, ValueError and RecursionError for a JSON file, and ConfigFaults for a YAML file."""
    if path.suffix == ".json":
        return from_json(path.read_bytes())
    read = read_config_file(path)
    if read.repeated:
        raise ConfigFaults(str(path), read.repeated)
    return read.document


def _verified(name: str, entry: Json, folder: Path, fault: Fault, faults: list[Fault]) -> dict[str, JsonObject]:
    """Return the event type of a file in the folder. Names of files in it are relative to that folder."""
    try:
        config = EventTypeConfig.model_validate(entry)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            where = ": ".join((fault.where, *([".".join(map(str, detail["loc"]))] if detail["loc"] else [])))
            faults.append(Fault(fault.line, where, rule_of(detail, EventTypeConfig)))
        return {}
    return _compiled(name, config, folder, fault, faults)


def _compiled(
    name: str, config: EventTypeConfig, folder: Path, fault: Fault, faults: list[Fault]
) -> dict[str, JsonObject]:
    """Return the event type as the slice has it; nothing where its schema or an example has a fault."""
    schema: Json = {}
    if config.schema_ is not None:
        try:
            schema = schema_document(config.schema_, folder)
        except SchemaFault as wrong:
            faults.append(replace(fault, where=f"{fault.where}: schema", rule=str(wrong)))
            return {}
    rules = list(_example_rules(config.examples, schema))
    faults += [replace(fault, where=f"{fault.where}: {place}", rule=rule) for place, rule in rules]
    compiled: JsonObject = {
        "description": config.description,
        "group": config.group,
        "schema": schema,
        "examples": list(config.examples),
        "deprecated": config.deprecated,
    }
    return {} if rules else {name: compiled}


def _example_rules(examples: list[Json], schema: Json) -> Iterator[tuple[str, str]]:
    if not examples or not schema:
        return
    from functions.transform.steps.lint import Schema  # jsonschema is slow to import

    checked = Schema(schema)
    for number, example in enumerate(examples):
        for rule in checked.find_faults(example, "data"):
            yield f"examples[{number}]", f"must fit the schema: {rule}"
