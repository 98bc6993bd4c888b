"""Receive on AWS Lambda: a request to its Function URL in, the platform's response out."""

import json
from collections.abc import Sequence

import pytest

from functions.receive.lambda_handler import handle
from shared.http import Request
from shared.jsontext import JsonObject
from shared.ports import BusMessage
from tests.aws.invoked import Context, url_event
from tests.fakes.bus import FakeBus
from tests.posting import JSON, Posting

PASSWORD = "a secret, long enough"
SOURCES = """
open: {auth: none}
locked: {auth: {scheme: header, header: X-Password, secret: password}}
inside: {auth: none, allow: [192.0.2.0/24]}
"""


def invoke(posting: Posting, request: Request) -> JsonObject:
    return handle(url_event(request), Context(), lambda: posting.receiver)


def posting(bus: FakeBus | None = None) -> Posting:
    return Posting(SOURCES, {"password": PASSWORD}, bus=bus)


def test_an_event_is_published_and_its_id_answered() -> None:
    here = posting()
    response = invoke(here, Request("POST", "/open", "", (JSON,), b'{"type": "a.b"}'))
    [event] = here.events
    assert response == {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"id": event.id}, separators=(",", ":")),
        "isBase64Encoded": False,
    }


def test_a_binary_body_is_the_bytes_that_were_sent() -> None:
    here = posting()
    invoke(here, Request("POST", "/open", "", (("content-type", "application/octet-stream"),), b"\xff\x00"))
    assert "/wA=" in json.dumps(here.events[0].data)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (Request("POST", "/locked", "", (JSON,), b"{}"), 401, "password_mismatch"),
        (Request("POST", "/nowhere", "", (JSON,), b"{}"), 404, "unknown_source"),
        (Request("GET", "/open"), 405, "method_not_allowed"),
        (Request("POST", "/open", "", (JSON,), b"{"), 400, "malformed_body"),
        (Request("POST", "/open", "", (JSON,), b"x" * 1_048_577), 413, "body_too_large"),
        (Request("POST", "/inside", "", (JSON,), b"{}", peer="198.51.100.7"), 403, "address_not_allowed"),
    ],
)
def test_a_bad_request_is_rejected_with_its_code(request_: Request, status: int, code: str) -> None:
    here = posting()
    response = invoke(here, request_)
    assert (response["statusCode"], json.loads(str(response["body"]))["code"]) == (status, code)
    assert here.events == []


def test_the_senders_address_is_the_one_that_connected() -> None:
    response = invoke(posting(), Request("POST", "/inside", "", (JSON,), b"{}", peer="192.0.2.7"))
    assert response["statusCode"] == 200


def test_without_the_bus_the_sender_is_told_to_send_it_again() -> None:
    class NoBus(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            raise ZeroDivisionError("hunter2")

    response = invoke(posting(NoBus()), Request("POST", "/open", "", (JSON,), b"{}"))
    assert (response["statusCode"], "hunter2" in str(response)) == (503, False)
