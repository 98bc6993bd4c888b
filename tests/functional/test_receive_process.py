"""Receive as it is served, over real sockets: what only a server can get wrong."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, Request, Running, functions_framework, post, started
from tests.stand_ins.bus import command

CANARY = "canary-7f3a9c51e0"
PASSWORD = f"password-{CANARY}"
SOURCE = {
    "auth": [{"scheme": "header", "header": "x-webhook-password", "secret": "webhook-password"}],
    "methods": ["POST"],
    "max_body_bytes": 100_000,
    "keep_raw": "no",
}
OPEN = {**SOURCE, "auth": [{"scheme": "none"}]}
BEHIND = {**OPEN, "allow": ["10.0.0.0/8"], "trusted_proxies": 1}
SLICE = {
    "function": "receive",
    "sources": {
        "webhook": SOURCE,
        "open": OPEN,
        "here": {**OPEN, "allow": ["127.0.0.0/8"]},
        "office": {**OPEN, "allow": ["10.0.0.0/8"]},
        "behind": BEHIND,
    },
}
GOOD = Request("/webhook", b'{"a": 1}', {"Content-Type": "application/json", "X-Webhook-Password": PASSWORD})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        return json.loads(self.body)["code"]


@dataclass(frozen=True, slots=True)
class Served:
    running: Running

    def raw(self, *parts: bytes, timeout: float = PATIENCE_SECONDS, pause: float = 0.0) -> Answer:
        """Send the parts as they are, then read one answer to the end of the connection or of its length."""
        with socket.create_connection(("127.0.0.1", self.running.port), timeout=timeout) as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except (BrokenPipeError, ConnectionResetError):
                    break
                time.sleep(pause)
            return _answer(connection)

    def flood(self, begins: bytes, piece: bytes) -> None:
        """32 MiB of the same. Raises ConnectionError where that is not taken."""
        with socket.create_connection(("127.0.0.1", self.running.port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(begins)
            for _ in range(32 * 1_048_576 // len(piece)):
                connection.sendall(piece)

    def post(self, path: str, body: bytes, *headers: str) -> Answer:
        lines = "".join(f"{header}\r\n" for header in headers)
        return self.raw(
            f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )

    @property
    def logs(self) -> str:
        return self.running.output()


def _answer(connection: socket.socket) -> Answer:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        assert chunk, f"closed without an answer: {data!r}"
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return Answer(int(status_line.split()[1]), headers, body)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("receive")
    slice_file = folder / "slice.json"
    slice_file.write_text(json.dumps(SLICE), encoding="utf-8")
    bus_port, port = free_port(), free_port()
    environ = {
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus_port}",
        "HOOKCHAIN_SLICE": str(slice_file),
        "HOOKCHAIN_STATE": str(folder),
        "WEBHOOK_PASSWORD": PASSWORD,
    }
    with (
        started(command("rest", bus_port), {}, bus_port, GOOD, ready="open"),
        started(functions_framework("functions/receive", "receive", port), environ, port, GOOD) as running,
    ):
        yield Served(running)


def test_an_accepted_event_is_answered_with_its_id_and_space_after_a_header_is_not_its_value(served: Served) -> None:
    answer = served.post("/webhook", b"{}", "Content-Type: application/json", f"X-Webhook-Password: {PASSWORD} \t")
    assert answer.status == 200
    assert len(json.loads(answer.body)["id"]) == 32


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/" + "a" * 4096, (), 404, "unknown_source"),
        ("/webhook", ("X-Webhook-Password: wrong",), 401, "password_mismatch"),
        ("/open", ("Content-Encoding: br",), 415, "unsupported_encoding"),
    ],
)
def test_a_rejection_is_a_problem_document_and_closes_the_connection(
    served: Served, path: str, headers: tuple[str, ...], status: int, code: str
) -> None:
    answer = served.post(path, b"<not json", *headers)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"


def test_a_client_on_this_machine_is_not_believed_where_it_comes_from(served: Served) -> None:
    assert served.post("/here", b"{}").status == 200
    answer = served.post("/office", b"{}", "X-Forwarded-For: 10.1.2.3")
    assert (answer.status, answer.code) == (403, "address_not_allowed")


def test_a_rejected_method_is_answered_with_the_allowed_ones(served: Served) -> None:
    answer = served.raw(b"GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_an_endless_body_is_rejected_at_the_first_byte_too_many(served: Served) -> None:
    head = b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    answer = served.raw(head, *[chunk] * 4)
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_an_upload_over_the_limit_in_one_go_gets_its_answer(served: Served) -> None:
    """A connection that is closed with data unread is reset, and the answer may be lost."""
    statuses = {post(served.running.port, Request("/open", b"x" * 5_000_000, {})) for _ in range(5)}
    assert statuses == {413}


def test_an_announced_body_that_is_too_large_is_rejected_before_it_is_sent(served: Served) -> None:
    answer = served.raw(b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
    assert (answer.status, answer.code) == (413, "body_too_large")


@pytest.mark.parametrize(
    "length", ["Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
def test_a_sender_that_closes_its_side_after_the_request_gets_the_answer(served: Served, length: str) -> None:
    with socket.create_connection(("127.0.0.1", served.running.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(f"POST /open HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}".encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(partial(connection.recv, 65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_sender_that_goes_away_leaves_the_next_one_alone(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.running.port)) as connection:
        connection.sendall(b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert served.post("/open", b"{}", "Content-Type: application/json").status == 200


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"POST /open HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
        (b"POST /open HTTP/1.1\r\nHost: x\r\nX: ", b"y"),
        (b"POST /", b"a"),
        (b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: y\r\n"),
        (b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2", b";a=b"),
    ],
    ids=["headers", "one header", "path", "trailers", "chunk extensions"],
)
def test_what_is_no_body_and_has_no_end_is_not_kept_in_memory(served: Served, begins: bytes, goes_on: bytes) -> None:
    with pytest.raises(ConnectionError):
        served.flood(begins, goes_on * (65_536 // len(goes_on)))
    assert served.post("/open", b"{}").status == 200


def test_a_body_in_chunks_of_a_byte_is_accepted(served: Served) -> None:
    head = b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"1\r\n%c\r\n" % each for each in b'{"a": "' + b"x" * 90_000 + b'"}')
    assert served.raw(head, body + b"0\r\n\r\n").status == 200


@pytest.mark.parametrize(
    ("path", "field"), [("/behind", "X-Forwarded-For: 10.0.0.1"), ("/webhook", f"X-Webhook-Password: {PASSWORD}")]
)
def test_a_header_after_the_body_is_none(served: Served, path: str, field: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = served.raw(f"{head}2\r\n{{}}\r\n0\r\n{field}\r\n\r\n".encode())
    assert answer.status in {401, 403}


def test_malformed_http_does_not_reach_our_code_and_does_not_stop_it(served: Served) -> None:
    answer = served.raw(b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n")
    assert answer.status == 400
    assert served.post("/open", b"{}", "Content-Type: application/json").status == 200


def test_no_log_line_and_no_reply_holds_a_secret_a_header_or_a_body(served: Served) -> None:
    replies = [
        served.post("/webhook", b'{"x": "' + CANARY.encode() + b'"', f"X-Webhook-Password: {PASSWORD}"),
        served.post("/webhook", b"{}", f"X-Webhook-Password: {CANARY}", f"Content-Type: {CANARY}"),
        served.post(f"/webhook?token={CANARY}", b"{}"),
        served.post(f"/webhook/{CANARY}", b"{}"),
        served.post("/open", b"{}", f"Content-Encoding: {CANARY}"),
    ]
    assert all(CANARY.encode() not in reply.body for reply in replies)
    assert CANARY not in served.logs
    assert '"code":"password_mismatch"' in served.logs
