"""Receive against a bare function, and against one that publishes with google-cloud-pubsub and waits."""

import base64
import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.jsontext import JsonObject
from tests.bench.load import Load, wrk
from tests.processes import (
    Request,
    Running,
    free_port,
    functions_framework,
    memory_mib,
    started,
    worker_pid,
)
from tests.standins import command

PASSWORD = "a-password-of-the-benchmark"
EVENT = {
    "event": "password_created",
    "eventId": 12345,
    "secretGuid": "alakldsjf24567",
    "customerName": "Chuck U Farley",
    "customerEmail": "chuckufarley@example.com",
}
REQUEST = Request(
    "/webhook",
    json.dumps(EVENT).encode(),
    {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(f"web:{PASSWORD}".encode()).decode(),
    },
)
SLICE: JsonObject = {
    "function": "receive",
    "sources": {
        "webhook": {
            "auth": [{"scheme": "basic", "secret": "webhook-password"}],
            "methods": ["POST"],
            "max_body_bytes": 1_048_576,
            "keep_raw": "no",
        }
    },
}


@dataclass(frozen=True, slots=True)
class Measured:
    name: str
    load: Load
    start_seconds: float
    worker_mib: float


def measure(seconds: int, starts: int) -> list[Measured]:
    """The bare function, the library's and receive, one after the other on the same machine."""
    with tempfile.TemporaryDirectory() as folder, stand_in_bus("rest") as rest, stand_in_bus("grpc") as grpc:
        slice_file = Path(folder, "slice.json")
        slice_file.write_text(json.dumps(SLICE), encoding="utf-8")
        ours = {
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{rest}",
            "HOOKCHAIN_SLICE": str(slice_file),
            "HOOKCHAIN_STATE": folder,
        }
        return [
            _measured("bare", "tests/bench/functions/bare", {}, seconds, starts),
            _measured(
                "library",
                "tests/bench/functions/library",
                {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{grpc}"},
                seconds,
                starts,
            ),
            _measured("receive", "functions/receive", {**ours, "WEBHOOK_PASSWORD": PASSWORD}, seconds, starts),
        ]


def bus_alone(seconds: int) -> Load:
    """The REST stand-in by itself, asked for one publish a request."""
    with stand_in_bus("rest") as port:
        data = base64.b64encode(REQUEST.body).decode()
        body = json.dumps({"messages": [{"data": data}]}).encode()
        return wrk(port, Request("/v1/projects/bench/topics/events:publish", body, {}), seconds)


@contextlib.contextmanager
def stand_in_bus(kind: str) -> Iterator[int]:
    port = free_port()
    with started(command(kind, port), {}, port, REQUEST, ready="open"):
        yield port


def _measured(name: str, folder: str, environ: Mapping[str, str], seconds: int, starts: int) -> Measured:
    times = []
    for _ in range(starts - 1):
        with _function(name, folder, environ) as running:
            times.append(running.start_seconds)
    with _function(name, folder, environ) as running:
        times.append(running.start_seconds)
        wrk(running.port, REQUEST, 1)  # warm
        load = wrk(running.port, REQUEST, seconds)
        return Measured(name, load, statistics.median(times), memory_mib(worker_pid(running.pid)))


def _function(name: str, folder: str, environ: Mapping[str, str]) -> contextlib.AbstractContextManager[Running]:
    port = free_port()
    path = os.environ.get("PATH", "")
    return started(functions_framework(folder, name, port), {"PATH": path, **environ}, port, REQUEST)
