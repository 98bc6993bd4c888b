"""The operator's own kinds of destinations: Python files that the configuration names, carried in notify's slice.

A file is a module as http_kind.py describes it, and its name is the kind's.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import ModuleType
from typing import Final, TypeAlias

from functions.notify.destination import KINDS
from shared.own_modules import OwnModuleFault, own_module

OwnKinds: TypeAlias = Mapping[str, ModuleType]
NO_OWN_KINDS: Final[OwnKinds] = {}
_PARTS: Final = {
    "Settings": "class Settings(BaseModel)",
    "EXAMPLES": "EXAMPLES",
    "request": "def request(delivery, settings, secrets, attempt)",
    "outcome": "def outcome(response)",
}


def load_own_kinds(sources: Mapping[str, str]) -> OwnKinds:
    """Return the kinds in the files; `sources` maps each file's name to its text. Raises OwnModuleFault."""
    kinds: dict[str, ModuleType] = {}
    for file, source in sources.items():
        kind = PurePosixPath(file).stem
        if not kind.isidentifier():
            raise OwnModuleFault(f"{file}: the file's name is the kind's: letters, digits and '_' before .py")
        if kind in kinds or importlib.util.find_spec(f"{KINDS}.{kind}"):
            raise OwnModuleFault(f"{file}: there is another kind {kind!r}; give the file another name")
        module = own_module(file, source)
        if missing := [written for name, written in _PARTS.items() if not hasattr(module, name)]:
            raise OwnModuleFault(f"{file}: the kind {kind!r} has no `{missing[0]}`")
        kinds[kind] = module
    return kinds
