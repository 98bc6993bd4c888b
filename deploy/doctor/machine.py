"""What `hookchain dev` needs of this machine."""

import importlib.util
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.config.dev_file import read_hint
from deploy.config.dotenv import DotenvFault, read_dotenv
from deploy.config.ports import PortsTaken, require_free
from deploy.terminal.finding import Finding, ok, problem, unknown

NEEDED: Final = ("functions_framework", "aiohttp", "pydantic", "yaml", "jinja2", "httptools")
LEAST_FREE_BYTES: Final = 500_000_000
OLDEST: Final = (3, 11)
NEWEST: Final = (3, 14)


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    said = ".".join(map(str, version))
    if not OLDEST <= version <= NEWEST:
        return problem(f"Python {said}", "take one of 3.11 to 3.14: rm -r .venv, then make dev PYTHON=python3.13")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return problem(f"not installed here: {', '.join(missing)}", "make dev installs what is needed")
    return ok(f"Python {said}, with what is needed")


def ports(base: int, state: Path, is_free: Callable[[int], bool], owner: Callable[[int], str | None]) -> Finding:
    if read_hint(state) is not None:
        return ok(f"in use by the `hookchain dev` that runs with {state}")
    try:
        require_free(base, is_free, owner)
    except PortsTaken as fault:
        *taken, todo = str(fault).split("\n")
        return problem(" ".join(taken), todo)
    return ok(f"free, from {base} on")


def env_file(path: Path) -> Finding:
    if not path.exists():
        return ok("not there; `hookchain dev` makes it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return problem(f"{path} can be read by others (mode {mode:03o})", f"chmod 600 {path}")
    try:
        count = len(read_dotenv(path))
    except DotenvFault as fault:
        return problem(str(fault), "mend that line")
    return ok(f"{count} value{'' if count == 1 else 's'}, readable by you alone")


def disk(state: Path) -> Finding:
    """Of the state folder, or of the nearest folder above it that is there."""
    folder = next(each for each in (state.absolute(), *state.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:.1f} GB free at {folder}"
    if free < LEAST_FREE_BYTES:
        return problem(said, "make room: what cannot be written is answered 503")
    try:
        probe = folder / ".hookchain-doctor"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return problem(f"{folder} cannot be written: {error.strerror}", "name another folder with HOOKCHAIN_STATE")
    return ok(said)


def make() -> Finding:
    found = shutil.which("make")
    return ok(found) if found else unknown("make is not on PATH", "install it, or use hookchain's commands alone")
