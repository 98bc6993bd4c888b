"""Bytecode in the functions' packages, without which Lambda compiles every module again at each cold start.

A function's folder is read-only on Lambda, `sam build` leaves bytecode out, and SAM's archives have no times, so that
Python would not use bytecode that names its source's time. This names none: the source never changes beside it.
https://docs.python.org/3/reference/import.html#pyc-invalidation
"""

import subprocess
from pathlib import Path
from typing import Final

FOLDER_ON_LAMBDA: Final = "/var/task"
TIMEOUT_SECONDS: Final = 300


def write_bytecode(package: Path, python: Path) -> None:
    """Compile the modules of a built package with the Python of Lambda's version. What does not compile stays as it is.

    The same modules give the same bytes, so that a deployment without a change has none.
    """
    paths = ["-s", str(package), "-p", FOLDER_ON_LAMBDA, str(package)]
    command = [str(python), "-I", "-m", "compileall", "-qq", "-f", "--invalidation-mode", "unchecked-hash", *paths]
    subprocess.run(command, check=False, timeout=TIMEOUT_SECONDS)
