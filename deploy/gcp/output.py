"""What a deployment ends with: each source's URL, and a line that posts to it."""

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

from deploy.gcp.first_values import where_to_read
from deploy.gcp.graph import Deployment
from deploy.gcp.plan import Action
from deploy.google.gcloud import shown
from deploy.requests.smoke_event import example_event
from deploy.requests.source_entries import routes_from
from deploy.requests.source_example import example_line
from deploy.requests.source_lines import SIGNED, sources_of, ways_of
from deploy.requests.trial import trial_type
from deploy.terminal.tables import DIM, GREEN, RED, Screen, cut
from shared.jsontext import Json


def closing(deployment: Deployment, made: Sequence[str], told: str) -> Iterator[str]:
    """`made` are the names of secrets that were made at random; `told` is what commands have to be told of where."""
    target = deployment.target
    for name in made:
        yield f"Secret {name} was made at random. To read it:"
        yield f"  {shown(where_to_read(name, deployment), target.project)}"
    yield "Senders post to:"
    is_signed = False
    for name, source in sources_of(deployment.slices["receive"]).items():
        yield f"  {deployment.url('receive')}/{name}"
        if line := curl(deployment, name, source):
            yield f"    {line}"
        is_signed = is_signed or not line
    if is_signed:
        yield "What to type in each sender's settings:"
        yield f"  .venv/bin/hookchain sources --platform gcp{told}"
    yield "Follow a test event to its end:"
    yield f"  .venv/bin/hookchain smoke --platform gcp{told}"


def curl(deployment: Deployment, name: str, source: Json) -> str:
    """As `hookchain sources` has it: it reads the secret itself, so it can be pasted as it is. Empty where a signature
    is wanted, or no POST."""
    methods = source.get("methods") if isinstance(source, dict) else None
    if not (isinstance(source, dict) and isinstance(methods, list) and "POST" in methods):
        return ""
    event = example_event(source, trial_type(name, list(routes_from(deployment.slices["transform"], name))))
    url, ways = f"{deployment.url('receive')}/{name}", [way for way in ways_of(source) if way["scheme"] not in SIGNED]
    return next(filter(None, (example_line(url, way, event, deployment.target) for way in ways)), "")


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
