"""The state folder: one `hookchain dev` to a folder, for two would each push what the other has taken; and one user."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.cloud.local.database import OTHERS, PRIVATE_FILE, PRIVATE_FOLDER

FILE_NAME: Final = "dev.lock"
OURS: Final = (FILE_NAME, "bus.db", "journal.db", "ledger.db", "mail.db")
"""One of them is in every folder that has been a state folder."""


class StateInUse(Exception):
    """Its text says by which process, and what to do."""


class StateExposed(Exception):
    """Its text says which folder other users can read, and what to do."""


class StateGone(Exception):
    """Its text says which folder, and what to do."""


def require_there(state: Path) -> None:
    """Raises StateGone: what has a file open goes on with it, and what arrives is lost with the last of them."""
    if not (state / FILE_NAME).exists():
        advice = "start it again; stop it before you remove the folder"
        raise StateGone(f"{state} was removed while hookchain dev ran, so that nothing would be kept: {advice}.")


def make_private(state: Path) -> None:
    """Make the folder if it is missing, and let only its owner read it and all that it holds. Raises StateExposed.

    A folder that is not Hookchain's own, such as /tmp or a home folder, stays as it is.
    """
    state.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    mode = stat.S_IMODE(state.stat().st_mode)
    if not mode & OTHERS:
        return
    found = f"{state}: other users must not be able to read the state folder; got mode {mode:o}"
    is_used = any((state / name).exists() for name in OURS)
    if mode & stat.S_ISVTX or not (is_used or next(state.iterdir(), None) is None):
        advice = "Name another folder with --state, or set its mode to 700"
        raise StateExposed(f"{found}, and files that are not Hookchain's. {advice}.")
    try:
        state.chmod(PRIVATE_FOLDER)
        for path in state.rglob("*"):
            if not path.is_symlink():
                path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)
    except OSError as error:
        advice = "Name a folder of your own with --state"
        raise StateExposed(f"{found}, and it cannot be changed ({error.strerror}). {advice}.") from error
    if state.stat().st_mode & OTHERS:
        advice = "Name a folder on another file system with --state"
        raise StateExposed(f"{found}, and this file system does not keep modes. {advice}.")


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Raises StateInUse and StateExposed. The lock goes with the process, however that ends."""
    make_private(state)
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
