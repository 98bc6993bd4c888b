"""A gcloud that is none: a program on PATH that plays canned answers and notes how it was called."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.gcloud.world import World

PROGRAM = """\
#!{python} -SE
import json, os, sys
from pathlib import Path

folder = Path({folder!r})
arguments = sys.argv[1:]
stdin = "" if sys.stdin.isatty() else sys.stdin.read()
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([arguments, stdin]) + "\\n")
answers = json.loads((folder / "answers").read_text())
matching = [words for words in answers if arguments[: len(words.split())] == words.split()]
if not matching:
    sys.exit("ERROR: (gcloud) the stub has no answer for: " + " ".join(arguments))
queue = answers[max(matching, key=len)]
answer = queue[0]
if len(queue) > 1:  # else nothing is written: calls may come side by side
    queue.pop(0)
    (folder / "answers").write_text(json.dumps(answers))
sys.stdout.write(answer["stdout"])
sys.stderr.write(answer["stderr"])
sys.exit(answer["code"])
"""


@dataclass(frozen=True, slots=True)
class Call:
    """`arguments` as the program got them, `--project=…` and `--quiet` among them."""

    arguments: tuple[str, ...]
    stdin: str


@dataclass(frozen=True, slots=True)
class StubGcloud:
    folder: Path

    @property
    def path(self) -> str:
        """For PATH: with it, and with what else there is."""
        return f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"

    @property
    def environ(self) -> Mapping[str, str]:
        return {**os.environ, "PATH": self.path}

    def answers(self, command: str, stdout: object = "", *, code: int = 0, stderr: str = "") -> None:
        """To every call whose arguments begin with these words; where several do, the longest counts. Given twice, the
        first call gets the first answer, and the last answer is repeated. What is no text is sent as JSON."""
        canned = json.loads((self.folder / "answers").read_text())
        text = stdout if isinstance(stdout, str) else json.dumps(stdout)
        canned.setdefault(command, []).append({"stdout": text, "stderr": stderr, "code": code})
        (self.folder / "answers").write_text(json.dumps(canned))

    @property
    def calls(self) -> list[Call]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [Call(tuple(arguments), stdin) for arguments, stdin in map(json.loads, lines)]


def install(folder: Path) -> StubGcloud:
    """Makes `<folder>/gcloud`. Without a canned answer it fails and says for what."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers").write_text("{}")
    (folder / "calls").write_text("")
    program = folder / "gcloud"
    program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    return StubGcloud(folder)


WORLD_PROGRAM = """\
#!/bin/sh
PYTHONPATH={root} exec {python} -S -m tests.gcloud.world {state} "$@"
"""


@dataclass(frozen=True, slots=True)
class WorldGcloud:
    """A gcloud that keeps what it makes: tests/gcloud/world.py behind a program on PATH."""

    folder: Path

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"

    @property
    def world(self) -> World:
        return World(**json.loads((self.folder / "state").read_text()))

    def keep(self, world: World) -> None:
        (self.folder / "state").write_text(json.dumps(world.kept))


def install_world(folder: Path, world: World) -> WorldGcloud:
    """Makes `<folder>/gcloud`, which begins with this world."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "gcloud"
    words = {"root": Path(__file__).parents[2], "python": sys.executable, "state": folder / "state"}
    program.write_text(WORLD_PROGRAM.format(**{name: shlex.quote(str(word)) for name, word in words.items()}))
    program.chmod(0o755)
    stub = WorldGcloud(folder)
    stub.keep(world)
    return stub
