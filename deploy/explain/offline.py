"""Receive's ports without a platform: a bus that only remembers, and time as it is told."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from functions.receive.receive import Receiver
from functions.receive.source import read_sources
from shared.errors import Rejected
from shared.event import Event, from_cloudevent
from shared.http import ReadBody, Request
from shared.jsontext import JsonObject
from shared.ports import BusMessage
from shared.secrets import SecretStore


@dataclass(frozen=True, slots=True)
class FixedClock:
    at: float

    def now(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class RememberingBus:
    messages: list[BusMessage] = field(default_factory=list)

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:  # noqa: ARG002 the port's
        self.messages.extend(messages)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(from_cloudevent(json.loads(message.data)) for message in self.messages)


def offline_receiver(slice_: JsonObject, store: SecretStore, bus: RememberingBus, now: float) -> Receiver:
    return Receiver(
        sources=read_sources(slice_),
        secrets=store,
        bus=bus,
        blobs=None,
        clock=FixedClock(now),
        random_id=lambda: secrets.token_hex(16),
    )


def body_reader(request: Request) -> ReadBody:
    async def read(max_bytes: int) -> bytes:
        if len(request.body) > max_bytes:
            raise Rejected("raw", f"the body is larger than {max_bytes} bytes")
        return request.body

    return read
