"""Faults on demand of the emulated bus and mail service: GET, POST and DELETE /emulator/faults.

Those of the bus are chosen by a seeded generator, so that a run can be repeated. The document of a POST:

    {"seed": 7, "bus": {"duplicate": 0.05, "nack": 0.05}, "mail": {"unplugged": true}}

Faults that it does not name stay as they are. If any value is invalid, nothing is changed.
"""

import json
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.dev.local_server import json_answer
from shared.config.values import fault_text
from shared.jsontext import Json, JsonObject

PATH: Final = "/emulator/faults"
# A copy arrives at once, while the first may still be in progress, or long after.
_COPY_DELAYS: Final = (0.0, 1.5)

Kind: TypeAlias = Literal["429", "500", "503", "403", "hang"]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=600)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Faults(_Part):
    """Faults of the bus, as shares from 0 to 1.

    unavailable  publishes that are rejected with 503, nothing stored
    unconfirmed  publishes that are stored, and answered 503 nevertheless
    duplicate    deliveries that are made twice
    delay        messages that wait up to `delay_seconds` before their first delivery
    nack         pushes whose acknowledgement is lost
    """

    unavailable: Share = 0.0
    unconfirmed: Share = 0.0
    duplicate: Share = 0.0
    delay: Share = 0.0
    delay_seconds: Seconds = 2.0
    nack: Share = 0.0

    def changed(self, changes: Mapping[str, object]) -> "Faults":
        """Return the faults with these changes. Raises ValidationError."""
        return Faults.model_validate({**self.model_dump(), **changes})


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

    def arrival(self) -> Arrival:
        faults = self.faults
        if not (faults.duplicate or faults.delay):
            return AT_ONCE
        delay = self.generator.uniform(0, faults.delay_seconds) if self.happens(faults.delay) else 0.0
        copy = self.generator.choice(_COPY_DELAYS) if self.happens(faults.duplicate) else None
        return Arrival(delay, copy)

    def happens(self, share: float) -> bool:
        """Return whether a fault hits this time. `share` is one of `faults`, such as `nack`."""
        return share > 0 and self.generator.random() < share


class NextFaults(_Part):
    """A fault of the next requests, so many of them."""

    kind: Kind
    count: Annotated[int, Field(gt=0, le=1_000_000)] = 1


class MailSettings(_Part):
    """The faults of the mail service.

    unplugged   every request is answered 503, as by a mail service that is down: nothing is accepted
    next        kinds for the next requests, in order: a response of that status (403 is SendGrid's for an unverified
                sender), or `hang`: no response for `hang_seconds`
    """

    unplugged: bool = False
    next: list[NextFaults] = []
    hang_seconds: Seconds = 30.0


@dataclass(slots=True)
class MailFaults:
    """The mail service's faults. `coming`: what `next` has left."""

    settings: MailSettings = field(default_factory=MailSettings)
    coming: deque[Kind] = field(default_factory=deque)

    def change(self, changes: Mapping[str, object]) -> None:
        """Apply changes: `{"unplugged": true, "next": [{"kind": "429", "count": 3}]}`.

        `next` replaces what was there. Raises ValidationError, and changes nothing then.
        """
        self.settings = MailSettings.model_validate({**self.settings.model_dump(), **changes})
        if "next" in changes:
            self.coming = deque([each.kind for each in self.settings.next for _ in range(each.count)])

    def document(self) -> JsonObject:
        return {**self.settings.model_dump(), "next": [*self.coming]}

    def choose(self) -> Kind | None:
        """Return the fault of this request; None if it has none."""
        if self.settings.unplugged:
            return "503"
        return self.coming.popleft() if self.coming else None


class _Changes(_Part):
    seed: int | None = None
    bus: dict[str, object] = {}
    mail: dict[str, object] = {}


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
            document["bus"] = self._bus.faults.model_dump()
        if self._mail:
            document["mail"] = self._mail.document()
        return json_answer(document)

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
            self._mail.change(MailSettings().model_dump())
        return await self.show(request)

    def apply(self, document: Json) -> None:
        """Change the faults. Raises ValueError, and changes nothing then."""
        try:
            changes = _Changes.model_validate(document)
            for name, part in (("bus", self._bus), ("mail", self._mail)):
                if part is None and name in changes.model_fields_set:
                    raise ValueError(f"{name}: this process has no such faults")
            bus_faults = self._bus.faults.changed(changes.bus) if self._bus else None
            if self._mail:
                self._mail.change(changes.mail)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, each['loc'])) or 'faults'}: {fault_text(each)}" for each in error.errors()]
            raise ValueError("; ".join(faults)) from error
        if self._bus and bus_faults:
            self._bus.faults = bus_faults
            if changes.seed is not None:
                self._bus.generator.seed(changes.seed)
