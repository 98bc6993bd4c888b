"""What a mail provider may do to you, on demand: by shares of a seeded generator, or for the next few requests."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from shared.jsontext import Json, JsonObject

KINDS: Final = ("429", "500", "503", "403", "hang")
MOST_NEXT: Final = 1_000_000


@dataclass(slots=True)
class MailFaults:
    """
    unplugged   every request is answered 503, as by a provider that is down: nothing is accepted, and that is known
    shares      share (0 to 1) of the requests that get each of KINDS: an answer of that status (403 is SendGrid's for
                an unverified sender), or `hang`: no answer for `hang_seconds`
    next        kinds that the next requests get, in order, before any share counts
    """

    unplugged: bool = False
    shares: dict[str, float] = field(default_factory=dict)
    next: deque[str] = field(default_factory=deque)
    hang_seconds: float = 30.0

    def change(self, changes: JsonObject) -> None:
        """`{"unplugged": true, "shares": {"503": 0.1}, "next": [{"kind": "429", "count": 3}], "hang_seconds": 5}`.

        `shares` and `next` replace what was there. Raises ValueError, in words for a person, and changes nothing.
        """
        unknown = changes.keys() - {"unplugged", "shares", "next", "hang_seconds"}
        if unknown:
            raise ValueError(f"unknown mail fault {min(unknown)!r}; known are unplugged, shares, next, hang_seconds")
        unplugged = changes.get("unplugged", self.unplugged)
        if not isinstance(unplugged, bool):
            raise ValueError(f"'unplugged' is true or false; found {unplugged!r}")
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

    def strike(self, generator: random.Random) -> str | None:
        """The kind of fault that this request gets, or `unplugged`; None for none."""
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
        raise ValueError("'shares' is an object like {\"503\": 0.1}")
    shares = {_kind(kind): _number(f"shares.{kind}", share, 1) for kind, share in value.items()}
    if sum(shares.values()) > 1:
        raise ValueError("the mail faults' shares are over 1 together")
    return shares


def _coming(value: Json) -> deque[str]:
    if not isinstance(value, list):
        raise ValueError('\'next\' is a list like [{"kind": "503", "count": 3}]')
    coming: deque[str] = deque()
    for each in value:
        if not isinstance(each, dict):
            raise ValueError('each of \'next\' is an object like {"kind": "503", "count": 3}')
        count = each.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST_NEXT:
            raise ValueError(f"'count' is a whole number from 1 to {MOST_NEXT}; found {count!r}")
        coming.extend([_kind(each.get("kind"))] * count)
    return coming


def _kind(value: Json) -> str:
    if value not in KINDS or not isinstance(value, str):
        raise ValueError(f"unknown kind of mail fault {value!r}; known are {', '.join(KINDS)}")
    return value


def _number(name: str, value: Json, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{name!r} is a number from 0 to {most:g}; found {value!r}")
    return float(value)
