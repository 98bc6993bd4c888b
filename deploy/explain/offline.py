"""Receive and the steps on this machine without a platform: the ports that they need, in memory.

Events are published to a list. A caller chooses whether receive authenticates (`without_authentication`) and whether
secrets are read (`NO_SECRETS`). Only `local_services` sends requests to other systems. For a step that fails,
`fault_text` has more than a log may have.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NoReturn

from functions.receive import admission, messages, receive
from functions.receive.bus import MESSAGE_ID
from functions.receive.receive import Receiver
from functions.receive.source import read_sources
from functions.transform.step import Services
from shared import errors, event, http, ports, push, settings, time_bound
from shared.cloud.platform import SystemClock, fetch
from shared.jsontext import JsonObject, mappings_at
from shared.secrets import SecretStore, from_environment, from_folder


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock at which it is always the same time, in Unix seconds."""

    at: float

    def now(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class RecordingBus:
    """A bus that keeps the messages of events, and drops those of all other topics."""

    messages: list[ports.BusMessage] = field(default_factory=list)
    max_delay_seconds: float = 0.0

    async def publish(self, topic: str, messages: Sequence[ports.BusMessage]) -> None:
        if topic == ports.EVENTS:
            self.messages.extend(messages)

    @property
    def events(self) -> tuple[event.Event, ...]:
        return tuple(event.from_cloudevent(json.loads(message.data)) for message in self.messages)


def offline_receiver(receive_slice: JsonObject, store: SecretStore, bus: RecordingBus, now: float) -> Receiver:
    """Return a receiver of the slice's sources, which publishes to `bus` at the time `now`."""
    return Receiver(
        sources=read_sources(receive_slice),
        secrets=store,
        bus=bus,
        blobs=None,
        clock=FixedClock(now),
        random_id=lambda: secrets.token_hex(16),
    )


_HTTP_HEADERS: Final = frozenset({"host", "content-length", "x-forwarded-proto"})
"""The headers that a request has only because it is HTTP. All others stand for attributes of a message."""


async def receive_request(receiver: Receiver, request: http.Request) -> receive.Accepted | receive.Answered:
    """Return what receive makes of the request. Raises HookchainError.

    For a source that has a bus, the request stands for a message: its body is the data, its headers are the attributes.
    """
    source = receiver.sources.get(admission.source_name(request.path))
    if source is None or source.bus is None:
        head = replace(request, body=b"")  # as from a server: receive reads the body when the head has passed
        result = await receiver.receive(head, _body_reader(request))
    else:
        attributes = {name: text for name, text in request.headers if name not in _HTTP_HEADERS}
        message_id = attributes.get(MESSAGE_ID) or sha256(request.body).hexdigest()[:16]
        result = await messages.take(receiver, source, push.Push(request.body, attributes, message_id))
    if isinstance(result, receive.DeadLettered):
        raise result.error
    return result


def _body_reader(request: http.Request) -> http.ReadBody:
    """Return a function that reads the request's body. It raises Rejected if the body is too large."""

    async def read(max_bytes: int) -> bytes:
        if len(request.body) > max_bytes:
            raise errors.Rejected("body_too_large", f"the body is larger than {max_bytes} bytes")
        return request.body

    return read


def local_services(environ: Mapping[str, str]) -> Services:
    """Return the services of steps on this machine: its secrets, and real requests to other systems."""
    return Services(secrets=local_secrets(environ), fetch=lambda: fetch(keeps=False), owners=Owners(), blobs=None)


NO_SECRETS: Final = {"SECRETS_DIR": os.devnull}
"""The environment that explain is given if it must read no secret."""
NOT_READ: Final = "is not read here"


def local_secrets(environ: Mapping[str, str], clock: ports.Clock | None = None) -> SecretStore:
    """Return the secrets as `hookchain dev` reads them: from a mounted file, else from the environment or .env.

    With NO_SECRETS, each value that is asked for raises Temporary.
    """
    if environ == NO_SECRETS:  # the whole of it: an operator's own can have the same folder
        return SecretStore((_unread_secret,), clock or SystemClock())
    folder = settings.read_settings(environ).secrets_folder
    return SecretStore((from_folder(folder), from_environment(environ)), clock or SystemClock())


def _unread_secret(name: str) -> NoReturn:
    """Raise Temporary for each secret that is asked for."""
    rule = f"this needs the secret {name!r}, which {NOT_READ}. `hookchain explain` reads it"
    raise errors.Temporary("secret_unavailable", rule)


_REQUEST_SETTINGS: Final = frozenset({"allow", "handshakes", "form", "methods"})
"""The settings of a source, besides `auth`, that say which requests it takes or answers."""


def without_authentication(receive_slice: JsonObject, *, keeps_requests: bool = False) -> JsonObject:
    """Return receive's slice with sources that accept requests without authentication.

    `keeps_requests`: a source takes the methods and addresses, and answers the handshakes, that it does with
    authentication. Without that, each source takes a POST from any address, since a test's input is an event's body.
    """
    sources = mappings_at(receive_slice, "sources").items()
    return {**receive_slice, "sources": {name: _open(source, keeps_requests) for name, source in sources}}


def _open(source: JsonObject, keeps_requests: bool) -> JsonObject:
    opened = dict(source)
    if not keeps_requests:
        opened = {key: value for key, value in source.items() if key not in _REQUEST_SETTINGS} | {"methods": ["POST"]}
    return {**opened, "auth": [{"scheme": "none"}]}


MAX_TEXT_CHARACTERS: Final = 500
"""The characters of an exception's text that are shown."""


def fault_text(fault: errors.HookchainError) -> str:
    """Return the detail, followed by the text of the exception that the operator's own step raised.

    A log leaves that text out, because it may quote the event.
    """
    cause = fault.__cause__
    is_own = cause is not None and not isinstance(cause, errors.HookchainError | time_bound.OutOfTime)
    text = str(cause).partition("\n")[0][:MAX_TEXT_CHARACTERS] if is_own else ""
    return f"{fault.detail}: {text}" if text else fault.detail


class Owners:
    """The owners of idempotency keys, in memory: the first event that asks for a key owns it, without a time limit."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:  # noqa: ARG002 the port
        return self._owners.setdefault(key, event_id)
