"""Every check of a configuration. Each looks at the document as it was written, so that one fault hides no other."""

from collections.abc import Collection, Iterator

from pydantic import BaseModel, ValidationError

from deploy.config.checks.cases import case_faults
from deploy.config.checks.kinds import KindFault, destination_kinds, settings_model
from deploy.config.checks.model_faults import place, rule_of
from deploy.config.checks.routes import route_faults
from deploy.config.checks.sources import faults_of_providers, source_faults
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault, unreadable
from deploy.config.models.configuration import BundleConfig
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject

COMMON_KEYS = frozenset({"retry", "timeout", "on_unknown"})


class Unresolved(ValueError):
    """A name or a file in a destination's settings that leads to nothing."""


def all_faults(file: ConfigFile) -> list[Fault]:
    if not isinstance(file.document, dict):
        return [
            *file.repeated,
            Fault(1, "", "a configuration is a mapping with `sources`, `routes` and `destinations`"),
        ]
    return [
        *file.repeated,
        *_shape_faults(file),
        *_provider_faults(file, file.document),
        *source_faults(file, file.document),
        *route_faults(file, file.document),
        *_destination_faults(file, file.document),
        *case_faults(file, file.document),
    ]


def _shape_faults(file: ConfigFile) -> Iterator[Fault]:
    try:
        BundleConfig.model_validate(file.document)
    except ValidationError as error:
        yield from faults_of(error, file, (), BundleConfig)


def _provider_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    for path, rule in faults_of_providers(document):
        yield Fault(file.line(path), place(file, path), rule)


def faults_of(
    error: ValidationError,
    file: ConfigFile,
    at: DocumentPath,
    model: type[BaseModel],
    known: Collection[DocumentPath] = (),
) -> Iterator[Fault]:
    """But for those at `known` places, of which more is told already."""
    for detail in error.errors(include_url=False):
        path = (*at, *detail["loc"])
        if path not in known:
            yield Fault(file.line(path), place(file, path), rule_of(detail, model))


def _destination_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    destinations = document.get("destinations", {})
    known = destination_kinds()
    for name, settings in destinations.items() if isinstance(destinations, dict) else ():
        for kind in settings.keys() - COMMON_KEYS if isinstance(settings, dict) else ():
            at: DocumentPath = ("destinations", name, kind)
            if kind not in known:
                rule = f"there is no kind of destination {kind!r}{did_you_mean(kind, known)}"
                yield Fault(file.line(at), place(file, at[:2]), rule)
            elif isinstance(settings, dict):
                yield from _settings_faults(file, at, document, settings[kind])


def _settings_faults(file: ConfigFile, at: DocumentPath, document: JsonObject, settings: Json) -> Iterator[Fault]:
    try:
        model = settings_model(str(at[-1]))
    except KindFault as fault:
        yield Fault(file.line(at), place(file, at[:2]), str(fault))
        return
    faults: dict[str, Fault] = {}
    filled: dict[str, Json] = {}
    for key, value in settings.items() if isinstance(settings, dict) else ():
        try:
            filled[key] = _resolved_value(key, value, _lists(document), file)
        except Unresolved as fault:
            faults[key] = Fault(file.line((*at, key)), place(file, at), str(fault))
    yield from faults.values()
    try:
        model.model_validate(filled if isinstance(settings, dict) else settings)
    except ValidationError as error:
        known = {(*at, key) for key in faults}
        yield from faults_of(error, file, at, model, known)


def resolved(settings: Json, document: JsonObject, file: ConfigFile) -> Json:
    """A destination's settings with the names of lists replaced by their addresses, and `{file: …}` by its text.

    Raises Unresolved.
    """
    if not isinstance(settings, dict):
        return settings
    return {key: _resolved_value(key, value, _lists(document), file) for key, value in settings.items()}


def _lists(document: JsonObject) -> JsonObject:
    lists = document.get("lists")
    return lists if isinstance(lists, dict) else {}


def _resolved_value(key: str, value: Json, lists: JsonObject, file: ConfigFile) -> Json:
    if isinstance(value, dict) and value.keys() == {"file"}:
        return _text_of(file, str(value["file"]))
    return _addresses(value, lists) if key in {"to", "cc", "bcc"} else value


def _text_of(file: ConfigFile, name: str) -> str:
    try:
        return (file.folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unresolved(unreadable(name)) from error


def _addresses(value: Json, lists: JsonObject) -> list[Json]:
    """Whatever has no @ is the name of a list."""
    found: list[Json] = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str) or "@" in entry or "{{" in entry:
            found.append(entry)
        elif isinstance(members := lists.get(entry), list):
            found.extend(members)
        else:
            raise Unresolved(f"{entry!r} is no address, and no list has that name{did_you_mean(entry, lists)}")
    return found
