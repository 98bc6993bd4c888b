"""The kinds of destinations: one module each in `functions/notify/destinations/`, and the operator's own."""

import importlib
import importlib.util
import pkgutil
import re
import traceback
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Final

from pydantic import BaseModel

import functions.notify.destinations as kinds_package
from functions.notify import destination, own_kinds
from shared.did_you_mean import did_you_mean, nearest

_loaded: Final[dict[str, int]] = {}
"""The modification time of each kind's file when it was loaded, so that `hookchain dev` reloads a changed one."""


class KindFault(ValueError):
    """A module cannot be used. The text names the file, and the line if it is known."""


def destination_kinds() -> list[str]:
    return _kinds_in(tuple((folder, Path(folder).stat().st_mtime_ns) for folder in kinds_package.__path__))


@lru_cache(maxsize=1)
def _kinds_in(folders: tuple[tuple[str, int], ...]) -> list[str]:
    """Return the kinds in the folders, each with its modification time.

    To list them each time took a third of the time in which a file is checked.
    """
    return [module.name for module in pkgutil.iter_modules([folder for folder, _ in folders])]


def settings_model(kind: str, own: own_kinds.OwnKinds = own_kinds.NO_OWN_KINDS) -> type[BaseModel]:
    """Return the model of the kind's settings. `own` are the operator's kinds. Raises KindFault."""
    if kind in own:
        model: type[BaseModel] = own[kind].Settings
        return model
    return _loaded_kind(kind)[0]


def speaks_http(kind: str) -> bool:
    """Return whether the kind consists of a request and an outcome. Raises KindFault."""
    return not hasattr(_loaded_kind(kind)[1], "connect")


def kind_summary(kind: str, own: own_kinds.OwnKinds = own_kinds.NO_OWN_KINDS) -> str:
    """Return the first line about the kind. Raises KindFault."""
    return (settings_model(kind, own).__doc__ or "").strip().partition("\n")[0]


def suggested_kinds(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'sql'?` for `postgres`: a kind with a similar name, or one whose summary has the word.

    Without one, return the names that exist.
    """
    names = sorted(known)
    about = [kind for kind in destination_kinds() if _is_about(kind, name)] if nearest(name, names) is None else []
    return f"; did you mean {' or '.join(map(repr, about))}?" if about else did_you_mean(name, names)


def no_person_rule(kind: str) -> str:
    """Return the rule for a `to` that the kind does not have."""
    kinds = [each for each in destination_kinds() if getattr(settings_model(each), "person_address", "")]
    return f"{kind!r} cannot address a person. Kinds that can: {', '.join(kinds)}"


def _is_about(kind: str, word: str) -> bool:
    try:
        return re.search(rf"\b{re.escape(word)}", kind_summary(kind), re.IGNORECASE) is not None
    except KindFault:  # which is reported where the kind is used
        return False


def _loaded_kind(kind: str) -> tuple[type[BaseModel], ModuleType]:
    """Return the model of its settings, and its module."""
    try:
        settings, module = _module(kind, "settings"), _module(kind)
    except SyntaxError as error:
        raise KindFault(f"{kind}.py: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # it is the operator's own code, so its words may be shown
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _file(kind)]
        place = f"{kind}.py: line {lines[-1]}" if lines else f"{kind}.py"
        message = str(error).partition("\n")[0]
        raise KindFault(f"{place}: {type(error).__name__}: {message}") from error
    if not hasattr(settings, "Settings"):
        raise KindFault(f"{kind}.py: must define `Settings`; see functions/notify/http_kind.py")
    if not hasattr(module, "connect") and not (hasattr(module, "request") and hasattr(module, "outcome")):
        rule = "must define `request` and `outcome`, or `connect`"
        raise KindFault(f"{kind}.py: {rule}; see functions/notify/http_kind.py")
    model: type[BaseModel] = settings.Settings
    return model, module


def _module(kind: str, in_package: str = "") -> ModuleType:
    module = importlib.import_module(destination.kind_module(kind, in_package))
    written = Path(_file(kind)).stat().st_mtime_ns
    if _loaded.setdefault(kind, written) != written:
        module = importlib.reload(module)
        _loaded[kind] = written
    return module


def _file(kind: str) -> str:
    spec = importlib.util.find_spec(destination.kind_module(kind))
    return str(spec.origin) if spec else ""
