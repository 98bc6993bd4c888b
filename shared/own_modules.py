"""The operator's own Python files, carried as text in a function's slice.

The operator is trusted: the code runs as the built-in code does.
"""

import sys
import traceback
from functools import cache
from pathlib import PurePosixPath
from types import ModuleType
from typing import Final

from shared.errors import place_of

PACKAGE: Final = "own_modules"


class OwnModuleFault(ValueError):
    """A file cannot be used. The text names the file, and the line if there is one."""


@cache
def own_module(file: str, source: str) -> ModuleType:
    """Return the module that the text makes. The errors of the operator's own code are shown with their texts.

    Raises OwnModuleFault.
    """
    module = ModuleType(".".join((PACKAGE, *PurePosixPath(file).with_suffix("").parts)))
    sys.modules[module.__name__] = module  # pydantic looks up the names in annotations there
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 the operator's code is meant to run
    except SyntaxError as error:
        raise OwnModuleFault(f"{file}: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a script's `sys.exit` would end this process without a message
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        place = f"{file}: line {lines[-1]}" if lines else file
        first_line = str(error).partition("\n")[0]  # pydantic adds lines
        raise OwnModuleFault(f"{place}: {type(error).__name__}: {first_line}") from error
    return module


def own_sources(written: object) -> dict[str, str]:
    """Return the texts of the files in a slice, by their names."""
    return {str(file): str(text) for file, text in written.items()} if isinstance(written, dict) else {}


def is_own(function: object) -> bool:
    """Return whether the function is in an operator's own file."""
    return str(getattr(function, "__module__", "")).startswith(f"{PACKAGE}.")


def place_in_own_module(error: BaseException) -> str:
    """Return the error's type and line, as `place_of` does; a line in an operator's own file comes first."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(f"{PACKAGE}."):
            place = f"{type(error).__name__} at {frame.f_code.co_filename}:{line}"
    return place or place_of(error)
