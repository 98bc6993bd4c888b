"""The audit log: who changed what, and when. It is a file in the state folder of whoever acts, with a line of JSON for
each action, also where the action is on a cloud."""

import getpass
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.times import rfc3339

FILE_NAME: Final = "audit.jsonl"


@dataclass(slots=True)
class Action:
    """An action that is under way. `count` is how many events or deliveries it sends or makes due."""

    count: int = 0


@contextmanager
def audited(state: Path, where: str, tool: str, what: str) -> Iterator[Action]:
    """Leave one record of the action inside, also if it fails. If no record can be written, nothing is done.

    `where` names the deployment, `tool` what the operator uses, and `what` the action with its subject. Raises OSError.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / FILE_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        action, outcome, began_at = Action(), "failed", time.time()
        try:
            yield action
            outcome = "done"
        finally:
            record = {
                "at": rfc3339(began_at),
                "who": _user(),
                "tool": tool,
                "where": where,
                "what": what,
                "count": action.count,
                "outcome": outcome,
            }
            file.write(json.dumps(record).encode() + b"\n")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name
        return str(os.getuid())
