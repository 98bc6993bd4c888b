"""Faults on demand of the emulated bus and mail service: GET, POST and DELETE /emulator/faults.

They are chosen by seeded generators, so that a run can be repeated. The document of a POST:

    {"seed": 7, "bus": {"duplicate": 0.05, "nack": 0.05}, "mail": {"unplugged": true}}

Faults that it does not name stay as they are. If any value is invalid, nothing is changed.
"""

import json
import random
from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import Final

from aiohttp import web

from shared.jsontext import Json, JsonObject, to_json

PATH: Final = "/emulator/faults"
KINDS: Final = ("429", "500", "503", "403", "hang")
MOST_NEXT: Final = 1_000_000
# A copy arrives at once, while the first may still be in progress, or long after.
_COPY_DELAYS: Final = (0.0, 1.5)


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of the bus, as shares from 0 to 1.

    unavailable  publishes that are rejected with 503, nothing stored
    unconfirmed  publishes that are stored, and answered 503 nevertheless
    duplicate    deliveries that are made twice
    delay        messages that wait up to `delay_seconds` before their first delivery
    nack         pushes whose acknowledgement is lost
    """

    unavailable: float = 0.0
    unconfirmed: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 2.0
    nack: float = 0.0

    def changed(self, changes: JsonObject) -> "Faults":
        """Return the faults with these changes. Raises ValueError."""
        names = {field.name for field in fields(self)}
        if unknown := changes.keys() - names:
            raise ValueError(f"bus: must have {', '.join(sorted(names))}; got {min(unknown)!r}.")
        most = {"delay_seconds": 600.0}
        return replace(self, **{name: _number(name, value, most.get(name, 1.0)) for name, value in changes.items()})

    def document(self) -> JsonObject:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Arrival:
    """The delays of a message and of its copy, which is None without a copy."""

    delay_seconds: float = 0.0
    copy_after_seconds: float | None = None


AT_ONCE: Final = Arrival()


@dataclass(slots=True)
class FaultPlan:
    """The bus's faults, and the generator that chooses what they hit. `is_paused`: nothing is pushed."""

    faults: Faults = field(default_factory=Faults)
    generator: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 -- dice for faults
    is_paused: bool = False

    def rejects_publish(self) -> bool:
        return self._happens(self.faults.unavailable)

    def loses_confirmation(self) -> bool:
        return self._happens(self.faults.unconfirmed)

    def loses_acknowledgement(self) -> bool:
        return self._happens(self.faults.nack)

    def arrival(self) -> Arrival:
        faults = self.faults
        if not (faults.duplicate or faults.delay):
            return AT_ONCE
        delay = self.generator.uniform(0, faults.delay_seconds) if self._happens(faults.delay) else 0.0
        copy = self.generator.choice(_COPY_DELAYS) if self._happens(faults.duplicate) else None
        return Arrival(delay, copy)

    def _happens(self, share: float) -> bool:
        return share > 0 and self.generator.random() < share


@dataclass(slots=True)
class MailFaults:
    """The mail service's faults, and the generator that chooses what they hit.

    unplugged   every request is answered 503, as by a mail service that is down: nothing is accepted
    shares      share (0 to 1) of the requests with each of KINDS: a response of that status (403 is SendGrid's for an
                unverified sender), or `hang`: no response for `hang_seconds`
    next        kinds for the next requests, in order, before any share counts
    """

    unplugged: bool = False
    shares: dict[str, float] = field(default_factory=dict)
    next: deque[str] = field(default_factory=deque)
    hang_seconds: float = 30.0
    generator: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 -- dice for faults

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
        self.unplugged = unplugged
        self.shares = shares
        self.next = coming
        self.hang_seconds = hang_seconds

    def document(self) -> JsonObject:
        return {
            "unplugged": self.unplugged,
            "shares": dict(self.shares),
            "next": [*self.next],
            "hang_seconds": self.hang_seconds,
        }

    def choose(self) -> str | None:
        """Return the fault of this request: one of KINDS, `unplugged`, or None."""
        if self.unplugged:
            return "unplugged"
        if self.next:
            return self.next.popleft()
        if not self.shares:
            return None
        drawn = self.generator.random()
        for kind, share in self.shares.items():
            if drawn < share:
                return kind
            drawn -= share
        return None


class FaultRoutes:
    """The requests that show and change the faults of one process. `bus` or `mail` is None where it has none."""

    def __init__(self, bus: FaultPlan | None, mail: MailFaults | None) -> None:
        self._bus = bus
        self._mail = mail

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.show), web.post(PATH, self.change), web.delete(PATH, self.clear)]

    async def show(self, _: web.Request) -> web.Response:
        document: JsonObject = {}
        if self._bus:
            document["bus"] = self._bus.faults.document()
        if self._mail:
            document["mail"] = self._mail.document()
        return web.Response(body=to_json(document).encode(), content_type="application/json")

    async def change(self, request: web.Request) -> web.Response:
        try:
            self.apply(json.loads(await request.read()))
        except (ValueError, RecursionError) as error:
            return web.Response(status=400, text=f"{error}\n")
        return await self.show(request)

    async def clear(self, request: web.Request) -> web.Response:
        if self._bus:
            self._bus.faults = Faults()
        if self._mail:
            self._mail.change(MailFaults().document())
        return await self.show(request)

    def apply(self, changes: Json) -> None:
        """Change the faults. Raises ValueError, and changes nothing then."""
        known = {"seed", *(["bus"] if self._bus else []), *(["mail"] if self._mail else [])}
        if not isinstance(changes, dict) or changes.keys() - known:
            raise ValueError(f"faults: must be a JSON object of {', '.join(sorted(known))}.")
        bus, mail, seed = changes.get("bus", {}), changes.get("mail", {}), changes.get("seed")
        if not isinstance(bus, dict) or not isinstance(mail, dict):
            raise ValueError("faults: 'bus' and 'mail' must be objects.")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ValueError(f"seed: must be a whole number; got {seed!r}.")
        changed = self._bus.faults.changed(bus) if self._bus else None
        if self._mail:
            self._mail.change(mail)
        if self._bus and changed:
            self._bus.faults = changed
        if seed is not None:
            for each in (self._bus, self._mail):
                if each:
                    each.generator.seed(seed)


def _shares(value: Json) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError('shares: must be an object such as {"503": 0.1}.')
    shares = {_kind(kind): _number(f"shares.{kind}", share, 1) for kind, share in value.items()}
    if sum(shares.values()) > 1:
        raise ValueError("shares: must not be over 1 together.")
    return shares


def _coming(value: Json) -> deque[str]:
    """Return the kinds in order, from entries such as `{"kind": "503", "count": 3}`."""
    coming: deque[str] = deque()
    for each in value if isinstance(value, list) else [None]:
        entry = each if isinstance(each, dict) else {}
        count = entry.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST_NEXT:
            raise ValueError(f"count: must be a whole number from 1 to {MOST_NEXT}; got {count!r}.")
        coming.extend([_kind(entry.get("kind"))] * count)
    return coming


def _kind(value: Json) -> str:
    if value not in KINDS or not isinstance(value, str):
        raise ValueError(f"kind: must be one of {', '.join(KINDS)}; got {value!r}.")
    return value


def _number(name: str, value: Json, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{name}: must be a number from 0 to {most:g}; got {value!r}.")
    return float(value)
