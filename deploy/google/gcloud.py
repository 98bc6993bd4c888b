"""Running gcloud: found on PATH, without questions, and always with a project."""

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
"""The exit code that the program `timeout` uses."""


class GcloudMissing(Exception):
    """gcloud is not on PATH."""


class GcloudFault(Exception):
    """gcloud failed. `line` can be pasted to try again; `message` is gcloud's own message."""

    def __init__(self, line: str, message: str) -> None:
        super().__init__(f"{message.strip() or 'gcloud failed without a message'}\nTo run it yourself: {line}")
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Answer:
    """The output of gcloud. `code` is its exit code."""

    code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Something that runs gcloud: Gcloud, or a fake in tests."""

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 600.0) -> Answer: ...


class Gcloud:
    """gcloud. `arguments` are what follows the word gcloud: `["run", "services", "list"]`."""

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
    """Return the command line as it is printed for people. Flags follow the command, so the project does too."""
    return ["gcloud", *arguments, *([f"--project={project}"] if project else [])]


def shown(arguments: Sequence[str], project: str | None) -> str:
    """Return the command line quoted for a shell."""
    return shlex.join(command_line(arguments, project))


def read_json(runner: Runner, arguments: Sequence[str], project: str | None, timeout_seconds: float = 60.0) -> Json:
    """Return the command's output with --format=json. Raises GcloudFault and GcloudMissing."""
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
    """Return the project of gcloud's own configuration; None if it has none, or if there is no gcloud."""
    try:
        answer = runner.run(["config", "get-value", "project"], timeout_seconds=20)
    except GcloudMissing:
        return None
    found = answer.stdout.strip()
    return found if answer.code == 0 and found and found != "(unset)" else None
