"""A limit of a platform, and what of a deployment is over it."""

from collections.abc import Iterable
from dataclasses import dataclass

from deploy.terminal.command_line import CommandError


@dataclass(frozen=True, slots=True)
class Measured:
    """`what` has `count` of `unit`, and may have `most`. `source` is the page of the limit, `todo` what to do.

    `can_grow`: the platform raises the limit on request.
    """

    what: str
    unit: str
    count: int
    most: int
    source: str
    todo: str
    can_grow: bool = False

    @property
    def text(self) -> str:
        raised = ", or request a higher quota" if self.can_grow else ""
        rule = f"may have at most {self.most:,} {self.unit}; got {self.count:,}"
        return f"{self.what} {rule}. {self.todo}{raised}: {self.source}"


def over_limits(measured: Iterable[Measured]) -> list[Measured]:
    return [each for each in measured if each.count > each.most]


def require_limits(measured: Iterable[Measured]) -> list[str]:
    """Return warnings of limits that the platform raises on request. Raise CommandError for the others."""
    found = over_limits(measured)
    if faults := [each.text for each in found if not each.can_grow]:
        raise CommandError("\n".join(faults))
    return [each.text for each in found]
