"""The limits of a platform, which a configuration may exceed: each platform's module measures what it limits."""

from collections.abc import Iterable
from dataclasses import dataclass

from deploy.terminal.command_line import CommandError


@dataclass(frozen=True, slots=True)
class Measured:
    """A part of a deployment, with what it has of something that its platform limits.

    what      the part: `the stack`, `the variable EMAIL_FROM`
    unit      what it has: `bytes`, `rules`
    count     how many it has; `most` is the limit
    source    the page of the platform's documentation that has the limit
    todo      what the operator can do, as the beginning of a sentence
    can_grow  the platform raises the limit on request
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
        """Return the sentence for an operator, if `count` is over the limit."""
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
