"""What every implementation of the Fetch port, and its fake, must do."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from shared.errors import Permanent, Temporary, Unanswered
from shared.fetch import Fetch, Fetched, Outgoing
from shared.outgoing.guarded_fetch import GuardedFetch
from tests.fakes.fetch import FakeFetch

ANSWER = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 5\r\n\r\nhello"
FETCHED = Fetched(
    302, (("location", "http://127.0.0.1/"), ("x-two", "a"), ("x-two", "b"), ("content-length", "5")), b"hello"
)
NAMES = {"inside.example": ["93.184.215.14", "10.0.0.1"], "metadata.example": ["169.254.169.254"]}


@dataclass(frozen=True, slots=True)
class Subject:
    """`url` answers FETCHED; nobody listens at `silent`."""

    fetch: Fetch
    url: str
    silent: str


def _silent_url() -> str:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{nobody.getsockname()[1]}/"


async def _resolve(host: str, port: int) -> Sequence[str]:
    return NAMES[host]


@pytest.fixture(params=["fake", "guarded"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/mute" not in head:
                writer.write(ANSWER)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    guarded = GuardedFetch(_resolve)
    fetch: Fetch = FakeFetch({url: FETCHED}, NAMES, mute={f"{url}/mute"}) if request.param == "fake" else guarded
    yield Subject(fetch, url, _silent_url())
    guarded.close()
    server.close()


async def test_an_answer_is_reported_as_it_came_and_no_redirect_is_followed(subject: Subject) -> None:
    assert await subject.fetch.fetch(Outgoing("GET", subject.url, allow_private=True)) == FETCHED


async def test_a_body_longer_than_asked_for_is_cut_and_says_so(subject: Subject) -> None:
    fetched = await subject.fetch.fetch(Outgoing("GET", subject.url, max_bytes=2, allow_private=True))
    assert (fetched.body, fetched.is_cut) == (b"he", True)


async def test_nobody_listening_is_temporary(subject: Subject) -> None:
    with pytest.raises(Temporary) as trouble:
        await subject.fetch.fetch(Outgoing("GET", subject.silent, allow_private=True))
    assert trouble.value.code == "host_unreachable"
    assert not isinstance(trouble.value, Unanswered)


async def test_a_request_that_was_sent_and_got_no_answer_may_have_been_acted_on(subject: Subject) -> None:
    with pytest.raises(Unanswered):
        await subject.fetch.fetch(Outgoing("POST", f"{subject.url}/mute", allow_private=True))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"allow_private": False, "url": "https://127.0.0.1/"}, "address_blocked"),
        ({"allow_private": False, "url": "https://inside.example/"}, "address_blocked"),
        ({"url": "https://metadata.example/"}, "address_blocked"),
        ({"allow_private": False}, "invalid_url"),
        ({"url": "file:///etc/passwd"}, "invalid_url"),
        ({"headers": (("X-One", "a\r\nX-Two: b"),)}, "invalid_header"),
        ({"headers": (("Host", "elsewhere.example"),)}, "invalid_header"),
    ],
)
async def test_what_must_not_be_sent_is_permanent(subject: Subject, wrong: dict[str, object], code: str) -> None:
    request = Outgoing("GET", subject.url, allow_private=True)._replace(**wrong)  # type: ignore[arg-type] # on purpose
    with pytest.raises(Permanent) as rejection:
        await subject.fetch.fetch(request)
    assert rejection.value.code == code
