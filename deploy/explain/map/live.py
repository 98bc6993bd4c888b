"""The current states and the traffic of a map's sources, routes and destinations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["source", "route", "destination"]
Level: TypeAlias = Literal["", "off", "warn", "bad"]
"""How urgent a state is. `off`: the configuration disables it, which is no trouble."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


@dataclass(frozen=True, slots=True)
class State:
    """The state of a source, route or destination that an operator must know. `word` is empty if it works."""

    level: Level = ""
    word: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The number of events or deliveries in the last hour; with `is_more`, there may have been more.

    per_minute       the current rate; None if nothing happens now
    failed           how many deliveries became dead letters
    waiting          how many deliveries wait now for an attempt, or are held
    is_more_waiting  more may wait
    """

    count: int = 0
    is_more: bool = False
    per_minute: float | None = None
    failed: int = 0
    waiting: int = 0
    is_more_waiting: bool = False

    @property
    def text(self) -> str:
        is_counted = self.count or self.is_more or not (self.failed or self.waiting_text)
        counted = number_text(self.count, self.is_more) if is_counted else ""
        rate = "" if self.per_minute is None else rate_text(self.per_minute)
        failed = f"{self.failed} failed" if self.failed else ""
        return " · ".join(filter(None, (counted, rate, failed, self.waiting_text)))

    @property
    def waiting_text(self) -> str:
        is_known = self.waiting or self.is_more_waiting
        return f"{number_text(self.waiting, self.is_more_waiting)} waiting" if is_known else ""


def number_text(number: int, is_more: bool) -> str:
    return f"{number}+" if is_more else str(number)


def rate_text(per_minute: float) -> str:
    if per_minute >= 60:
        return f"{per_minute / 60:.3g}/s"
    return f"{per_minute:.2g}/min" if per_minute >= 1 else f"{per_minute * 60:.2g}/h"


def total(traffic: Sequence[Traffic]) -> Traffic:
    rates = [each.per_minute for each in traffic if each.per_minute is not None]
    return Traffic(
        count=sum(each.count for each in traffic),
        is_more=any(each.is_more for each in traffic),
        per_minute=sum(rates) if rates else None,
        failed=sum(each.failed for each in traffic),
        waiting=sum(each.waiting for each in traffic),
        is_more_waiting=any(each.is_more_waiting for each in traffic),
    )


@dataclass(frozen=True, slots=True)
class Live:
    """The current states by kind and name, and the current traffic by source, and by route and destination.

    `used` are the destinations to which something was delivered, or may have been.
    """

    states: Mapping[tuple[Kind, str], State] = field(default_factory=dict)
    sources: Mapping[str, Traffic] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], Traffic] = field(default_factory=dict)
    used: frozenset[str] = frozenset()

    def urgency(self, kind: Kind, name: str) -> int:
        """Return the number of the level: the larger, the more urgent."""
        return LEVELS.index(self.states.get((kind, name), State()).level)
