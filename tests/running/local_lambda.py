"""The processes of a `hookchain dev --platform aws`, as a test finds them."""

import contextlib
from pathlib import Path

import pytest

from deploy.dev.aws.environments import find_tools
from deploy.terminal.command_line import CommandError


def require_tools() -> None:
    """Skip the test where AWS's tools are not installed."""
    try:
        find_tools()
    except CommandError as missing:
        pytest.skip(str(missing))


def pids_of(text: str) -> list[int]:
    """Return the processes whose environment has the text, but those that ended."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and text.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def runtimes(state: Path, function: str) -> list[int]:
    """Return the Lambda runtimes that run the function for the `hookchain dev` of this state folder."""
    found = []
    for pid in pids_of(str(state)):
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            is_runtime = b"runtime.py" in arguments and b"lambda-rie" not in arguments
            if is_runtime and f"functions.{function}.".encode() in arguments:
                found.append(pid)
    return found
