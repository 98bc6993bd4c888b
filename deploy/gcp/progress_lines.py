"""The lines that a deployment or a removal prints while its actions run."""

import re
import sys
import threading
from typing import Final

from deploy.gcp import plan
from deploy.terminal import output, progress

_DOING: Final = {"create": "creating", "update": "updating", "delete": "deleting"}
_DONE: Final = {"create": "created", "update": "updated", "delete": "deleted"}
_ACCOUNT: Final = re.compile(r"serviceAccount:([^@ ]+)@\S+")
"""A service account as a member of a binding. A line has only the name in its address."""


class ProgressLines:
    """A `Progress` of deploy/gcp/apply.py that prints a line for each action that ends or waits.

    On a terminal, the last line shows what is running. `total` is the number of actions. The lock keeps the lines of
    the threads apart.
    """

    def __init__(self, total: int, screen: output.Screen) -> None:
        self._total = total
        self._screen = screen
        self._passing = progress.PassingLine(sys.stdout)
        self._count = 0
        self._running: list[str] = []
        self._lock = threading.Lock()

    def began(self, action: plan.Action) -> None:
        with self._lock:
            self._running.append(f"{_DOING[action.verb]} {_text(action)}")
            self._show_running()

    def waits(self, action: plan.Action, seconds: float) -> None:
        with self._lock:
            self._line(f"  {_text(action)}: waiting {seconds:.0f} s for an earlier change to reach all of Google Cloud")

    def ended(self, action: plan.Action, seconds: float, failed: bool) -> None:
        with self._lock:
            self._running.remove(f"{_DOING[action.verb]} {_text(action)}")
            self._count += 1
            width = len(str(self._total))
            number = self._screen.coloured(f"[{self._count:{width}}/{self._total}]", output.DIM)
            word = "failed" if failed else _DONE[action.verb]
            status = self._screen.coloured(word, output.RED if failed else output.GREEN)
            self._line(f"{number} {_text(action)} {status} in {seconds:.1f} s")
            self._show_running()

    def _line(self, text: str) -> None:
        self._passing.clear()
        print(text, flush=True)

    def _show_running(self) -> None:
        text = output.cut(", ".join(self._running), self._screen.line_columns - 1)
        self._passing.show(self._screen.coloured(text, output.DIM))


def _text(action: plan.Action) -> str:
    """Return the text that names the action's resource."""
    if action.kind == "api":  # all APIs are enabled by one action
        return f"{len(action.settles)} APIs"
    name = _ACCOUNT.sub(lambda found: found[1], action.name)
    return f"{action.kind} {name}"
