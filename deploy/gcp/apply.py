"""Applying a plan: actions whose needs are met run in parallel, and the first error stops the rest."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Final, Protocol

from deploy.cloud_access import gcp, gcp_names
from deploy.gcp import plan, resource, script

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
"""gcloud's words for a resource or a binding that does not exist. An earlier step may have removed it, as
--no-allow-unauthenticated removes the binding of allUsers."""


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

        Raises GcloudMissing, and CycleError for actions that need each other.
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
                    number = ready.pop(0)
                    running[pool.submit(self._one, actions[number])] = number
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    number, found = running.pop(done), done.result()
                    failure = failure or found
                    if found is None:
                        sorter.done(number)
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
        """Run the command, and again as long as it fails because an earlier change is not known everywhere yet."""
        stdin = self.values[command.secret].encode() if command.secret else None
        answer = self.runner.run(command.arguments, stdin, COMMAND_SECONDS)
        for seconds in gcp.PROPAGATION_WAITS_SECONDS:
            if _is_done(action, answer) or not any(text in answer.stderr for text in _NOT_YET):
                break
            self.progress.waits(action, seconds)
            self.sleep(seconds)
            answer = self.runner.run(command.arguments, stdin, COMMAND_SECONDS)
            if _already_exists(answer):
                return None
        return (
            None
            if _is_done(action, answer)
            else Failure(action, script.shell_line(command, self.target), answer.stderr.strip())
        )


def _is_done(action: plan.Action, answer: gcp.Answer) -> bool:
    """Return whether the command succeeded, or was to delete something that is already gone."""
    return answer.code == 0 or (action.verb == "delete" and any(text in answer.stderr for text in _GONE))


def _already_exists(answer: gcp.Answer) -> bool:
    """Return whether the attempt before reported an error, but did create the resource."""
    return answer.code != 0 and ("ALREADY_EXISTS" in answer.stderr or "already exists" in answer.stderr)


def _edges(actions: Sequence[plan.Action]) -> dict[int, set[int]]:
    """Return the positions of the actions that each action waits for. A need without an action is met already."""
    settled_by = {key: number for number, action in enumerate(actions) for key in action.settles}
    return {
        number: {settled_by[key] for key in action.needs if key in settled_by} for number, action in enumerate(actions)
    }
