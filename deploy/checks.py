"""Every check of a configuration. Each looks at the document as it was written, so that one fault hides no other."""

import importlib
import pkgutil
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

import functions.notify.destinations as kinds_package
from deploy.config_file import ConfigFile
from deploy.faults import Fault, Path, did_you_mean
from functions.transform.registry import step_fault
from shared.config import BundleConfig
from shared.expressions import Expression, ExpressionFault
from shared.jsontext import Json, JsonObject

COMMON_KEYS = frozenset({"retry", "timeout", "on_unknown"})


def all_faults(file: ConfigFile) -> list[Fault]:
    if not isinstance(file.document, dict):
        return [Fault(1, "", "a configuration is a mapping with `sources`, `routes` and `destinations`")]
    return [
        *_shape_faults(file),
        *_route_faults(file, file.document),
        *_destination_faults(file, file.document),
    ]


def destination_kinds() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(kinds_package.__path__)]


def settings_model(kind: str) -> type[BaseModel]:
    model: type[BaseModel] = importlib.import_module(f"functions.notify.destinations.{kind}").Settings
    return model


def _shape_faults(file: ConfigFile) -> Iterator[Fault]:
    try:
        BundleConfig.model_validate(file.document)
    except ValidationError as error:
        yield from faults_of(error, file, ())


def faults_of(error: ValidationError, file: ConfigFile, at: Path) -> Iterator[Fault]:
    for detail in error.errors(include_url=False, include_context=False):
        path = (*at, *detail["loc"])
        found = detail["input"]
        rule = detail["msg"].removeprefix("Value error, ")
        if detail["type"] not in {"missing", "value_error"} and isinstance(found, str | int | float):
            rule = f"{rule}; found {found!r}"
        yield Fault(file.line(path), place(file, path), rule)


def place(file: ConfigFile, path: Path) -> str:
    """`source 'crm': auth.secret` for the path to it; a route goes by its name."""
    words = [str(part) for part in path if not str(part).startswith("function-")]
    section, rest = words[0] if words else "", words[2:]
    if section not in {"sources", "routes", "destinations", "lists"} or len(words) < 2:
        return ".".join(words)
    name = words[1]
    if section == "routes":
        routes = file.document["routes"] if isinstance(file.document, dict) else None
        route = routes[path[1]] if isinstance(routes, list) and isinstance(path[1], int) else None
        name = str(route.get("name", name)) if isinstance(route, dict) else name
    return f"{section.removesuffix('s')} {name!r}" + (f": {'.'.join(rest)}" if rest else "")


def _route_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    routes = document.get("routes", [])
    if not isinstance(routes, list):
        return
    sources, destinations = _names(document, "sources"), _names(document, "destinations")
    seen: set[str] = set()
    for number, route in enumerate(routes):
        if not isinstance(route, dict):
            continue
        at: Path = ("routes", number)
        name = str(route.get("name"))
        if name in seen:
            yield Fault(file.line((*at, "name")), place(file, at), "another route has this name")
        seen.add(name)
        yield from _unknown_names(file, (*at, "from"), route.get("from"), [*sources, "all"], "source")
        yield from _unknown_names(file, (*at, "to"), route.get("to"), destinations, "destination")
        yield from _where_faults(file, (*at, "where"), route.get("where"))
        yield from _step_faults(file, (*at, "steps"), route.get("steps", []))


def _unknown_names(file: ConfigFile, path: Path, value: Json, known: list[str], word: str) -> Iterator[Fault]:
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str) and name not in known:
            rule = f"there is no {word} {name!r}{did_you_mean(name, known)}"
            yield Fault(file.line(path), place(file, path), rule)


def _where_faults(file: ConfigFile, path: Path, where: Json) -> Iterator[Fault]:
    if isinstance(where, str):
        try:
            Expression(where)
        except ExpressionFault as fault:
            yield Fault(file.line(path), place(file, path), str(fault))


def _step_faults(file: ConfigFile, path: Path, steps: Json) -> Iterator[Fault]:
    if not isinstance(steps, list):
        return
    for number, step in enumerate(steps):
        at = (*path, number)
        if isinstance(step, dict) and (rule := step_fault(step)):
            yield Fault(file.line(at), f"{place(file, path[:2])}: step {number + 1}", rule)


def _destination_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    destinations = document.get("destinations", {})
    known = destination_kinds()
    for name, settings in destinations.items() if isinstance(destinations, dict) else ():
        for kind in settings.keys() - COMMON_KEYS if isinstance(settings, dict) else ():
            at: Path = ("destinations", name, kind)
            if kind not in known:
                rule = f"there is no kind of destination {kind!r}{did_you_mean(kind, known)}"
                yield Fault(file.line(at), place(file, at[:2]), rule)
            elif isinstance(settings, dict):
                yield from _settings_faults(file, at, kind, resolved(settings[kind], document, file))


def _settings_faults(file: ConfigFile, at: Path, kind: str, settings: Json | Fault) -> Iterator[Fault]:
    if isinstance(settings, Fault):
        yield Fault(file.line(at), place(file, at), settings.rule)
        return
    try:
        settings_model(kind).model_validate(settings)
    except ValidationError as error:
        yield from faults_of(error, file, at)


def _names(document: JsonObject, section: str) -> list[str]:
    found = document.get(section)
    return list(found) if isinstance(found, dict) else []


def resolved(settings: Json, document: JsonObject, file: ConfigFile) -> Json | Fault:
    """A destination's settings with the names of lists replaced by their addresses, and `{file: …}` by its text."""
    if not isinstance(settings, dict):
        return settings
    lists = document.get("lists")
    lists = lists if isinstance(lists, dict) else {}
    whole: JsonObject = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value.keys() == {"file"}:
            text = _text_of(file, str(value["file"]))
            if isinstance(text, Fault):
                return text
            whole[key] = text
        elif key in {"to", "cc", "bcc"}:
            addresses = _addresses(value, lists)
            if isinstance(addresses, Fault):
                return addresses
            whole[key] = addresses
        else:
            whole[key] = value
    return whole


def _text_of(file: ConfigFile, name: str) -> str | Fault:
    try:
        return (file.folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return Fault(0, "", f"the file {name!r}, relative to the configuration's folder, cannot be read")


def _addresses(value: Json, lists: JsonObject) -> Json | Fault:
    """Whatever has no @ is the name of a list."""
    found: list[Json] = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str) or "@" in entry or "{{" in entry:
            found.append(entry)
        elif isinstance(members := lists.get(entry), list):
            found.extend(members)
        else:
            return Fault(
                0, "", f"{entry!r} is no address, and there is no list of that name{did_you_mean(entry, lists)}"
            )
    return found
