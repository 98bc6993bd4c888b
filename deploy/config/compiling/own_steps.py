"""The operator's own steps: the files of `steps_from`."""

from collections.abc import Iterator
from typing import Final

from deploy.config.compiling.own_files import OwnFiles
from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault
from functions.transform.families import StepClasses, load_own_steps
from shared.jsontext import Json
from shared.own_modules import OwnModuleFault

STEPS_SECTION: Final = "steps_from"
STEP_FILES: Final = OwnFiles(STEPS_SECTION, "transform")


def own_steps(file: ConfigFile, names: Json) -> tuple[StepClasses, list[Fault]]:
    faults = list(STEP_FILES.unreadable(file, names))
    sources = STEP_FILES.sources(file, names)
    try:
        models = load_own_steps(sources)
    except OwnModuleFault as fault:
        return {}, [*faults, STEP_FILES.fault(file, str(fault))]
    for name, source in sources.items():
        faults += STEP_FILES.imports_left_behind(file, name, source)
    return models, faults


def own_step_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports. A step with `extras` names its packages itself. The configuration has no faults."""
    document = file.document if isinstance(file.document, dict) else {}
    for name, source in STEP_FILES.sources(file, document.get(STEPS_SECTION)).items():
        if not any(getattr(model, "extras", ()) for model in load_own_steps({name: source}).values()):
            yield from STEP_FILES.uncertain_imports(file, name, source)
