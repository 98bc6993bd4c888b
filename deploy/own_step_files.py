"""The operator's own steps: the files that `steps_from` names, read for the slice and loaded for the checks."""

from collections.abc import Iterator

from deploy.config_file import ConfigFile
from deploy.faults import Fault
from functions.transform.families import StepModels
from functions.transform.own_steps import OwnStepsFault, load_own_steps
from shared.jsontext import Json

SECTION = "steps_from"


def own_step_sources(file: ConfigFile, names: Json) -> dict[str, str]:
    """Each file's text by its name, those that can be read."""
    sources = {}
    for name in names if isinstance(names, list) else []:
        text = _text(file, name)
        if isinstance(name, str) and text is not None:
            sources[name] = text
    return sources


def own_steps(file: ConfigFile, names: Json) -> tuple[StepModels, list[Fault]]:
    faults = list(_unreadable(file, names))
    try:
        return load_own_steps(own_step_sources(file, names)), faults
    except OwnStepsFault as fault:
        return {}, [*faults, Fault(file.line((SECTION,)), SECTION, str(fault))]


def _unreadable(file: ConfigFile, names: Json) -> Iterator[Fault]:
    for position, name in enumerate(names if isinstance(names, list) else []):
        if isinstance(name, str) and _text(file, name) is None:
            rule = f"the file {name!r}, relative to the configuration's folder, cannot be read"
            yield Fault(file.line((SECTION, position)), SECTION, rule)


def _text(file: ConfigFile, name: Json) -> str | None:
    try:
        return (file.folder / str(name)).read_text(encoding="utf-8")
    except (OSError, ValueError):  # ValueError: no UTF-8, or a name with a NUL in it
        return None
