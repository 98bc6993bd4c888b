"""The lines of bad-inputs.txt whose stage is one of receive's, each through the whole of it, from request to reply."""

import gzip
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from deploy.config.config_file import ConfigFaults
from shared.http import Reply
from shared.jsontext import Json
from shared.ports import BusMessage
from tests.fakes.bus import FakeBus
from tests.in_process.posting import Posting, code, header
from tests.unit.receive.bad_inputs import (
    BODY,
    CASES_OF_SNS,
    JSON_TYPE,
    PARSED,
    REQUESTS,
    SECRETS,
    SIGNED,
    SNS,
    SOURCES,
    STAGES,
    V1,
    Header,
    standard,
)

ELSEWHERE: Final = frozenset({"A22", "A23", "T04", "T22", "T24", "J16"})
"""What takes more than one function, or data of others, and is tried in the tests of those."""

HERE: Final = {"A26", "T08", "T23"}


def outcome(reply: Reply) -> str:
    if reply.status == 200:
        return ""
    assert header(reply, "content-type") == "application/problem+json"
    return f"{reply.status} {code(reply)}"


async def sent(method: str, path: str, body: bytes, headers: Sequence[Header]) -> tuple[str, Posting]:
    posting = Posting(SOURCES, SECRETS)
    reply = await posting.send(path, body, *headers, method=method)
    assert len(posting.events) == (reply.status == 200)
    return outcome(reply), posting


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [pytest.param(*case, id=f"{name}-{number}") for name, cases in PARSED.items() for number, case in enumerate(cases)],
)
async def test_a_body_is_parsed_exactly_or_rejected(body: bytes, content_type: str | None, expected: Json) -> None:
    found, posting = await sent("POST", "/open", body, [("content-type", content_type)] if content_type else [])
    if isinstance(expected, str) and re.fullmatch(r"(4[0-9]{2} [a-z_]+)?", expected):
        assert found == expected
    else:
        [event] = posting.events
        assert (event.data, type(event.data)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [pytest.param(*case, id=f"{name}-{number}") for name, cases in SIGNED.items() for number, case in enumerate(cases)],
)
async def test_a_signature_is_right_or_rejected(headers: Sequence[Header], body: bytes, expected: str) -> None:
    found, _ = await sent("POST", "/std", body, headers)
    assert found == expected


@pytest.mark.parametrize(
    ("certificate", "subscribe", "expected"), [case for cases in CASES_OF_SNS.values() for case in cases]
)
async def test_what_sns_names_elsewhere_is_rejected_unfetched(certificate: str, subscribe: str, expected: str) -> None:
    """There is no way out in these tests: whoever tried to fetch would fail otherwise."""
    message = {**SNS, "SigningCertURL": certificate, "SubscribeURL": subscribe}
    found, _ = await sent("POST", "/sns", json.dumps(message).encode(), [("content-type", "text/plain")])
    assert found == expected


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "expected"),
    [
        pytest.param(*case, id=f"{name}-{number}")
        for name, cases in REQUESTS.items()
        for number, case in enumerate(cases)
    ],
)
async def test_a_request_is_rejected_by_its_head(
    method: str, path: str, headers: Sequence[Header], body: bytes, expected: str
) -> None:
    found, _ = await sent(method, path, body, headers)
    assert found == expected


async def test_a_signed_bomb_is_rejected_where_it_is_unpacked() -> None:
    body = gzip.compress(bytes(20 * 1_048_576), 9)
    signature = "sha256=" + hmac.new(SECRETS["hub"].encode(), body, hashlib.sha256).hexdigest()
    headers = [("x-hub-signature-256", signature), ("content-encoding", "gzip"), ("content-type", JSON_TYPE)]
    assert (await sent("POST", "/hub", body, headers))[0] == "413 decoded_body_too_large"


async def test_a_retry_after_a_bus_that_stored_and_fell_silent_is_the_same_event() -> None:
    class Forgetful(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            await super().publish(topic, messages)
            if len(self.sent) == 1:
                raise TimeoutError

    posting = Posting(SOURCES, SECRETS, bus=Forgetful())
    statuses = [(await posting.send("/std", BODY, *standard(V1))).status for _ in range(2)]
    assert statuses == [503, 200]
    assert len({event.id for event in posting.events}) == 1


def test_a_source_that_says_nothing_of_its_proof_is_no_source() -> None:
    with pytest.raises(ConfigFaults, match="needs authentication"):
        Posting("a: {methods: [POST]}")


def test_every_line_of_these_stages_is_tried(inputs_folder: Path) -> None:
    lines = (inputs_folder / "bad-inputs.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.split("|")[0] for line in lines if not line.startswith("#") and line.split("|")[1] in STAGES}
    assert listed == {*PARSED, *SIGNED, *CASES_OF_SNS, *REQUESTS, *ELSEWHERE, *HERE}
