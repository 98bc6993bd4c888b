"""Ports for running receive and steps on this machine without a platform: bus, clock, secrets and memory."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from functions.receive.admission import source_name
from functions.receive.bus import MESSAGE_ID
from functions.receive.receive import Receiver
from functions.receive.replies import Accepted, Answered, DeadLettered
from functions.receive.source import read_sources
from functions.transform.step import Services
from shared.cloud.platform import SystemClock, fetch
from shared.errors import Rejected
from shared.event import Event, from_cloudevent
from shared.fetch import Fetch
from shared.http import ReadBody, Request
from shared.jsontext import JsonObject
from shared.ports import EVENTS, BusMessage, Clock
from shared.push import Push
from shared.secrets import SecretStore, from_environment, from_folder


@dataclass(frozen=True, slots=True)
class FixedClock:
    at: float

    def now(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class RecordingBus:
    messages: list[BusMessage] = field(default_factory=list)
    max_delay_seconds: float = 0.0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        if topic == EVENTS:
            self.messages.extend(messages)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(from_cloudevent(json.loads(message.data)) for message in self.messages)


def offline_receiver(slice_: JsonObject, store: SecretStore, bus: RecordingBus, now: float) -> Receiver:
    return Receiver(
        sources=read_sources(slice_),
        secrets=store,
        bus=bus,
        blobs=None,
        clock=FixedClock(now),
        random_id=lambda: secrets.token_hex(16),
    )


_OF_HTTP: Final = frozenset({"host", "content-length", "x-forwarded-proto"})


async def receive_request(receiver: Receiver, request: Request) -> Accepted | Answered:
    """Return what receive makes of the request. Raises HookchainError.

    For a source that has a bus, the request stands for a message: its body is the data, its headers are the attributes.
    """
    source = receiver.sources.get(source_name(request.path))
    if source is None or source.bus is None:
        result = await receiver.receive(replace(request, body=b""), body_reader(request))
    else:
        attributes = {name: text for name, text in request.headers if name not in _OF_HTTP}
        message_id = attributes.get(MESSAGE_ID) or sha256(request.body).hexdigest()[:16]
        result = await receiver.take(source, Push(request.body, attributes, message_id))
    if isinstance(result, DeadLettered):
        raise result.error
    return result


def body_reader(request: Request) -> ReadBody:
    async def read(max_bytes: int) -> bytes:
        if len(request.body) > max_bytes:
            raise Rejected("body_too_large", f"the body is larger than {max_bytes} bytes")
        return request.body

    return read


class FirstOwners:
    """A memory in which every event is the first of its key."""

    async def owner(self, _: str, event_id: str, __: float, ___: float) -> str:
        return event_id


def local_services(environ: Mapping[str, str], fetching: Fetch | None = None) -> Services:
    """Return the services of steps on this machine. `fetching` replaces the network."""
    return Services(local_secrets(environ), lambda: fetching or fetch(keeps=False), FirstOwners(), None)


def local_secrets(environ: Mapping[str, str], clock: Clock | None = None) -> SecretStore:
    """Return the secrets as `hookchain dev` reads them: from a mounted file, else from the environment or .env."""
    folder = Path(environ.get("SECRETS_DIR") or "/secrets")
    return SecretStore((from_folder(folder), from_environment(environ)), clock or SystemClock())
