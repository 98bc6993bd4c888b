"""The delivery and the attempt with which the examples of kinds are tried. They have the same values each time.

The examples are the kind's documentation and its tests (HttpExample in http_kind.py).
"""

import importlib
from types import ModuleType
from typing import Final

from functions.notify.destination import Attempt, read_settings
from functions.notify.http_kind import HttpExample, OutgoingRequest
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject

KEY: Final = "5f0c" * 16
"""An idempotency key, which has 64 hexadecimal digits."""
NOW: Final = 1_772_366_405.0
"""2026-03-01T12:00:05Z, when the event of `example_delivery` was received."""
ATTEMPT: Final = Attempt(KEY, attempt_number=1, generation=0, now=NOW, timeout_seconds=15)


def example_delivery(data: Json) -> Delivery:
    """Return the delivery of an event `order.created` from the source `shop`."""
    event = Event(
        id="e1",
        source="/sources/shop",
        type="order.created",
        receivedat="2026-03-01T12:00:05.000Z",
        payloadhash="0" * 64,
        data=data,
        subject="1042",
        time="2026-03-01T12:00:04Z",
    )
    return Delivery(event, route="orders", destination="example")


def compile_settings(kind: ModuleType, written: Json) -> JsonObject:
    """Return settings as a slice has them. Raises ValueError."""
    settings = kind if hasattr(kind, "Settings") else importlib.import_module(f"{kind.__package__}.settings")
    compiled: JsonObject = settings.Settings.model_validate(written).model_dump(mode="json", by_alias=True)
    return compiled


def example_request(kind: ModuleType, example: HttpExample) -> OutgoingRequest:
    """Return the request that the kind makes of the example, whose settings come through a slice. Raises Permanent."""
    settings = read_settings(kind, compile_settings(kind, example.settings))
    secrets = {name: (value,) for name, value in example.secrets.items()}
    request: OutgoingRequest = kind.request(example_delivery(example.data), settings, secrets, ATTEMPT)
    return request
