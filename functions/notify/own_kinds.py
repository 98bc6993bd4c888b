"""The operator's own kinds of destinations: Python files beside the configuration, each of which is a kind."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import PurePosixPath
from types import ModuleType
from typing import Final, TypeAlias

from functions.notify.destination import KINDS
from shared import jsontext, own_modules

OwnKinds: TypeAlias = Mapping[str, ModuleType]
"""The modules by the names of their kinds."""
NO_OWN_KINDS: Final[OwnKinds] = {}
_PARTS_OF_KIND: Final = {
    "Settings": "class Settings(BaseModel)",
    "EXAMPLES": "EXAMPLES",
    "request": "def request(delivery, settings, secrets, attempt)",
    "outcome": "def outcome(response)",
}
"""The names that the module of an operator's own kind must define, and how a message shows them."""


def own_kinds_of(slice_: jsontext.JsonObject) -> OwnKinds:
    """Return the kinds whose files notify's slice has. Raises OwnModuleFault."""
    return load_own_kinds(own_modules.own_sources(slice_.get("own_kinds")))


def load_own_kinds(sources: Mapping[str, str]) -> OwnKinds:
    """Return the kinds in the files; `sources` maps each file's name to its text. Raises OwnModuleFault."""
    kinds: dict[str, ModuleType] = {}
    for file, source in sources.items():
        kind = PurePosixPath(file).stem
        if not kind.isidentifier():
            raise own_modules.OwnModuleFault(
                f"{file}: the file's name is the kind's: letters, digits and '_' before .py"
            )
        if kind in kinds or find_spec(f"{KINDS}.{kind}"):
            raise own_modules.OwnModuleFault(f"{file}: there is another kind {kind!r}; give the file another name")
        module = own_modules.own_module(file, source)
        if missing := [shown for name, shown in _PARTS_OF_KIND.items() if not hasattr(module, name)]:
            raise own_modules.OwnModuleFault(f"{file}: the kind {kind!r} has no `{missing[0]}`")
        kinds[kind] = module
    return kinds
