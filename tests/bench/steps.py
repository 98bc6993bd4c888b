"""What ten ordinary steps on an event of 2 KB cost, and how long transform takes to its first answer."""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.transform.chain import Chain
from functions.transform.read_routes import read_program
from shared.event import Event
from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.steps import finished
from tests.processes import Request, free_port, functions_framework, started

EVENTS: Final = 2_000

TEN_STEPS: Final = """
- drop: [data.password, "data.lines[*].internal"]
- rename: {data.mail: email}
- default: {data.country: DE, data.vip: false}
- cast: {data.total: number, data.count: integer}
- parse_time: [data.ordered_at, data.paid_at]
- set: {data.team: north, data.first: {from: "data.lines[0].sku"}, subject: {from: data.id}}
- redact: {paths: [data.customer.phone], within: [data.note], cards: true, emails: true}
- template: {data.text: "{{ data.customer.name }} ordered {{ data.lines | length }} things for {{ data.total }}"}
- filter: {keep: "data.total > `10`", reason: too small}
- keep: [data.id, data.email, data.customer, data.lines, data.total, data.text, data.note, data.team]
"""

EVERYTHING: Final = """
sources: {shop: {auth: none, id: data.id}}
chains:
  clean: [{drop: [data.password]}]
routes:
  - name: all
    from: shop
    where: data.total > `10`
    steps: {steps}
    to: people
  - name: converted
    steps: [{convert: {to: yaml}}, {encode: {to: base64}}]
    to: people
  - name: asking
    steps:
      - deduplicate: data.id
      - fetch: {url: "https://api.example.com/{{ data.id }}", into: data.details}
      - encrypt: {secret: data-key, paths: [data.note]}
      - digest: {algorithm: sha256, into: data.sum}
      - lint: {types: {data.id: text}}
    to: people
  - {name: rest, else: true, steps: clean, to: people}
destinations: {people: {email: {to: a@example.com, subject: x}}}
"""


def two_kilobytes() -> JsonObject:
    lines: list[Json] = [
        {
            "sku": f"KX-{n:04}",
            "title": "Bearing, sealed 22mm",
            "quantity": n,
            "price": "4.20",
            "internal": "bin 7, top shelf",
        }
        for n in range(16)
    ]
    return {
        "id": "order-4711",
        "mail": "ada@example.com",
        "password": "hunter2",
        "total": "58.80",
        "count": "14",
        "ordered_at": "2026-03-01T12:00:00Z",
        "paid_at": 1_772_366_400,
        "note": "call ada@example.com, paid with 4111 1111 1111 1111",
        "customer": {"name": "Ada Lovelace", "phone": "+49 30 1234567", "address": ["Main Street 1", "12345 Berlin"]},
        "lines": lines,
    }


def transform_slice() -> JsonObject:
    indented = TEN_STEPS.replace("\n", "\n      ")
    text = EVERYTHING.replace("steps: {steps}", f"steps:{indented.rstrip()}")
    return compile_config(parse_config(text, "bench", Path()))["transform"]


def chain() -> Chain:
    return read_program(transform_slice()).routes[0].chain


def step_milliseconds() -> float:
    """CPU time of the ten steps for one event, the median of many rounds."""
    ten = chain()
    event = Event("e1", "/sources/shop", "order.created", "2026-03-01T12:00:00.000Z", "00", two_kilobytes())
    assert len(json.dumps(event.data)) > 2_000
    assert len(finished(ten.run(event)).events) == 1
    rounds = []
    for _ in range(11):
        began = time.process_time()
        for _ in range(EVENTS // 11):
            finished(ten.run(event))
        rounds.append((time.process_time() - began) * 1_000 / (EVENTS // 11))
    return sorted(rounds)[len(rounds) // 2]


def start_seconds(starts: int) -> float:
    """From transform's start, with all of this configured, to its first answer; the median."""
    with tempfile.TemporaryDirectory() as folder:
        slice_file = Path(folder, "slice.json")
        slice_file.write_text(to_json(transform_slice()), encoding="utf-8")
        environ = {
            "PATH": os.environ.get("PATH", ""),
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
            "HOOKCHAIN_SLICE": str(slice_file),
            "HOOKCHAIN_STATE": folder,
        }
        return statistics.median(_start(environ) for _ in range(starts))


def _start(environ: dict[str, str]) -> float:
    port = free_port()
    command = functions_framework("functions/transform", "transform", port)
    body = json.dumps({"id": "order-1"}).encode()
    request = Request("/chains/clean", body, {"Content-Type": "application/json"})
    with started(command, environ, port, request) as running:
        return running.start_seconds
