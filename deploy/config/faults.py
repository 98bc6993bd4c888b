"""Faults of a configuration: all of them at once, each with its line."""

from collections.abc import Sequence
from dataclasses import dataclass

DocumentPath = tuple[str | int, ...]
"""Keys and positions from the top of the file: ("routes", 0, "to")."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A fault. `line` counts from 1, and is 0 if there is no file. `where` names the setting; `rule` is what it breaks,
    what was found, and what to do."""

    line: int
    where: str
    rule: str

    def text(self, file: str) -> str:
        place = f"{file}:{self.line}: " if self.line else ""
        return f"{place}{self.where}: {self.rule}" if self.where else f"{place}{self.rule}"


def unreadable(name: str) -> str:
    """Return the rule for a file that the configuration names and that cannot be read."""
    return f"the file {name!r}, relative to the configuration's folder, cannot be read"


class ConfigFaults(Exception):
    """The configuration is invalid. The text has one line for each fault."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(fault.text(file) for fault in self.faults))
