"""What it costs to verify and parse a signed body of 2 KB, and what the whole catalogue as sources adds to a start."""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.cli.trigger_request import ready_source
from deploy.config.catalogue import load_catalogue
from deploy.requests.signing import Signer, sign_request
from shared.formats.parse import parse_body
from shared.http import Request
from shared.jsontext import JsonObject, to_json
from shared.signatures.scheme import AuthScheme, read_scheme, verify
from tests.bench.receive import PASSWORD, REQUEST, SLICE, stand_in_bus
from tests.bench.steps import two_kilobytes
from tests.processes import free_port, functions_framework, started

PROVIDERS: Final = ("github", "slack", "standard_webhooks", "stripe")
REQUESTS: Final = 500
ROUNDS: Final = 11
NOW: Final = 1_790_000_000.0
SECRET: Final = "whsec_bWFkZS1mb3ItdGhlLWJlbmNobWFyayEh"


def microseconds() -> dict[str, float]:
    """CPU time of one request's proof and parsing, by provider; the median of the rounds."""
    return {provider: _microseconds(_way(provider)) for provider in PROVIDERS}


def _way(provider: str) -> AuthScheme:
    auth = ready_source(provider, load_catalogue()[provider])["auth"]
    assert isinstance(auth, list)
    return read_scheme(auth[0])


def _microseconds(way: AuthScheme) -> float:
    body = to_json(two_kilobytes()).encode()
    assert len(body) > 2_000
    unsigned = Request("POST", "/sender", "", (("content-type", "application/json"),), body)
    request = sign_request(unsigned, Signer(way, SECRET, lambda _: "https://hooks.example.com/sender", NOW, "msg_1"))
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REQUESTS):
            verify(request, way, (SECRET,), {}, NOW)
            parse_body(request.body, "application/json")
        rounds.append((time.process_time() - began) * 1_000_000 / REQUESTS)
    return statistics.median(rounds)


def start_ratio(starts: int) -> float:
    """The start to the first 200 with every provider of the catalogue as a source, beside that with one source."""
    few: list[float] = []
    many: list[float] = []
    with tempfile.TemporaryDirectory() as folder, stand_in_bus("rest") as bus:
        environ = {
            "PATH": os.environ.get("PATH", ""),
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus}",
            "HOOKCHAIN_STATE": folder,
            "WEBHOOK_PASSWORD": PASSWORD,
        }
        for name, slice_ in (("few", SLICE), ("many", with_the_catalogue())):
            Path(folder, name).write_text(to_json(slice_), encoding="utf-8")
        for _ in range(starts):  # in turn, so that both meet the same noise
            few.append(_start({**environ, "HOOKCHAIN_SLICE": str(Path(folder, "few"))}))
            many.append(_start({**environ, "HOOKCHAIN_SLICE": str(Path(folder, "many"))}))
    return statistics.median(many) / statistics.median(few)


def with_the_catalogue() -> JsonObject:
    document: JsonObject = json.loads(json.dumps(SLICE))
    sources = document["sources"]
    assert isinstance(sources, dict)
    sources.update({provider: ready_source(provider, entry) for provider, entry in load_catalogue().items()})
    return document


def _start(environ: dict[str, str]) -> float:
    port = free_port()
    with started(functions_framework("functions/receive", "receive", port), environ, port, REQUEST) as running:
        return running.start_seconds
