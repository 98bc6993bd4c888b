"""The input of a test case in the configuration: the events that it makes, and the services of the steps that run.

The input passes receive without authentication. The steps get the case's `answers` in place of the network, and secrets
that are derived from their names, so that a case has the same result on every machine.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.config.sections.cases import CaseAnswer, CaseConfig
from deploy.explain import offline
from functions.transform.step import Services
from shared import errors, http, times
from shared.event import Event, event_id
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject, to_json
from shared.outgoing.authenticator import CloudIdentity
from shared.signatures.aws_v4 import Credentials

AT: Final = 1_767_225_600.0
"""The time of every test case: 2026-01-01T00:00:00Z."""

_CONTENT_TYPES: Final = {
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
    body, content_type = _body_and_type(case, folder)
    headers = {"content-type": content_type, **{name.lower(): text for name, text in case.input.headers.items()}}
    request = http.Request("POST", f"/{case.input.source}", "", tuple(headers.items()), body, "127.0.0.1")
    try:
        return await received_events(request, receive)
    except errors.HookchainError as error:
        raise InputError(f"receive would reject the input: {error.code}: {error.detail}") from error


async def received_events(request: http.Request, receive: JsonObject) -> tuple[Event, ...]:
    """Return the events that receive makes of a request, whose sender it does not authenticate.

    `receive` is its slice. Raises HookchainError for a request that it rejects for another reason.
    """
    bus = offline.RecordingBus()
    secrets = offline.local_secrets({}, offline.FixedClock(AT))
    receiver = offline.offline_receiver(offline.without_authentication(receive), secrets, bus, AT)
    await offline.receive_request(receiver, request)
    return bus.events


def _written_event(case: CaseConfig) -> Event:
    """Return the event that `input.event` defines, with default values for the attributes that it leaves out."""
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


def _body_and_type(case: CaseConfig, folder: Path) -> tuple[bytes, str]:
    """Return the body and its content type, which is empty if the body's text or the file's name does not tell it."""
    if case.input.file is not None:
        path = folder / case.input.file
        try:
            return path.read_bytes(), _CONTENT_TYPES.get(path.suffix.lower(), "")
        except OSError as error:
            raise InputError(f"the file {case.input.file!r} cannot be read: {error.strerror}") from error
    if isinstance(case.input.body, str):
        return case.input.body.encode(), ""
    return json.dumps(case.input.body).encode(), "application/json"


@dataclass(frozen=True, slots=True)
class WrittenAnswers:
    """The answers that a test case defines, by URL. Further parameters of the URL, such as secrets, are ignored."""

    answers: Mapping[str, CaseAnswer]

    async def fetch(self, request: Outgoing) -> Fetched:
        for url, answer in self.answers.items():
            if request.url == url or request.url.startswith((f"{url}?", f"{url}&")):
                return _fetched(answer)
        host = urlsplit(request.url).netloc
        raise errors.Permanent("missing_answer", f"the test has no answer of {host} for this URL. Add it to `answers`")


class FakeSecrets:
    """Secrets whose values are derived from their names. Any step can use them as a key."""

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:  # noqa: ARG002 the interface
        return (b64encode(hashlib.sha256(name.encode()).digest()).decode(),)


def case_services(answers: Mapping[str, CaseAnswer]) -> Services:
    """Return the services of the steps of a test case, which reach nothing outside this process."""
    return Services(
        secrets=FakeSecrets(),
        fetch=lambda: WrittenAnswers(answers),
        owners=offline.Owners(),
        blobs=None,
        cloud=lambda: CloudIdentity(_identity, _identity, lambda: Credentials("an-access-key", "a-secret-access-key")),
        now=lambda: AT,
    )


async def _identity(_: str) -> str:
    return "an-identity"


def _fetched(answer: CaseAnswer) -> Fetched:
    body = answer.body if isinstance(answer.body, str) else to_json(answer.body)
    headers = tuple((name.lower(), value) for name, value in answer.headers.items())
    return Fetched(answer.status, headers, b"" if answer.body is None else body.encode())
