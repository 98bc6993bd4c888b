"""Print the microseconds of CPU to verify and parse a body, for the most expensive provider: `verify.py DATA`."""

import statistics
import sys
import time
from pathlib import Path
from typing import Final

from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.signing import Signer, sign_request
from deploy.requests.trigger_target import ready_source
from shared.formats.parse import parse_body
from shared.http import Request
from shared.signatures.auth_scheme import read_scheme
from shared.signatures.locations import RequestFields

PROVIDERS: Final = ("github", "slack", "standard_webhooks", "stripe")
ROUNDS: Final = 7
REQUESTS: Final = 300
NOW: Final = 1_790_000_000.0
SECRET: Final = "whsec_bWFkZS1mb3ItdGhlLWJlbmNobWFyayEh"


def main(body: bytes) -> float:
    return max(statistics.median(_microseconds(provider, body) for _ in range(ROUNDS)) for provider in PROVIDERS)


def _microseconds(provider: str, body: bytes) -> float:
    auth = ready_source(provider, load_catalogue()[provider])["auth"]
    assert isinstance(auth, list)
    scheme = read_scheme(auth[0])
    unsigned = Request("POST", "/sender", "", (("content-type", "application/json"),), body)
    request = sign_request(unsigned, Signer(scheme, SECRET, lambda _: "https://hooks.example.com/sender", NOW, "msg_1"))
    began = time.process_time()
    for _ in range(REQUESTS):
        scheme.verify(RequestFields(request), (SECRET,), {}, NOW)
        parse_body(request.body, "application/json")
    return (time.process_time() - began) * 1_000_000 / REQUESTS


if __name__ == "__main__":
    print(main(Path(sys.argv[1]).read_bytes()))
