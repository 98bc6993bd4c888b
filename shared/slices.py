"""The compiled configuration of one function: plain JSON, checked when it was compiled and not again."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import HookchainError
from shared.jsontext import Json, JsonObject
from shared.logs import log, trace_in
from shared.settings import Settings


class SliceFault(HookchainError):
    """The slice is missing or does not load: the function cannot run."""


def load_slice(settings: Settings, function_folder: Path) -> JsonObject:
    """The slice that HOOKCHAIN_SLICE names, else the bundle's own, else, in a checkout, one compiled now.

    Raises SliceFault.
    """
    root = function_folder.parent.parent
    path = settings.slice_file or root / "slice.json"
    if settings.slice_file or path.is_file():
        try:
            return parse_slice(path.read_bytes(), function_folder.name)
        except OSError as error:
            raise SliceFault("slice", f"{path}: {error.strerror}; compile it with `make bundle`") from error
    return parse_slice(_compile_now(root, function_folder.name), function_folder.name)


def load_or_exit(settings: Settings, function_folder: Path) -> JsonObject:
    """Load the slice, and name the project of the traces in the log where Cloud Run reads it."""
    if settings.metadata_host:
        trace_in(settings.project)
    with exit_at_fault(function_folder.name):
        return load_slice(settings, function_folder)


@contextmanager
def exit_at_fault(function: str) -> Iterator[None]:
    """For an entry point: a SliceFault goes to the log and ends the process, so the platform shows it failed."""
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
        raise SliceFault("slice", f"the slice of {function} is not JSON; compile it again") from error
    found = document.get("function") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != function:
        raise SliceFault("slice", f"expected a slice of {function!r}, found one of {found!r}; compile it again")
    return document


def _compile_now(root: Path, function: str) -> bytes:
    """In a process of its own, so that this one imports no more here than it does in a bundle."""
    if not (root / "deploy" / "config" / "compiler.py").is_file():
        raise SliceFault("slice", f"no slice.json in {root}; make one with `make bundle`")
    command = [sys.executable, "-m", "deploy.config.compiler", function]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603 our own module, no shell
    if done.returncode:
        raise SliceFault("slice", done.stderr.decode(errors="replace").strip())
    return done.stdout
