"""One `hookchain dev` to a state folder: two would each push what the other has taken."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FILE_NAME: Final = "dev.lock"


class StateInUse(Exception):
    """Its text says by which process, and what to do."""


class StateGone(Exception):
    """Its text says which folder, and what to do."""


def require_there(state: Path) -> None:
    """Raises StateGone: what has a file open goes on with it, and what arrives is lost with the last of them."""
    if not (state / FILE_NAME).exists():
        advice = "start it again; stop it before you remove the folder"
        raise StateGone(f"{state} was removed while hookchain dev ran, so that nothing would be kept: {advice}.")


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Raises StateInUse. The lock goes with the process, however that ends."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / FILE_NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            advice = "stop that one, or name another folder with --state"
            raise StateInUse(f"{state} is in use by another hookchain dev (process {owner}): {advice}.") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
