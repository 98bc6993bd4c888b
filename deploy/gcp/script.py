"""A plan as a shell script: the same commands, each with its reason."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from deploy.cloud_access.gcp import command_line
from deploy.cloud_access.gcp_names import Target
from deploy.gcp.plan import Action
from deploy.gcp.resource import Command
from shared.event import oneline

PROJECT_NUMBER: Final = "${PROJECT_NUMBER}"
"""The placeholder for the project's number in a plan that calls no API."""

_SAFE_IN_QUOTES: Final = re.compile(r"[^\"`\\!$]*")
"""Text that a shell leaves as it is between double quotes."""


def script(actions: Sequence[Action], target: Target) -> Iterator[str]:
    """Yield the lines of a shell script that does what the plan does, each command with its reason."""
    if any(PROJECT_NUMBER in text for action in actions for each in action.commands for text in each.arguments):
        asking = ("projects", "describe", target.project, "--format=value(projectNumber)")
        yield f"PROJECT_NUMBER=$({shlex.join(command_line(asking, target.project))})"
    for number, action in enumerate(actions, 1):
        yield ""
        yield oneline(f"# {number} of {len(actions)}: {action.verb} {action.kind} {action.name}: {action.why}")
        for command in action.commands:
            yield shell_line(command, target)


def shell_line(command: Command, target: Target) -> str:
    """Return the command as a line for a shell. A secret's value is never part of it."""
    line = " ".join(map(_quoted, command_line(command.arguments, target.project)))
    if command.secret:
        # The value is read from standard input, so that neither a shell's history nor a list of processes shows it.
        return f"{line}  # type the value of {command.secret}, then Ctrl-D"
    return line


def _quoted(text: str) -> str:
    """Return the argument quoted for a shell, which is still to replace PROJECT_NUMBER in it."""
    if PROJECT_NUMBER in text and all(map(_SAFE_IN_QUOTES.fullmatch, text.split(PROJECT_NUMBER))):
        return f'"{text}"'
    return shlex.quote(text)
