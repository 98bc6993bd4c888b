"""Print the microseconds of CPU of an attempt, first to append a row to a sheet, then to send a signed webhook.

The network is left out: each request is answered in the process. Fifty deliveries are under way at once.
"""

import asyncio
import importlib
import json
import statistics
import time
from dataclasses import replace
from typing import Final

import uvloop

from functions.notify.destination import Attempt, Destination, kind_module
from functions.notify.destinations import sheet
from functions.notify.examples import ATTEMPT, compile_settings, example_delivery
from functions.notify.registry import Destinations, read_destinations
from shared.cloud.platform import SystemClock
from shared.delivery import Delivered, Delivery
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject
from shared.outgoing.authenticator import CloudIdentity
from shared.secrets import SecretStore
from tests.fakes.destinations import a_context

ROUNDS: Final = 5
DELIVERIES: Final = 1_000
AT_ONCE: Final = 50
NAMES: Final = ("number", "name", "email", "total")


class Answering:
    """A way out that answers by itself."""

    async def fetch(self, request: Outgoing) -> Fetched:
        await asyncio.sleep(0)
        if request.method == "GET":
            return Fetched(200, (), json.dumps({"values": [[*NAMES, "Delivery"]]}).encode())
        count = request.body.count(b"@example.com")
        return Fetched(200, (), json.dumps({"updates": {"updatedRows": count, "updatedRange": "'S'!A2:E9"}}).encode())


async def token(_: str) -> str:
    return "ya29.example"


def destinations() -> list[Destination]:
    secrets = SecretStore((lambda _: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",), SystemClock())
    identity = CloudIdentity(access_token=token)
    context = replace(a_context(secrets), clock=SystemClock(), fetch=Answering, cloud=lambda: identity)
    columns: JsonObject = {name: f"data.{name}" for name in NAMES}
    written: dict[str, JsonObject] = {
        "sheet": {"spreadsheet": "1ExampleOfASpreadsheet", "sheet": "S", "columns": columns},
        "webhook": {"url": "https://crm.example.com/in", "secret": "hook-key"},
    }
    entries: JsonObject = {kind: _entry(kind, settings) for kind, settings in written.items()}
    made = Destinations(read_destinations({"destinations": entries}), context)
    return [made.connected(made.configured[kind]) for kind in written]


def _entry(kind: str, settings: JsonObject) -> JsonObject:
    compiled = compile_settings(importlib.import_module(kind_module(kind)), settings)
    options: JsonObject = {"retry_seconds": [5], "timeout_seconds": 15, "on_unknown": "resend"}
    return {"kind": kind, "settings": compiled, **options}


async def measured(destination: Destination) -> float:
    found = [_delivery(number) for number in range(DELIVERIES)]
    began = time.process_time()
    for start in range(0, DELIVERIES, AT_ONCE):
        attempts = [destination.attempt(*each) for each in found[start : start + AT_ONCE]]
        assert all(isinstance(outcome, Delivered) for outcome in await asyncio.gather(*attempts))
    return (time.process_time() - began) * 1_000_000 / DELIVERIES


def _delivery(number: int) -> tuple[Delivery, Attempt]:
    data: JsonObject = {"number": number, "name": "Ada", "email": f"a{number}@example.com", "total": 12.5}
    return example_delivery(data), replace(ATTEMPT, idempotency_key=f"{number:064x}")


if __name__ == "__main__":
    sheet.INTERVAL_SECONDS = 0.0  # type: ignore[misc] # the wait costs nothing, and would take long
    made = [statistics.median(uvloop.run(measured(destinations()[which])) for _ in range(ROUNDS)) for which in range(2)]
    print(json.dumps(made))
