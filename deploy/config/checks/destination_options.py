"""Faults of the options that every destination has, as far as their types do not show them."""

from collections.abc import Iterator

from deploy.config.checks.kinds import KindFault, destination_kinds, speaks_http
from deploy.config.checks.model_faults import expression_faults, fault_at, names_in, unknown_names
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from functions.notify.success_when import SuccessCondition
from shared.expressions import ExpressionFault
from shared.jsontext import Json, JsonObject


def option_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    destinations = document.get("destinations")
    for name, settings in destinations.items() if isinstance(destinations, dict) else ():
        if isinstance(settings, dict):
            at: DocumentPath = ("destinations", name)
            yield from _otherwise_faults(file, document, name, settings.get("otherwise"))
            yield from _success_faults(file, (*at, "success_when"), settings)
            yield from expression_faults(file, (*at, "per"), settings.get("per"))
            for option in ("coalesce", "digest"):
                written = settings.get(option)
                if isinstance(written, dict):
                    yield from expression_faults(file, (*at, option, "by"), written.get("by"))


def _otherwise_faults(file: ConfigFile, document: JsonObject, name: str, otherwise: Json) -> Iterator[Fault]:
    at: DocumentPath = ("destinations", name, "otherwise")
    yield from unknown_names(file, at, otherwise, names_in(document, "destinations"), "destination")
    path = _path_from(document, name)
    if len(path) > 1 and path[-1] == name:
        yield fault_at(file, at, f"must not lead back to {name!r}; got {' → '.join(path)}. Take one of them out")


def _path_from(document: JsonObject, name: str) -> list[str]:
    """Return the destinations that get what the ones before do not, up to the first that is there already."""
    destinations = document.get("destinations")
    path = [name]
    while isinstance(destinations, dict):
        settings = destinations.get(path[-1])
        following = settings.get("otherwise") if isinstance(settings, dict) else None
        if not isinstance(following, str):
            break
        path.append(following)
        if following in path[:-1]:
            break
    return path


def _success_faults(file: ConfigFile, at: DocumentPath, settings: JsonObject) -> Iterator[Fault]:
    condition = settings.get("success_when")
    if not isinstance(condition, str):
        return
    try:
        SuccessCondition(condition)
    except ExpressionFault as fault:
        yield fault_at(file, at, f"must be a JMESPath expression over the response; got {condition!r}: {fault}")
    for kind in settings.keys() & set(destination_kinds()):
        try:
            if not speaks_http(kind):
                yield fault_at(file, at, f"must be a condition over an HTTP response, which {kind!r} does not get")
        except KindFault:
            return  # the kind has a fault of its own
