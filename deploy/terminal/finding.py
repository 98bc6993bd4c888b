"""What a check found: all is well, a problem with the one thing to do, or that it cannot tell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` in a few words; `todo` is the one thing to do, empty where all is well."""

    verdict: Verdict
    found: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """`run` is bounded in time by itself. What it raises on purpose means that it cannot tell."""

    name: str
    run: Callable[[], Finding]


def ok(found: str) -> Finding:
    return Finding("ok", found)


def problem(found: str, todo: str) -> Finding:
    return Finding("problem", found, todo)


def unknown(found: str, todo: str = "") -> Finding:
    return Finding("unknown", found, todo)
