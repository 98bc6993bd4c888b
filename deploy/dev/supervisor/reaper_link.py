"""The supervisor's end of the pipe to the reaper."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.dev.supervisor import reaper


class ReaperLink:
    """Within `with`, the groups that were given to `watch` end when this process does. `sockets` is removed last."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets

    def __enter__(self) -> Self:
        # A session of its own: neither Ctrl-C nor a kill of our group reaches it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, str(self._sockets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line)
        self._process.stdin.flush()
