"""What is wrong with a configuration, all of it at once, each fault with its line."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Keys and positions from the top of the file: ("routes", 0, "to")."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """`line` counts from 1; 0 where there is no file. `where` names the thing, `rule` what it breaks and what to do."""

    line: int
    where: str
    rule: str

    def text(self, file: str) -> str:
        place = f"{file}:{self.line}: " if self.line else ""
        return f"{place}{self.where}: {self.rule}" if self.where else f"{place}{self.rule}"


class ConfigFaults(Exception):
    """The configuration is refused. Its text lists every fault, one a line."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(fault.text(file) for fault in self.faults))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'crm'?`, or what there is, or nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(names)}" if names else ""
