"""All faults of a configuration. Each check reads the document as it is written, so that one fault hides no other."""

from collections.abc import Iterator

from pydantic import ValidationError

from deploy.config.checks.cases import case_faults
from deploy.config.checks.kinds import KindFault, destination_kinds, settings_model
from deploy.config.checks.model_faults import model_faults, setting_name
from deploy.config.checks.routes import route_faults
from deploy.config.checks.sources import source_faults
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault, unreadable
from deploy.config.models.configuration import Configuration
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject

COMMON_KEYS = frozenset({"retry", "timeout", "on_unknown"})


class Unresolved(ValueError):
    """A list or a file that a destination's settings name does not exist."""


def all_faults(file: ConfigFile) -> list[Fault]:
    if not isinstance(file.document, dict):
        return [*file.repeated, Fault(1, "", "must be a mapping with `sources`, `routes` and `destinations`")]
    return [
        *file.repeated,
        *_shape_faults(file),
        *source_faults(file, file.document),
        *route_faults(file, file.document),
        *_destination_faults(file, file.document),
        *case_faults(file, file.document),
    ]


def _shape_faults(file: ConfigFile) -> Iterator[Fault]:
    try:
        Configuration.model_validate(file.document)
    except ValidationError as error:
        yield from model_faults(error, file, (), Configuration)


def _destination_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    destinations = document.get("destinations", {})
    known = destination_kinds()
    for name, settings in destinations.items() if isinstance(destinations, dict) else ():
        for kind in settings.keys() - COMMON_KEYS if isinstance(settings, dict) else ():
            at: DocumentPath = ("destinations", name, kind)
            if kind not in known:
                rule = f"there is no kind of destination {kind!r}{did_you_mean(kind, known)}"
                yield Fault(file.line(at), setting_name(file, at[:2]), rule)
            elif isinstance(settings, dict):
                yield from _settings_faults(file, at, document, settings[kind])


def _settings_faults(file: ConfigFile, at: DocumentPath, document: JsonObject, settings: Json) -> Iterator[Fault]:
    try:
        model = settings_model(str(at[-1]))
    except KindFault as fault:
        yield Fault(file.line(at), setting_name(file, at[:2]), str(fault))
        return
    faults: dict[str, Fault] = {}
    filled: dict[str, Json] = {}
    for key, value in settings.items() if isinstance(settings, dict) else ():
        try:
            filled[key] = _resolved_value(key, value, _lists(document), file)
        except Unresolved as fault:
            faults[key] = Fault(file.line((*at, key)), setting_name(file, at), str(fault))
    yield from faults.values()
    try:
        model.model_validate(filled if isinstance(settings, dict) else settings)
    except ValidationError as error:
        yield from model_faults(error, file, at, model, {(*at, key) for key in faults})


def resolved(settings: Json, document: JsonObject, file: ConfigFile) -> Json:
    """Return a destination's settings with addresses for the names of lists, and with the text of each `{file: …}`.

    Raises Unresolved.
    """
    if not isinstance(settings, dict):
        return settings
    return {key: _resolved_value(key, value, _lists(document), file) for key, value in settings.items()}


def _lists(document: JsonObject) -> JsonObject:
    lists = document.get("lists")
    return lists if isinstance(lists, dict) else {}


def _resolved_value(key: str, value: Json, lists: JsonObject, file: ConfigFile) -> Json:
    if not (isinstance(value, dict) and value.keys() == {"file"}):
        return _addresses(value, lists) if key in {"to", "cc", "bcc"} else value
    name = str(value["file"])
    try:
        return (file.folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unresolved(unreadable(name)) from error


def _addresses(value: Json, lists: JsonObject) -> list[Json]:
    """Return the addresses. An entry without @ is the name of a list."""
    found: list[Json] = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str) or "@" in entry or "{{" in entry:
            found.append(entry)
        elif isinstance(members := lists.get(entry), list):
            found.extend(members)
        else:
            rule = f"must be an address or the name of a list; got {entry!r}"
            names = [name for name, members in lists.items() if isinstance(members, list)]
            raise Unresolved(f"{rule}{did_you_mean(entry, names)}")
    return found
