"""The test event that `hookchain smoke` posts: as the source's configuration says an event is, and marked as a test."""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from deploy.requests.formats import encode
from deploy.requests.samples import Fresh, events_of, load_sample
from deploy.requests.source_lines import page_headers
from deploy.requests.trial import CONTENT_TYPES, EVENT
from deploy.terminal.command_error import CommandError
from shared.http import Request
from shared.jsontext import Json, JsonObject

MARK: Final = "hookchainSmokeTest"
PERSON: Final[Mapping[str, Json]] = {"customerName": "Smoke Test", "customerEmail": "smoke.test@example.com"}


@dataclass(slots=True)
class TestEvent:
    """`data` is written in the format `form`; bytes go as they are."""

    __test__ = False  # pytest's eye

    data: JsonObject | bytes
    form: str = "json"
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


def made_event(source: JsonObject, event_type: str, mark: str) -> TestEvent:
    """Type and id stand where the source looks for them, so that routes take it and no earlier test is its double."""
    event = TestEvent({**PERSON, MARK: mark}, headers=page_headers(source))
    _put(event, _first(source.get("type")) or "data.event", event_type)
    if location := _first(source.get("id")):
        _put(event, location, mark)
    return event


def request_of(event: TestEvent, mark: str) -> Request:
    """Unsigned, to `/`."""
    if isinstance(event.data, bytes):
        body, content_type = event.data, CONTENT_TYPES[event.form]
    else:
        body, content_type = encode(event.data, event.form)
    headers = {"content-type": content_type, "webhook-id": mark}
    headers |= {name.lower(): value for name, value in event.headers.items()}
    return Request("POST", "/", urlencode(event.query), tuple(headers.items()), body)


def provider_event(provider: str, types: Sequence[str], mark: str, now: float) -> Request | None:
    """A sample of what it sends, of one of the types if there is one; None where there is no sample."""
    names = events_of(provider)
    wanted = [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in types)]
    if not names:
        return None
    digits = mark.rpartition("-")[2]
    fresh = Fresh(now, digits[:12], str(int(digits, 16))[-10:].zfill(10))
    return load_sample(provider, (wanted or names)[0], fresh).request


def example_event(source: JsonObject, event_type: str) -> TestEvent:
    """The same for a person to type: without a mark."""
    event = TestEvent(dict(EVENT), headers=page_headers(source))
    _put(event, _first(source.get("type")) or "data.event", event_type)
    if location := _first(source.get("id")):
        _put(event, location, "example-1")
    return event


def event_of_file(path: Path, source: JsonObject, mark: str, event_type: str | None) -> TestEvent:
    """The body is the file's, byte for byte, but in JSON the id, which is new each time. Raises CommandError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    form = {"yml": "yaml"}.get(path.suffix.removeprefix("."), path.suffix.removeprefix("."))
    if form not in CONTENT_TYPES:
        raise CommandError(f"{path}: the ending says the format, one of {', '.join(CONTENT_TYPES)}")
    event = TestEvent(content, form, page_headers(source))
    location, type_location = _first(source.get("id")), _first(source.get("type"))
    if location and location.startswith("data.") and form == "json":
        event.data = _json_object(path, content)
    if location and (isinstance(event.data, dict) or not location.startswith("data.")):
        _put(event, location, mark)
    if event_type and type_location and not type_location.startswith("data."):
        _put(event, type_location, event_type)
    return event


def _json_object(path: Path, content: bytes) -> JsonObject:
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise CommandError(f"{path} is not JSON") from error
    if not isinstance(document, dict):
        raise CommandError(f"{path} holds no JSON object at its top")
    return document


def _first(location: Json) -> str | None:
    """Of one or several; an expression, which no value can be put at, is none."""
    listed = location if isinstance(location, list) else [location]
    return next((each for each in listed if isinstance(each, str) and "." in each), None)


def _put(event: TestEvent, location: str, value: str) -> None:
    """`header.X-Event`, `query.kind` or `data.path.to.field`."""
    place, _, rest = location.partition(".")
    if place == "header":
        event.headers[rest] = value
    elif place == "query":
        event.query[rest] = value
    elif place == "data" and isinstance(event.data, dict):
        inner = event.data
        *folders, name = rest.split(".")
        for folder in folders:
            deeper = inner.setdefault(folder, {})
            if not isinstance(deeper, dict):
                return
            inner = deeper
        inner[name] = value
