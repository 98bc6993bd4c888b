"""The compiled configuration of one function: plain JSON, validated when it was compiled and not again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from shared.errors import HookchainError
from shared.jsontext import Json, JsonObject
from shared.logs import log, set_trace_project
from shared.settings import Settings, read_settings

ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder of the bundle, or of the checkout."""


class SliceFault(HookchainError):
    """The slice is missing or does not load: the function cannot run."""


@cache
def settings() -> Settings:
    """Return the settings of this process, read once: the common part of each function's wiring."""
    return read_settings(os.environ)


@cache
def slice_or_exit(function: str) -> JsonObject:
    """Load the function's slice once, and name the project of the log's traces where Cloud Run reads it."""
    if settings().metadata_host:
        set_trace_project(settings().project)
    with exit_at_fault(function):
        return load_slice(function, settings().slice_file)


def load_slice(function: str, slice_file: Path | None = None, root: Path = ROOT) -> JsonObject:
    """Load the slice in that file, else the bundle's own, else, in a checkout, one compiled now.

    Raises SliceFault.
    """
    path = slice_file or root / "slice.json"
    if slice_file or path.is_file():
        try:
            return parse_slice(path.read_bytes(), function)
        except OSError as error:
            raise SliceFault("invalid_slice", f"{path}: {error.strerror}; compile it with `make bundle`") from error
    return parse_slice(_compile_now(root, function), function)


@contextmanager
def exit_at_fault(function: str) -> Iterator[None]:
    """Log a SliceFault and end the process, so that the platform shows that it failed."""
    try:
        yield
    except SliceFault as fault:
        log("CRITICAL", "the configuration does not load", function=function, detail=fault.detail)
        raise SystemExit(f"{function}: {fault.detail}") from fault


def parse_slice(content: bytes, function: str) -> JsonObject:
    """Raises SliceFault for what was not compiled for this function."""
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise SliceFault("invalid_slice", f"the slice of {function} is not JSON; compile it again") from error
    found = document.get("function") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != function:
        raise SliceFault("invalid_slice", f"expected a slice of {function!r}, found one of {found!r}; compile it again")
    return document


def _compile_now(root: Path, function: str) -> bytes:
    """Compile in a process of its own, so that this one imports no more here than it does in a bundle."""
    if not (root / "deploy" / "config" / "compiler.py").is_file():
        raise SliceFault("invalid_slice", f"no slice.json in {root}; make one with `make bundle`")
    command = [sys.executable, "-m", "deploy.config.compiler", function]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603 our own module, no shell
    if done.returncode:
        raise SliceFault("invalid_slice", done.stderr.decode(errors="replace").strip())
    return done.stdout
