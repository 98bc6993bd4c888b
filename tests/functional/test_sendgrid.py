"""Mail through the sendgrid library, against a server that speaks its API."""

import asyncio
import http.server
import json
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import pytest

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.email import connect
from shared.delivery import Delivered, Delivery, Outcome, RetryLater, Unknown
from shared.event import Event
from shared.jsontext import JsonObject
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.mail_settings import mail_settings
from tests.fakes.secrets import FakeSecrets

API_KEY = "SG.not-a-real-key-0123456789"
EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:05.000Z", "00", {"name": "Ada"})
ATTEMPT = Attempt(idempotency_key="k" * 64, attempt_number=1, generation=0, now=0.0, timeout_seconds=5.0)


class FakeApi(http.server.ThreadingHTTPServer):
    """Answers every request with `status`; `hang` keeps them waiting, `drop` closes without an answer."""

    daemon_threads = True
    request_queue_size = 128  # the usual 5 makes a connection beyond them wait a second or more

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 202
        self.answer: JsonObject | None = None
        self.drop = False
        self.hang = threading.Event()
        self.hang.set()
        self.requests: list[JsonObject] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.connections: set[tuple[str, int]] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: FakeApi

    def do_POST(self) -> None:
        api = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        with api.lock:
            api.requests.append(json.loads(body))
            api.paths.append(self.path)
            api.keys.append(self.headers["authorization"])
            api.connections.add(self.client_address)
        api.hang.wait(10)
        if api.drop:
            self.close_connection = True
            return
        content = json.dumps(api.answer).encode() if api.answer else b""
        self.send_response(api.status)
        self.send_header("X-Message-Id", "m1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Generator[FakeApi, None, None]:
    with FakeApi() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.hang.set()
        server.shutdown()
        thread.join()


def context(url: str) -> Context:
    return Context(
        secrets=FakeSecrets({"sendgrid-api-key": API_KEY}),
        settings=read_settings({})._replace(sendgrid_url=url, email_from="hooks@example.com"),
        blobs=FakeBlobs(),
        clock=FakeClock(),
    )


async def send(url: str, times: int = 1, timeout_seconds: float = 5.0) -> list[Outcome | BaseException]:
    attempt = replace(ATTEMPT, timeout_seconds=timeout_seconds)
    delivery = Delivery(EVENT, "tell the list", "list")
    with closing(connect("list", mail_settings(), context(url))) as destination:
        attempts = [destination.attempt(delivery, attempt) for _ in range(times)]
        return list(await asyncio.gather(*attempts, return_exceptions=True))


async def test_a_mail_is_accepted(api: FakeApi) -> None:
    assert await send(api.url) == [Delivered("202 m1")]

    [request] = api.requests
    assert api.paths == ["/v3/mail/send"]
    assert api.keys == [f"Bearer {API_KEY}"]
    assert request["subject"] == "signup.created from signup-form"
    assert request["from"] == {"email": "hooks@example.com"}
    assert request["personalizations"] == [{"to": [{"email": "ada@example.com"}]}]


async def test_mails_one_after_another_share_a_connection(api: FakeApi) -> None:
    with closing(connect("list", mail_settings(), context(api.url))) as destination:
        for _ in range(3):
            await destination.attempt(Delivery(EVENT, "tell the list", "list"), ATTEMPT)

    assert len(api.requests) == 3
    assert len(api.connections) == 1


async def test_a_mail_that_was_taken_with_many_words_is_not_sent_again(api: FakeApi) -> None:
    api.status, api.answer = 200, {"words": "w" * 12_000_000}
    assert await send(api.url) == [Delivered("200 m1")]
    assert len(api.requests) == 1


async def test_a_server_that_is_not_there_is_tried_again_later(free_port: int) -> None:
    [found] = await send(f"http://127.0.0.1:{free_port}")

    assert isinstance(found, RetryLater)
    assert found.reason.startswith("SendGrid cannot be reached")


async def test_no_answer_in_time_is_unknown(api: FakeApi) -> None:
    api.hang.clear()

    [found] = await send(api.url, timeout_seconds=0.3)

    assert isinstance(found, Unknown)


async def test_a_connection_that_breaks_before_the_answer_is_unknown(api: FakeApi) -> None:
    api.drop = True

    [found] = await send(api.url)

    assert isinstance(found, Unknown)
