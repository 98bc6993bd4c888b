"""A plan as lines that can be pasted into a shell."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from deploy.gcp.plan import Action
from deploy.gcp.resource import Command
from deploy.google.gcloud import command_line
from deploy.google.target import Target
from shared.one_line import oneline

PROJECT_NUMBER: Final = "${PROJECT_NUMBER}"
"""Stands for the number in a plan that asked nobody."""
_SAFE_IN_QUOTES: Final = re.compile(r"[^\"`\\!$]*")


def script(actions: Sequence[Action], target: Target) -> Iterator[str]:
    if any(PROJECT_NUMBER in text for action in actions for each in action.commands for text in each.arguments):
        asking = ("projects", "describe", target.project, "--format=value(projectNumber)")
        yield f"PROJECT_NUMBER=$({shlex.join(command_line(asking, target.project))})"
    for number, action in enumerate(actions, 1):
        yield ""
        yield oneline(f"# {number} of {len(actions)}: {action.verb} {action.kind} {action.name}: {action.why}")
        for command in action.commands:
            yield shell_line(command, target)


def shell_line(command: Command, target: Target) -> str:
    line = " ".join(map(_quoted, command_line(command.arguments, target.project)))
    if command.secret:
        # The value is typed or made here, and stands neither in a history nor in a list of processes.
        return f"{line}  # reads the value of {command.secret} from here, up to Ctrl-D"
    return line


def _quoted(text: str) -> str:
    if PROJECT_NUMBER in text and all(map(_SAFE_IN_QUOTES.fullmatch, text.split(PROJECT_NUMBER))):
        return f'"{text}"'
    return shlex.quote(text)
