"""The audit log: who changed what, and when. It is a file in the state folder of whoever acts, with two lines of JSON
for each action, also where the action is on a cloud."""

import getpass
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.terminal.command_line import CommandError
from shared import jsontext, times

FILE_NAME: Final = "audit.jsonl"


@dataclass(slots=True)
class Action:
    """An action that is under way. `count` is how many events or deliveries it sends or makes due; None if unknown."""

    count: int | None = 0


@contextmanager
def audited(state: Path, where: str, tool: str, what: str, planned: int | None = None) -> Iterator[Action]:
    """Leave two records of the action inside: `begun` before it, and its outcome after it, also if it fails.

    If the first cannot be written, nothing is done. A process that is killed leaves only the first.

    `where` names the deployment, `tool` what the operator uses, `what` the action with its subject, and `planned` how
    many events or deliveries it chose, if that is known. Raises CommandError.
    """
    begun: jsontext.JsonObject = {
        "at": times.rfc3339(time.time()),
        "id": secrets.token_hex(8),
        "who": _user(),
        "tool": tool,
        "where": where,
        "what": what,
    }
    if planned is not None:
        begun["planned"] = planned
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        append_line(state / FILE_NAME, {**begun, "outcome": "begun"})
    except OSError as error:
        rule = f"{state / FILE_NAME} cannot be written ({error.strerror})"
        raise CommandError(f"{rule}, so nothing was changed") from error
    action, outcome = Action(), "failed"
    try:
        yield action
        outcome = "done"
    finally:
        with suppress(OSError):  # an error would say that the action has failed
            count: jsontext.JsonObject = {} if action.count is None else {"count": action.count}
            append_line(state / FILE_NAME, {**begun, **count, "outcome": outcome})


def append_line(path: Path, record: jsontext.JsonObject) -> None:
    """Write a line to the disk, after a line feed if the last line has none. Raises OSError."""
    line = json.dumps(record).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        # A disk that became full, or a power cut, leaves a part of a line.
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write(b"\n" + line if is_torn else line)
        file.flush()
        os.fsync(descriptor)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name
        return str(os.getuid())
