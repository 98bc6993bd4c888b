"""The test event that `hookchain smoke` posts: as the source's configuration says an event is, and marked as a test."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.commands.operator_command import CannotTell
from deploy.local.supervisor.trial import CONTENT_TYPES, EVENT
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
    event = TestEvent({**PERSON, MARK: mark})
    _put(event, _first(source.get("type")) or "data.event", event_type)
    if location := _first(source.get("id")):
        _put(event, location, mark)
    return event


def example_event(source: JsonObject, event_type: str) -> TestEvent:
    """The same for a person to type: without a mark."""
    event = TestEvent(dict(EVENT))
    _put(event, _first(source.get("type")) or "data.event", event_type)
    if location := _first(source.get("id")):
        _put(event, location, "example-1")
    return event


def event_of_file(path: Path, source: JsonObject, mark: str, event_type: str | None) -> TestEvent:
    """The body is the file's, byte for byte, but in JSON the id, which is new each time. Raises CannotTell."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CannotTell(f"{path} cannot be read: {error.strerror}") from error
    form = {"yml": "yaml"}.get(path.suffix.removeprefix("."), path.suffix.removeprefix("."))
    if form not in CONTENT_TYPES:
        raise CannotTell(f"{path}: the ending says the format, one of {', '.join(CONTENT_TYPES)}")
    event = TestEvent(content, form)
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
        raise CannotTell(f"{path} is not JSON") from error
    if not isinstance(document, dict):
        raise CannotTell(f"{path} holds no JSON object at its top")
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
