"""Receive and steps on this machine without a platform: the ports they need, and the events of a test's input.

A test's input goes to receive without authentication; its steps get answers from the test instead of the network.
"""

import hashlib
import json
import os
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from deploy.config.sections.cases import CaseAnswer, CaseConfig
from functions.receive import admission, messages, receive
from functions.receive.bus import MESSAGE_ID
from functions.receive.receive import Receiver
from functions.receive.source import read_sources
from functions.transform.step import Services
from shared import errors, http, ports, push, times
from shared.cloud.platform import SystemClock, fetch
from shared.event import Event, event_id, from_cloudevent
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject, mappings_at, to_json
from shared.outgoing.authenticator import CloudIdentity
from shared.secrets import SecretStore, from_environment, from_folder
from shared.settings import read_settings
from shared.signatures.aws_v4 import Credentials


@dataclass(frozen=True, slots=True)
class FixedClock:
    at: float

    def now(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class RecordingBus:
    messages: list[ports.BusMessage] = field(default_factory=list)
    max_delay_seconds: float = 0.0

    async def publish(self, topic: str, messages: Sequence[ports.BusMessage]) -> None:
        if topic == ports.EVENTS:
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


async def receive_request(receiver: Receiver, request: http.Request) -> receive.Accepted | receive.Answered:
    """Return what receive makes of the request. Raises HookchainError.

    For a source that has a bus, the request stands for a message: its body is the data, its headers are the attributes.
    """
    source = receiver.sources.get(admission.source_name(request.path))
    if source is None or source.bus is None:
        result = await receiver.receive(replace(request, body=b""), body_reader(request))
    else:
        attributes = {name: text for name, text in request.headers if name not in _OF_HTTP}
        message_id = attributes.get(MESSAGE_ID) or sha256(request.body).hexdigest()[:16]
        result = await messages.take(receiver, source, push.Push(request.body, attributes, message_id))
    if isinstance(result, receive.DeadLettered):
        raise result.error
    return result


def body_reader(request: http.Request) -> http.ReadBody:
    async def read(max_bytes: int) -> bytes:
        if len(request.body) > max_bytes:
            raise errors.Rejected("body_too_large", f"the body is larger than {max_bytes} bytes")
        return request.body

    return read


def local_services(environ: Mapping[str, str]) -> Services:
    """Return the services of steps on this machine."""
    return Services(local_secrets(environ), lambda: fetch(keeps=False), Owners(), None)


NO_SECRETS: Final = {"SECRETS_DIR": os.devnull}
"""An environment in which no secret is read."""
NOT_READ: Final = "is not read here"


def local_secrets(environ: Mapping[str, str], clock: ports.Clock | None = None) -> SecretStore:
    """Return the secrets as `hookchain dev` reads them: from a mounted file, else from the environment or .env."""
    folder = read_settings(environ).secrets_folder
    readers = (_unread_secret,) if environ == NO_SECRETS else (from_folder(folder), from_environment(environ))
    return SecretStore(readers, clock or SystemClock())


def _unread_secret(name: str) -> str | None:
    """Raises Temporary."""
    rule = f"this needs the secret {name!r}, which {NOT_READ}. `hookchain explain` reads it"
    raise errors.Temporary("secret_unavailable", rule)


AT: Final = 1_767_225_600.0
"""The time of every test case: 2026-01-01T00:00:00Z."""

_DROPPED: Final = {"allow", "handshakes", "links", "form", "methods"}
_TYPES: Final = {
    ".json": "application/json",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".form": "application/x-www-form-urlencoded",
    ".csv": "text/csv",
    ".plist": "application/x-plist",
}


class InputError(ValueError):
    """The input of a test case makes no event."""


async def input_events(case: CaseConfig, receive: JsonObject, folder: Path) -> tuple[Event, ...]:
    """Return the events of a test case. `folder` is the configuration's. Raises InputError."""
    if case.input.event is not None:
        return (_written_event(case),)
    body, content_type = _body(case, folder)
    headers = {"content-type": content_type, **{name.lower(): text for name, text in case.input.headers.items()}}
    request = http.Request("POST", f"/{case.input.source}", "", tuple(headers.items()), body, "127.0.0.1")
    bus = RecordingBus()
    receiver = offline_receiver(without_authentication(receive), local_secrets({}, FixedClock(AT)), bus, AT)
    try:
        await receive_request(receiver, request)
    except errors.HookchainError as error:
        raise InputError(f"receive would reject the input: {error.code}: {error.detail}") from error
    return bus.events


def _written_event(case: CaseConfig) -> Event:
    attributes: JsonObject = {str(name): value for name, value in (case.input.event or {}).items()}
    data = attributes.get("data")

    def text(name: str) -> str | None:
        value = attributes.get(name)
        return value if value is None or isinstance(value, str) else to_json(value)

    return Event(
        id=text("id") or event_id(case.input.source, case.name),
        source=f"/sources/{case.input.source}",
        type=text("type") or "received",
        receivedat=text("receivedat") or times.rfc3339(AT),
        payloadhash=hashlib.sha256(to_json(data).encode()).hexdigest(),
        data=data,
        subject=text("subject"),
        actor=text("actor"),
        time=text("time"),
        action=text("action"),
    )


def _body(case: CaseConfig, folder: Path) -> tuple[bytes, str]:
    if case.input.file is not None:
        path = folder / case.input.file
        try:
            return path.read_bytes(), _TYPES.get(path.suffix.lower(), "")
        except OSError as error:
            raise InputError(f"the file {case.input.file!r} cannot be read: {error.strerror}") from error
    if isinstance(case.input.body, str):
        return case.input.body.encode(), ""
    return json.dumps(case.input.body).encode(), "application/json"


def without_authentication(receive: JsonObject, *, keeps_requests: bool = False) -> JsonObject:
    """Return receive's slice with sources that accept requests without authentication.

    `keeps_requests`: a source takes the methods and addresses, and answers the handshakes, that it does with
    authentication. Without that, the input of a test is the body of an event, posted to any source.
    """
    sources = mappings_at(receive, "sources").items()
    return {**receive, "sources": {name: _open(source, keeps_requests) for name, source in sources}}


def _open(source: JsonObject, keeps_requests: bool) -> JsonObject:
    dropped = {"links"} if keeps_requests else _DROPPED
    remaining = {key: value for key, value in source.items() if key not in dropped}
    return {"methods": ["POST"], **remaining, "auth": [{"scheme": "none"}]}


@dataclass(frozen=True, slots=True)
class WrittenAnswers:
    """The answers that a test case defines, by URL. Further parameters of the URL, such as secrets, are ignored."""

    answers: Mapping[str, CaseAnswer]

    async def fetch(self, request: Outgoing) -> Fetched:
        for url, answer in self.answers.items():
            if request.url == url or request.url.startswith((f"{url}?", f"{url}&")):
                return _fetched(answer)
        host = request.url.split("/")[2]
        raise errors.Permanent("missing_answer", f"the test has no answer of {host} for this URL. Add it to `answers`")


class FakeSecrets:
    """Secrets whose values are derived from their names. Any step can use them as a key."""

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:  # noqa: ARG002 the interface
        return (b64encode(hashlib.sha256(name.encode()).digest()).decode(),)


class Owners:
    """The first event of each key, in memory."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    async def owner(self, key: str, event_id: str, _: float, __: float) -> str:
        return self._owners.setdefault(key, event_id)


def case_services(answers: Mapping[str, CaseAnswer]) -> Services:
    return Services(
        FakeSecrets(),
        lambda: WrittenAnswers(answers),
        Owners(),
        None,
        lambda: CloudIdentity(_identity, _identity, _role),
        lambda: AT,
    )


async def _identity(_: str) -> str:
    return "an-identity"


def _role() -> Credentials:
    return Credentials("an-access-key", "a-secret-access-key")


def _fetched(answer: CaseAnswer) -> Fetched:
    body = answer.body if isinstance(answer.body, str) else to_json(answer.body)
    headers = tuple((name.lower(), value) for name, value in answer.headers.items())
    return Fetched(answer.status, headers, b"" if answer.body is None else body.encode())
