"""Helpers of the tests of kinds that speak HTTP: their two functions called with what a test leaves out."""

import json
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Final
from urllib.parse import parse_qsl

from functions.notify.destination import read_settings
from functions.notify.examples import ATTEMPT, NOW, compile_settings, example_delivery
from functions.notify.http_kind import OutgoingRequest, Response
from functions.notify.recipients.people import Person
from shared.delivery import Delivery, Outcome
from shared.jsontext import Json, JsonObject, mapping_at, to_json

HOSTILE: Final = (
    "<!channel> @everyone <@U1> ```",
    "x" * 60_000,
    "ü\r\nBcc: x@y.example\x00\u2028",
    "👩‍💻" * 5_000,
    "half a pair \ud800",
)
"""Texts that a sender may put into an event."""


def delivery_of(data: Json = None, **attributes: str | None) -> Delivery:
    """Return a delivery of the examples' event with other attributes, such as `type` and `actor`."""
    delivery = example_delivery(data)
    return replace(delivery, event=replace(delivery.event, **attributes))  # type: ignore[arg-type] # texts, all of them


def request_of(
    kind: ModuleType,
    settings: Json,
    data: "Json | Delivery" = None,
    secrets: Mapping[str, str | tuple[str, ...]] | None = None,
    key: str = ATTEMPT.idempotency_key,
    person: Person | None = None,
    now: float = NOW,
) -> OutgoingRequest:
    """Return the request of a delivery, or of an event with that data."""
    delivery = data if isinstance(data, Delivery) else example_delivery(data)
    values = {name: (value,) if isinstance(value, str) else value for name, value in (secrets or {}).items()}
    attempt = replace(ATTEMPT, idempotency_key=key, person=person, now=now)
    read = read_settings(kind, compile_settings(kind, settings))
    request: OutgoingRequest = kind.request(delivery, read, values, attempt)
    return request


def json_of(request: OutgoingRequest) -> JsonObject:
    return mapping_at(json.loads(request.body))


def form_of(request: OutgoingRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


def outcome_of(kind: ModuleType, status: int, body: "Json | bytes" = b"", **headers: str) -> Outcome:
    content = body if isinstance(body, bytes) else to_json(body).encode()
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    outcome: Outcome = kind.outcome(Response(status, pairs, content, NOW))
    return outcome
