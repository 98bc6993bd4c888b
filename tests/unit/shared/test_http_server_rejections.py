"""What follows a rejection, and a malformed chunk."""

import json
from dataclasses import dataclass, field
from typing import Final

import pytest

from shared.cloud.gcp.http_server import MAX_HEAD_BYTES, BoundedProtocol
from shared.cloud.gcp.serving import BODY_SECONDS, DISCARD_BYTES, DISCARD_SECONDS, Application
from shared.errors import Rejected
from shared.http import ReadBody, Reply, Request
from tests.fakes.virtual_time import run
from tests.unit.shared.http_served import Connection, after, post


@dataclass(slots=True)
class TooLarge:
    """A function that takes no body over 1,000 bytes, and the codes that it would log."""

    codes: list[str] = field(default_factory=list)

    async def answer(self, _: Request, read_body: ReadBody) -> Reply:
        try:
            await read_body(1_000)
        except Rejected as error:
            self.codes.append(error.code)
            return Reply(error.status, b"no", (("connection", "close"),))
        return Reply(200, b"yes")


def rejected(monkeypatch: pytest.MonkeyPatch, *parts: bytes, seconds: float = 0.0) -> tuple[list[str], Connection]:
    function = TooLarge()
    monkeypatch.setattr(BoundedProtocol, "application", Application(function.answer))
    return function.codes, run(after(seconds, *parts))


LARGE: Final = post("/open", b"x" * 200_000)


@pytest.mark.parametrize(
    ("parts", "seconds", "is_closed"),
    [
        ((LARGE[:100_000],), DISCARD_SECONDS - 0.2, False),
        ((LARGE[:100_000], LARGE[100_000:-1]), DISCARD_SECONDS - 0.3, False),
        ((LARGE[:100_000],), DISCARD_SECONDS, True),
        ((LARGE[:100_000], LARGE[100_000:]), 0.0, True),
        ((LARGE,), 0.0, True),
        ((post("/open", b"")[:-5] + b"%d\r\n\r\n" % 10**9, *[b"x" * DISCARD_BYTES] * 2), 0.0, True),
    ],
    ids=["waits", "reads on", "a second", "complete", "at once", "too much"],
)
def test_after_an_early_rejection_the_rest_is_discarded_for_a_short_time(
    parts: tuple[bytes, ...], seconds: float, is_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, connection = rejected(monkeypatch, *parts, seconds=seconds)
    assert codes == ["body_too_large"]
    assert connection.written.endswith(b"\r\n\r\nno")
    assert connection.written.count(b"HTTP/1.1 ") == 1
    assert connection.is_closed is is_closed


CHUNKED: Final = b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("parts", [(CHUNKED + b"2\r\n{}\r\ncanary",), (CHUNKED + b"2\r\n{}\r\n", b"canary")])
def test_a_malformed_chunk_is_logged_once(
    parts: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, connection = rejected(monkeypatch, *parts, seconds=2 * BODY_SECONDS)
    assert not codes
    assert connection.written.count(b"HTTP/1.1 400 ") == connection.written.count(b"HTTP/1.1 ") == 1
    assert [json.loads(line)["code"] for line in capsys.readouterr().out.splitlines() if "code" in line] == [
        "malformed_http"
    ]


def test_a_head_that_is_too_large_is_answered_431(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * MAX_HEAD_BYTES
    _, connection = rejected(monkeypatch, *(long[at : at + 60_000] for at in range(0, len(long), 60_000)))
    assert connection.written.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert connection.is_closed
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["status"], line["code"]) == (431, "head_too_large")


def test_a_malformed_chunk_after_a_rejection_is_neither_answered_nor_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, connection = rejected(monkeypatch, CHUNKED + b"800\r\n" + b"x" * 2_048 + b"\r\n", b"canary")
    assert codes == ["body_too_large"]
    assert connection.is_closed
    assert connection.written.count(b"HTTP/1.1 ") == connection.written.count(b"HTTP/1.1 413 ") == 1
    assert not capsys.readouterr().out
