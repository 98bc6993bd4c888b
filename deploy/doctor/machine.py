"""The checks of this machine: Python, ports, files, disk and clock."""

import importlib.util
import shutil
import stat
import sys
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from deploy.cloud_access.gcp import exchange
from deploy.config import dotenv, local_ports, running_dev
from deploy.config.dotenv_warnings import dotenv_warnings
from deploy.terminal.finding import Finding, ok, problem, unknown
from deploy.terminal.output import count_of

REQUIRED: Final = ("functions_framework", "aiohttp", "pydantic", "yaml", "jinja2", "httptools", "orjson", "pybase64")
"""The packages that `hookchain dev` imports."""
LEAST_FREE_BYTES: Final = 500_000_000
OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 14)
GOOGLE_CLOCK: Final = "https://www.googleapis.com/discovery/v1/apis?name=run&preferred=true"
AWS_CLOCK: Final = "https://dynamodb.us-east-1.amazonaws.com/ping"
"""A public page of each platform. Only the Date header of the response is read."""
MOST_SKEW_SECONDS: Final = 60.0
"""The largest difference between the clocks. Signatures allow 300 s, but tokens allow less."""


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    text = ".".join(map(str, version))
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return problem(f"Python {text}", "use Python 3.11 to 3.14: rm -r .venv, then make dev PYTHON=python3.13")
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        return problem(f"not installed here: {', '.join(missing)}", "run `make dev`, which installs them")
    return ok(f"Python {text}, with the required packages")


def ports(base: int, state: Path) -> Finding:
    """Check the ports from `base` up."""
    if running_dev.read_dev_file(state) is not None:
        return ok(f"used by the running `{running_dev.command_of(state)}` with {state}")
    try:
        local_ports.require_free(base)
    except local_ports.PortsTaken as fault:
        *complaint, todo = str(fault).split("\n")  # its last line says what to do
        return problem(" ".join(complaint), todo)
    return ok(f"free, from {base} up")


def processes(trouble: str, ledger_faults: Sequence[str], command: str = "make dev") -> Finding:
    """Check the processes that `command` runs.

    `trouble` says which of them do not answer, or begins with NOT_RESUMED; it is empty if all is well.
    """
    if trouble.startswith(running_dev.NOT_RESUMED):
        return problem(running_dev.NOT_RESUMED, running_dev.RESUME_ALL)
    if trouble:
        return problem(trouble, f"stop `{command}` and start it again")
    if ledger_faults:
        return problem("; ".join(ledger_faults), "close the program that has it open, or free space on its disk")
    return ok("each process answers")


def env_file(path: Path) -> Finding:
    if not path.exists():
        return ok("does not exist; `hookchain dev` creates it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return problem(f"{path} can be read by others (mode {mode:03o})", f"chmod 600 {path}")
    try:
        count = len(dotenv.read_dotenv(path))
        warnings = [warning.text for warning in dotenv_warnings(path, {}, set())]
    except dotenv.DotenvFault as fault:
        return problem(str(fault), "fix that line")
    if warnings:
        return unknown("; ".join(warnings), "correct the lines that are not as you intend")
    return ok(f"{count_of(count, 'value')}, readable by you only")


def disk(state: Path) -> Finding:
    """Check the state folder, or the nearest folder above it that exists."""
    folder = next(each for each in (state.absolute(), *state.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free at {folder}"
    if free < LEAST_FREE_BYTES:
        return problem(text, "free some space: receive answers 503 if it cannot write an event")
    try:
        probe = folder / ".hookchain-doctor"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return problem(f"{folder} cannot be written: {error.strerror}", "set HOOKCHAIN_STATE to another folder")
    return ok(text)


def make() -> Finding:
    found = shutil.which("make")
    return ok(found) if found else unknown("make is not on PATH", "install make, or use the hookchain command only")


def clock(url: str = GOOGLE_CLOCK) -> Finding:
    """Compare this machine's clock with the Date header of an answer over HTTPS."""
    _, headers = exchange("GET", url, {}, seconds=4.0)
    return clock_finding(headers.get("date"), time.time())


def clock_finding(date: str | None, now: float) -> Finding:
    try:
        skew = now - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return unknown("the answer has no Date header")
    if abs(skew) > MOST_SKEW_SECONDS:
        direction = "fast" if skew > 0 else "slow"
        advice = "set it by the network (Linux: timedatectl set-ntp true; macOS: System Settings, Date & Time)"
        return problem(
            f"this machine's clock is {abs(skew):.0f} s {direction}: signatures and tokens would fail", advice
        )
    return ok("right, to within a minute")
