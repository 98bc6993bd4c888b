"""What is wrong with a configuration, all of it at once, each fault with its line."""

from collections.abc import Sequence
from dataclasses import dataclass

DocumentPath = tuple[str | int, ...]
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


def unreadable(name: str) -> str:
    """The rule for a file that the configuration names."""
    return f"the file {name!r}, relative to the configuration's folder, cannot be read"


class ConfigFaults(Exception):
    """The configuration is refused. Its text lists every fault, one a line."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(fault.text(file) for fault in self.faults))
