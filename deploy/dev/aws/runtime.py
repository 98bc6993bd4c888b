"""The process that runs a handler: Lambda's runtime client for Python, which the runtime interface emulator starts.

Run as `python runtime.py PACKAGES HANDLER`, in the folder that has the code. PACKAGES has the client; it comes last on
the path, so that its neighbours replace none of the function's own packages. The emulator gives the process a group of
its own and does not end it when it is killed itself, so this process watches it.
"""

import os
import runpy
import sys
import threading
import time
from pathlib import Path

WATCH_SECONDS = 0.25


def end_with(parent: int) -> None:
    """End this process once its parent is another one than `parent`."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def main(packages: str, handler: str) -> None:
    sys.path[0] = str(Path.cwd())
    sys.path.append(packages)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    sys.argv = ["awslambdaric", handler]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
