"""Receive's ports without a platform: a bus that only remembers, and time as it is told."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from functions.receive.receive import Receiver
from functions.receive.sources import read_sources
from functions.transform.step import Services
from shared.cloud.platform import SystemClock, fetch
from shared.errors import Rejected
from shared.event import Event, from_cloudevent
from shared.http import ReadBody, Request
from shared.jsontext import JsonObject
from shared.ports import BusMessage, Clock, Fetch
from shared.secrets import SecretStore, from_environment, from_folder


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


class FirstOwners:
    """Every event is the first of its key."""

    async def owner(self, _: str, event_id: str, __: float, ___: float) -> str:
        return event_id


def local_services(environ: Mapping[str, str], fetching: Fetch | None = None) -> Services:
    """`fetching` stands in for the network."""
    return Services(secrets_here(environ), fetching or fetch(), FirstOwners(), None)


def secrets_here(environ: Mapping[str, str], clock: Clock | None = None) -> SecretStore:
    """As `hookchain dev` has them: a mounted file, else the environment, of which .env may be a part."""
    folder = Path(environ.get("SECRETS_DIR") or "/secrets")
    return SecretStore((from_folder(folder), from_environment(environ)), clock or SystemClock())
