"""The operator's own kinds of destinations: the files of `destinations_from`."""

from collections.abc import Iterator
from typing import Final

from deploy.config.compiling.own_files import OwnFiles
from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault
from functions.notify.registry import OwnKinds, load_own_kinds
from shared.jsontext import JsonObject
from shared.own_modules import OwnModuleFault

KINDS_SECTION: Final = "destinations_from"
KIND_FILES: Final = OwnFiles(KINDS_SECTION, "notify")


def own_kinds(file: ConfigFile) -> OwnKinds:
    """Return the kinds of the files; none if there is a fault in one."""
    try:
        return load_own_kinds(own_kind_sources(file))
    except OwnModuleFault:
        return {}


def own_kind_sources(file: ConfigFile) -> dict[str, str]:
    return KIND_FILES.sources(file, _mapping(file).get(KINDS_SECTION))


def own_kind_faults(file: ConfigFile) -> Iterator[Fault]:
    yield from KIND_FILES.unreadable(file, _mapping(file).get(KINDS_SECTION))
    sources = own_kind_sources(file)
    try:
        load_own_kinds(sources)
    except OwnModuleFault as fault:
        yield KIND_FILES.fault(file, str(fault))
        return
    for name, source in sources.items():
        yield from KIND_FILES.imports_left_behind(file, name, source)


def own_kind_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports. `Settings` with `extras` name the packages. The configuration has no faults."""
    sources = own_kind_sources(file)
    for (name, source), module in zip(sources.items(), load_own_kinds(sources).values(), strict=True):
        if not getattr(module.Settings, "extras", ()):
            yield from KIND_FILES.uncertain_imports(file, name, source)


def _mapping(file: ConfigFile) -> JsonObject:
    return file.document if isinstance(file.document, dict) else {}
