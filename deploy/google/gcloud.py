"""The one way to run gcloud: found on PATH, never asking anything, its project always said."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.jsontext import Json

TIMED_OUT: Final = 124
"""As the program `timeout` says it."""


class GcloudMissing(Exception):
    """There is no gcloud on PATH."""


class GcloudFault(Exception):
    """gcloud answered with an error. `line` can be pasted to try again; `said` is gcloud's own message."""

    def __init__(self, line: str, said: str) -> None:
        super().__init__(f"{said.strip() or 'gcloud failed and said nothing'}\ntry it by hand: {line}")
        self.line = line
        self.said = said


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` is gcloud's exit code."""

    code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """What runs gcloud: this module's Gcloud, and the tests' fakes."""

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 600.0) -> Answer: ...


class Gcloud:
    """`arguments` everywhere are what stands after the word gcloud: `["run", "services", "list"]`."""

    def __init__(self, project: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._project = project
        self._environ = environ

    def line(self, arguments: Sequence[str]) -> list[str]:
        return [*command_line(arguments, self._project), "--quiet"]

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 600.0) -> Answer:
        """Raises GcloudMissing."""
        environ = dict(os.environ if self._environ is None else self._environ)
        program = shutil.which("gcloud", path=environ.get("PATH"))
        if program is None:
            where = "https://cloud.google.com/sdk/docs/install, or use Cloud Shell, which has it"
            raise GcloudMissing(f"gcloud is not on PATH: install it from {where}")
        try:
            done = subprocess.run(
                [program, *self.line(arguments)[1:]],
                env=environ,
                capture_output=True,
                check=False,
                timeout=timeout_seconds,
                input=stdin or b"",
            )
        except subprocess.TimeoutExpired:
            return Answer(TIMED_OUT, "", f"gcloud did not answer within {timeout_seconds:.0f} s")
        return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def command_line(arguments: Sequence[str], project: str | None) -> list[str]:
    """As it is printed for people. Flags come after the command's words, so the project does too."""
    return ["gcloud", *arguments, *([f"--project={project}"] if project else [])]


def shown(arguments: Sequence[str], project: str | None) -> str:
    """To be pasted into a shell."""
    return shlex.join(command_line(arguments, project))


def read_json(runner: Runner, arguments: Sequence[str], project: str | None, timeout_seconds: float = 60.0) -> Json:
    """What the command answers with --format=json. Raises GcloudFault and GcloudMissing."""
    arguments = [*arguments, "--format=json"]
    answer = runner.run(arguments, timeout_seconds=timeout_seconds)
    if answer.code:
        raise GcloudFault(shown(arguments, project), answer.stderr)
    try:
        found: Json = json.loads(answer.stdout or "null")
    except ValueError as error:
        raise GcloudFault(shown(arguments, project), "gcloud's answer is not JSON") from error
    return found


def configured_project(runner: Runner) -> str | None:
    """The project of gcloud's own configuration; None where it has none, or there is no gcloud."""
    try:
        answer = runner.run(["config", "get-value", "project"], timeout_seconds=20)
    except GcloudMissing:
        return None
    found = answer.stdout.strip()
    return found if answer.code == 0 and found and found != "(unset)" else None
