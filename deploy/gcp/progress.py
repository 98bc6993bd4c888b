"""What is being done, a line each, with how long it took."""

import re
import sys
import threading
from typing import TextIO

from deploy.gcp.plan import Action
from deploy.terminal.tables import DIM, GREEN, RED, Screen, cut

_DONE = {"create": "made", "update": "updated", "delete": "removed"}
_ACCOUNT = re.compile(r"serviceAccount:([^@ ]+)@\S+")
_DOING = {"create": "making", "update": "updating", "delete": "removing"}


class Lines:
    """On a terminal what runs now stands below, and is written over by what is done."""

    def __init__(self, total: int, screen: Screen, stream: TextIO = sys.stdout) -> None:
        self._total = total
        self._screen = screen
        self._stream = stream
        self._count = 0
        self._running: list[str] = []
        self._lock = threading.Lock()

    def began(self, action: Action) -> None:
        with self._lock:
            self._running.append(f"{_DOING[action.verb]} {_named(action)}")
            self._show_running()

    def waits(self, action: Action, seconds: float) -> None:
        with self._lock:
            self._line(f"  {_named(action)}: not known everywhere at Google yet; again in {seconds:.0f} s")

    def ended(self, action: Action, seconds: float, failed: bool) -> None:
        with self._lock:
            self._running.remove(f"{_DOING[action.verb]} {_named(action)}")
            self._count += 1
            width = len(str(self._total))
            number = self._screen.coloured(f"[{self._count:{width}}/{self._total}]", DIM)
            word = "failed" if failed else _DONE[action.verb]
            said = self._screen.coloured(word, RED if failed else GREEN)
            self._line(f"{number} {_named(action)} {said} in {seconds:.1f} s")
            self._show_running()

    def _line(self, text: str) -> None:
        erased = "\r\x1b[K" if self._screen.width else ""
        self._stream.write(f"{erased}{text}\n")
        self._stream.flush()

    def _show_running(self) -> None:
        if self._screen.width:
            text = cut(", ".join(self._running), self._screen.width - 1)
            self._stream.write(f"\r\x1b[K{self._screen.coloured(text, DIM)}")
            self._stream.flush()


def _named(action: Action) -> str:
    if action.kind == "api":
        return f"{len(action.settles)} APIs"
    name = _ACCOUNT.sub(lambda found: found[1], action.name)
    return f"{action.kind} {name}"


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
