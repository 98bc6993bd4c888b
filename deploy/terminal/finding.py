"""The result of a check: ok, a problem with the one thing to do, or unknown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from deploy.terminal.command_line import CommandError

Verdict = Literal["ok", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` says it in a few words; `todo` is the one thing to do, empty if all is well."""

    verdict: Verdict
    found: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that limits its own time. An expected error means that the result is unknown."""

    name: str
    run: Callable[[], Finding]


def ok(found: str) -> Finding:
    return Finding("ok", found)


def problem(found: str, todo: str) -> Finding:
    return Finding("problem", found, todo)


def problem_of(fault: CommandError) -> Finding:
    """Return the problem that a fault describes as `what is wrong: what to do`."""
    found, _, todo = str(fault).partition(": ")
    return problem(found, todo)


def unknown(found: str, todo: str = "") -> Finding:
    return Finding("unknown", found, todo)


def worst(found: Mapping[str, Finding]) -> Finding:
    """Return the first problem, else the first that is unknown, with its name; else that all is well."""
    for verdict in ("problem", "unknown"):
        for name, finding in found.items():
            if finding.verdict == verdict:
                return Finding(verdict, f"{name}: {finding.found}", finding.todo)
    return ok("; ".join(f"{name}: {finding.found}" for name, finding in found.items()))
