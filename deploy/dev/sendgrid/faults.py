"""Faults of the mail service on demand: a share of the requests, by a seeded generator, or the next few requests."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from shared.jsontext import Json, JsonObject

KINDS: Final = ("429", "500", "503", "403", "hang")
MOST_NEXT: Final = 1_000_000


@dataclass(slots=True)
class MailFaults:
    """The faults that are set.

    unplugged   every request is answered 503, as by a mail service that is down: nothing is accepted
    shares      share (0 to 1) of the requests with each of KINDS: a response of that status (403 is SendGrid's for an
                unverified sender), or `hang`: no response for `hang_seconds`
    next        kinds for the next requests, in order, before any share counts
    """

    unplugged: bool = False
    shares: dict[str, float] = field(default_factory=dict)
    next: deque[str] = field(default_factory=deque)
    hang_seconds: float = 30.0

    def change(self, changes: JsonObject) -> None:
        """Apply changes: `{"unplugged": true, "shares": {"503": 0.1}, "next": [{"kind": "429", "count": 3}]}`.

        `shares` and `next` replace what was there. Raises ValueError, and changes nothing then.
        """
        unknown = changes.keys() - {"unplugged", "shares", "next", "hang_seconds"}
        if unknown:
            raise ValueError(f"mail: must have unplugged, shares, next or hang_seconds; got {min(unknown)!r}.")
        unplugged = changes.get("unplugged", self.unplugged)
        if not isinstance(unplugged, bool):
            raise ValueError(f"unplugged: must be true or false; got {unplugged!r}.")
        shares = _shares(changes["shares"]) if "shares" in changes else self.shares
        coming = _coming(changes["next"]) if "next" in changes else self.next
        hang_seconds = _number("hang_seconds", changes.get("hang_seconds", self.hang_seconds), 600)
        self.unplugged, self.shares, self.next, self.hang_seconds = unplugged, shares, coming, hang_seconds

    def clear(self) -> None:
        self.change({"unplugged": False, "shares": {}, "next": [], "hang_seconds": 30.0})

    def document(self) -> JsonObject:
        return {
            "unplugged": self.unplugged,
            "shares": dict(self.shares),
            "next": [*self.next],
            "hang_seconds": self.hang_seconds,
        }

    def choose(self, generator: random.Random) -> str | None:
        """Return the fault of this request: one of KINDS, `unplugged`, or None."""
        if self.unplugged:
            return "unplugged"
        if self.next:
            return self.next.popleft()
        if not self.shares:
            return None
        drawn = generator.random()
        for kind, share in self.shares.items():
            if drawn < share:
                return kind
            drawn -= share
        return None


def _shares(value: Json) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError('shares: must be an object such as {"503": 0.1}.')
    shares = {_kind(kind): _number(f"shares.{kind}", share, 1) for kind, share in value.items()}
    if sum(shares.values()) > 1:
        raise ValueError("shares: must not be over 1 together.")
    return shares


def _coming(value: Json) -> deque[str]:
    if not isinstance(value, list):
        raise ValueError('next: must be a list such as [{"kind": "503", "count": 3}].')
    coming: deque[str] = deque()
    for each in value:
        if not isinstance(each, dict):
            raise ValueError('next: each must be an object such as {"kind": "503", "count": 3}.')
        count = each.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST_NEXT:
            raise ValueError(f"count: must be a whole number from 1 to {MOST_NEXT}; got {count!r}.")
        coming.extend([_kind(each.get("kind"))] * count)
    return coming


def _kind(value: Json) -> str:
    if value not in KINDS or not isinstance(value, str):
        raise ValueError(f"kind: must be one of {', '.join(KINDS)}; got {value!r}.")
    return value


def _number(name: str, value: Json, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{name}: must be a number from 0 to {most:g}; got {value!r}.")
    return float(value)
