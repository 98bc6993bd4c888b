"""The result of a check: ok, a problem with the one thing to do, or unknown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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


def unknown(found: str, todo: str = "") -> Finding:
    return Finding("unknown", found, todo)
