"""Calls of the two functions of a kind that speaks HTTP, with what a test leaves out."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from functions.notify.destination import Attempt
from functions.notify.http_kind import HttpExample, OutgoingRequest, Response
from shared.delivery import Delivery, Outcome
from shared.event import Event
from shared.jsontext import Json, JsonObject, to_json

ATTEMPT: Final = Attempt("5f0c" * 16, 1, 0, 1_790_000_000.0, 15.0)
SECRETS: Final[Mapping[str, str]] = {"key": "https://hooks.example.com/T1?x=y"}


def delivery_of(data: Json, event_type: str = "order.created", actor: str | None = "Ann") -> Delivery:
    event = Event("e1", "/sources/shop", event_type, "2026-09-21T14:13:20.000Z", "a" * 64, data, "A-17", actor)
    return Delivery(event, "orders", "team")


def request_of(
    kind: ModuleType, settings: JsonObject, data: Json = None, secrets: Mapping[str, str] = SECRETS, **event: str
) -> OutgoingRequest:
    values = {name: (value,) for name, value in secrets.items()}
    model = kind.Settings.model_validate({"secret": "key", **settings})
    request: OutgoingRequest = kind.request(delivery_of(data, **event), model, values, ATTEMPT)
    return request


def body_of(request: OutgoingRequest) -> JsonObject:
    body: JsonObject = json.loads(request.body)
    return body


def example_request(kind: ModuleType, example: HttpExample) -> OutgoingRequest:
    """Return the request of the example, whose settings came through a slice."""
    written = kind.Settings.model_validate(example.settings).model_dump(mode="json", by_alias=True)
    settings = kind.Settings.model_validate(json.loads(json.dumps(written)))
    values = {name: (value,) for name, value in example.secrets.items()}
    request: OutgoingRequest = kind.request(delivery_of(example.data), settings, values, ATTEMPT)
    return request


def outcome_of(kind: ModuleType, status: int, body: "Json | bytes" = b"", **headers: str) -> Outcome:
    content = body if isinstance(body, bytes) else to_json(body).encode()
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    outcome: Outcome = kind.outcome(Response(status, named, content, ATTEMPT.now))
    return outcome
