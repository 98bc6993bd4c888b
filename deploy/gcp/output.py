"""The output of a deployment: its progress, and its last lines."""

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

from deploy.gcp.graph import Deployment
from deploy.gcp.plan import Action
from deploy.google import names
from deploy.google.gcloud import shown
from deploy.requests.command_lines import closing_lines
from deploy.terminal.output import DIM, GREEN, RED, Screen, cut


def closing(deployment: Deployment, made: Sequence[str], options: str) -> Iterator[str]:
    """Yield the last lines. `made` are the names of random secrets; `options` find the deployment in commands."""
    target = deployment.target

    def read(name: str) -> str:
        arguments = ("secrets", "versions", "access", "latest", f"--secret={names.secret_id(target, name)}")
        return shown(arguments, target.project)

    portal = deployment.url("subscribe") if "subscribe" in deployment.slices else ""
    where = f"--platform gcp{options}"
    return closing_lines(deployment.slices, deployment.url("receive"), made, read, where, portal)


_DONE = {"create": "created", "update": "updated", "delete": "deleted"}
_ACCOUNT = re.compile(r"serviceAccount:([^@ ]+)@\S+")
_DOING = {"create": "creating", "update": "updating", "delete": "deleting"}


class Lines:
    """Progress as lines. On a terminal, the last line shows what is running."""

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
            self._line(
                f"  {_named(action)}: waiting {seconds:.0f} s for an earlier change to reach all of Google Cloud"
            )

    def ended(self, action: Action, seconds: float, failed: bool) -> None:
        with self._lock:
            self._running.remove(f"{_DOING[action.verb]} {_named(action)}")
            self._count += 1
            width = len(str(self._total))
            number = self._screen.coloured(f"[{self._count:{width}}/{self._total}]", DIM)
            word = "failed" if failed else _DONE[action.verb]
            status = self._screen.coloured(word, RED if failed else GREEN)
            self._line(f"{number} {_named(action)} {status} in {seconds:.1f} s")
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
