"""The output of a deployment: its progress, and at its end each source's URL with a line that posts to it."""

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

from deploy.gcp.first_values import where_to_read
from deploy.gcp.graph import Deployment
from deploy.gcp.plan import Action
from deploy.google.gcloud import shown
from deploy.requests.command_lines import CURL_SCHEMES, example_line
from deploy.requests.events import make_example_event, routed_type
from deploy.requests.sources import auth_entries, compiled_sources, routes_from
from deploy.terminal.tables import DIM, GREEN, RED, Screen, cut
from shared.jsontext import Json


def closing(deployment: Deployment, made: Sequence[str], options: str) -> Iterator[str]:
    """Yield the last lines. `made` are the names of random secrets; `options` find the deployment in commands."""
    target = deployment.target
    for name in made:
        yield f"Secret {name} has a random value. To read it:"
        yield f"  {shown(where_to_read(name, deployment), target.project)}"
    yield "Senders post to:"
    is_signed = False
    for name, source in compiled_sources(deployment.slices["receive"]).items():
        yield f"  {deployment.url('receive')}/{name}"
        if line := curl(deployment, name, source):
            yield f"    {line}"
        is_signed = is_signed or not line
    if is_signed:
        yield "The settings for each sender:"
        yield f"  .venv/bin/hookchain sources --platform gcp{options}"
    yield "Send a test event and follow its delivery:"
    yield f"  .venv/bin/hookchain smoke --platform gcp{options}"


def curl(deployment: Deployment, name: str, source: Json) -> str:
    """Return a curl line as `hookchain sources` prints it, which reads the secret itself. Empty for a source that needs
    a signature or does not accept POST."""
    methods = source.get("methods") if isinstance(source, dict) else None
    if not (isinstance(source, dict) and isinstance(methods, list) and "POST" in methods):
        return ""
    event = make_example_event(source, routed_type(name, list(routes_from(deployment.slices["transform"], name))))
    url = f"{deployment.url('receive')}/{name}"

    def read(secret: str) -> str:
        return shown(where_to_read(secret, deployment), deployment.target.project)

    entries = [entry for entry in auth_entries(source) if entry["scheme"] in CURL_SCHEMES]
    return next(filter(None, (example_line(url, entry, event, read) for entry in entries)), "")


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
