"""Carrying out a plan, or writing it as a shell script: the same commands, each with its reason.

Actions whose needs are met run in parallel, and the first failure stops the rest.
"""

import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Final, Protocol

from deploy.cloud_access import gcp, gcp_names
from deploy.gcp import plan, resource
from shared.event import oneline

WORKERS: Final = 4
COMMAND_SECONDS: Final = 1200.0
"""How long one command may take. The build of a function takes some minutes."""

_NOT_YET: Final = (
    # These are errors of something that was just created or granted, and is not known everywhere at Google yet.
    "has not been used in project",  # an API that was just enabled
    "SERVICE_DISABLED",
    "does not exist",  # an account that was just made
    "concurrent policy changes",
    "Permission denied on secret",  # what was just allowed
    "does not have storage.objects.get access",
    "iam.serviceAccounts.actAs",  # as an account that was just made; Cloud Run writes it in either way
    "iam.serviceaccounts.actAs",
    "permissions might take a few minutes to propagate",  # to Cloud Run itself, in a project that just turned it on
    "underlying data changed",  # Firestore still takes in the change of another field
    "cross-transaction contention",
    "Cannot find metric",  # of an API that was just enabled
)
_GONE: Final = ("NOT_FOUND", "not found", "could not be found", "does not exist")
"""gcloud's words for a resource or a binding that does not exist. To a deletion they mean that it is done, and are no
reason to repeat it: an earlier step may have removed the binding, as --no-allow-unauthenticated removes allUsers."""
_EXISTS: Final = ("ALREADY_EXISTS", "already exists")

PROJECT_NUMBER: Final = "${PROJECT_NUMBER}"
"""The placeholder for the project's number in a plan that calls no API."""

_SAFE_IN_QUOTES: Final = re.compile(r"[^\"`\\!$]*")
"""Text that a shell leaves as it is between double quotes."""


class Progress(Protocol):
    """A display of the actions that run. It is called from several threads, also at the same time."""

    def began(self, action: plan.Action) -> None: ...

    def waits(self, action: plan.Action, seconds: float) -> None:
        """Show that a command is repeated after this wait."""

    def ended(self, action: plan.Action, seconds: float, failed: bool) -> None:
        """Show that the action ended, `seconds` after it began."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed action. `line` can be pasted to try again; `message` is gcloud's own message."""

    action: plan.Action
    line: str
    message: str


@dataclass(frozen=True, slots=True)
class Applying:
    """A run of actions. `values` are the texts by name of the secrets that the actions create."""

    runner: gcp.Runner
    target: gcp_names.Target
    values: Mapping[str, str]
    progress: Progress
    workers: int = WORKERS
    sleep: Callable[[float], None] = field(default=time.sleep)

    def apply(self, actions: Sequence[plan.Action]) -> Failure | None:
        """Run the actions, and return the first failure or None. After it no action starts, and running ones finish.

        What needs a failed action is never ready, because the sorter is not told that this one is done. Raises
        GcloudMissing, and CycleError for actions that need each other.
        """
        sorter = TopologicalSorter(_edges(actions))
        sorter.prepare()
        ready: list[int] = []
        running: dict[Future[Failure | None], int] = {}
        failure: Failure | None = None
        with ThreadPoolExecutor(self.workers) as pool:
            while running or (failure is None and sorter.is_active()):
                ready += sorter.get_ready()
                while ready and failure is None and len(running) < self.workers:
                    position = ready.pop(0)
                    running[pool.submit(self._one, actions[position])] = position
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    position, its_failure = running.pop(ended), ended.result()
                    failure = failure or its_failure
                    if its_failure is None:
                        sorter.done(position)
        return failure

    def _one(self, action: plan.Action) -> Failure | None:
        """Run the action's commands in order, up to the first that fails."""
        began = time.monotonic()
        self.progress.began(action)
        for file in action.files:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            file.path.write_text(file.content, encoding="utf-8")
        failure = next((found for command in action.commands if (found := self._run(action, command))), None)
        self.progress.ended(action, time.monotonic() - began, failure is not None)
        return failure

    def _run(self, action: plan.Action, command: resource.Command) -> Failure | None:
        """Run the command, and again as long as it fails because an earlier change is not known everywhere yet.

        If a repeated command finds that its resource exists, the attempt before created it, and only reported an error.
        At the first attempt the same answer is a failure: the resource is somebody else's.
        """
        stdin = self.values[command.secret].encode() if command.secret else None
        answer = self.runner.run(command.arguments, stdin, COMMAND_SECONDS)
        for seconds in gcp.PROPAGATION_WAITS_SECONDS:
            if _is_done(action, answer) or not _says(answer, _NOT_YET):
                break
            self.progress.waits(action, seconds)
            self.sleep(seconds)
            answer = self.runner.run(command.arguments, stdin, COMMAND_SECONDS)
            if answer.code and _says(answer, _EXISTS):
                return None
        if _is_done(action, answer):
            return None
        return Failure(action, shell_line(command, self.target), answer.stderr.strip())


def _is_done(action: plan.Action, answer: gcp.Answer) -> bool:
    """Return whether the command succeeded, or was to delete something that is already gone."""
    return answer.code == 0 or (action.verb == "delete" and _says(answer, _GONE))


def _says(answer: gcp.Answer, texts: Iterable[str]) -> bool:
    return any(text in answer.stderr for text in texts)


def _edges(actions: Sequence[plan.Action]) -> dict[int, set[int]]:
    """Return the positions of the actions that each action waits for. A need without an action is met already."""
    settled_by = {key: position for position, action in enumerate(actions) for key in action.settles}
    return {
        position: {settled_by[key] for key in action.needs if key in settled_by}
        for position, action in enumerate(actions)
    }


# The script


def script(actions: Sequence[plan.Action], target: gcp_names.Target) -> Iterator[str]:
    """Yield the lines of a shell script that does what the plan does, each command with its reason."""
    if any(PROJECT_NUMBER in text for action in actions for each in action.commands for text in each.arguments):
        asking = ("projects", "describe", target.project, "--format=value(projectNumber)")
        yield f"PROJECT_NUMBER=$({shlex.join(gcp.command_line(asking, target.project))})"
    for number, action in enumerate(actions, 1):
        yield ""
        yield oneline(f"# {number} of {len(actions)}: {action.verb} {action.kind} {action.name}: {action.why}")
        for command in action.commands:
            yield shell_line(command, target)


def shell_line(command: resource.Command, target: gcp_names.Target) -> str:
    """Return the command as a line for a shell. A secret's value is never part of it."""
    line = " ".join(map(_quoted, gcp.command_line(command.arguments, target.project)))
    if command.secret:
        # The value is read from standard input, so that neither a shell's history nor a list of processes shows it.
        return f"{line}  # type the value of {command.secret}, then Ctrl-D"
    return line


def _quoted(text: str) -> str:
    """Return the argument quoted for a shell, which is still to replace PROJECT_NUMBER in it."""
    if PROJECT_NUMBER in text and all(map(_SAFE_IN_QUOTES.fullmatch, text.split(PROJECT_NUMBER))):
        return f'"{text}"'
    return shlex.quote(text)
