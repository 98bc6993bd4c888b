"""The three functions on each platform, over ports of their own: with the same inputs they must do the same."""

import asyncio
import base64
import http.client
import io
import json
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import count
from typing import Final, NamedTuple

import uvicorn

from functions.notify import entry as notify_entry, lambda_handler as notify_lambda
from functions.receive import entry as receive_entry, lambda_handler as receive_lambda
from functions.transform import entry as transform_entry, lambda_handler as transform_lambda
from shared.cloud.gcp.http_server import BoundedProtocol
from shared.cloud.gcp.serving import Answer as Answering, Application
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.ports import DEAD_LETTERS, EVENTS, BusMessage
from tests.aws.invoked import Context, FakeQueues, as_handed_over, failures, record, url_event
from tests.portability.parts import Parts
from tests.running.processes import PATIENCE_SECONDS

BATCH: Final = 10
PLATFORMS_OWN: Final = frozenset({"connection", "content-length"})
"""Headers of an answer that each platform's server writes."""
_TIMES: Final = frozenset({"time", "duration_ms", "headers", "bytes"})  # platforms add and remove headers


class Answer(NamedTuple):
    """`headers` have names in lower case; of a name that came twice, both values."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Platform(ABC):
    """The functions on a platform.

    log          the lines of the last call, without times
    message_ids  what the bus names the next messages
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.message_ids: Iterator[str] = (f"m{number}" for number in count())
        self.log: list[JsonObject] = []

    def post(self, request: Request) -> Answer:
        with self._logging():
            return self._post(request)

    def take(self, topic: str, messages: Sequence[BusMessage]) -> list[bool]:
        """Hand the messages over to the function that takes the topic. Return which of them are acknowledged."""
        with self._logging():
            return self._take(topic, messages)

    def sweep(self) -> int:
        with self._logging():
            return self._sweep()

    def ask_chain(self, name: str, content_type: str, body: bytes) -> Answer:
        with self._logging():
            return self._ask_chain(name, content_type, body)

    @abstractmethod
    def _post(self, request: Request) -> Answer: ...

    @abstractmethod
    def _take(self, topic: str, messages: Sequence[BusMessage]) -> list[bool]: ...

    @abstractmethod
    def _sweep(self) -> int: ...

    @abstractmethod
    def _ask_chain(self, name: str, content_type: str, body: bytes) -> Answer: ...

    @contextmanager
    def _logging(self) -> Iterator[None]:
        with logged() as self.log:
            yield


@contextmanager
def logged() -> Iterator[list[JsonObject]]:
    """Yield a list, which has the lines of the block without times once it has ended."""
    lines: list[JsonObject] = []
    written = io.StringIO()
    with redirect_stdout(written):
        yield lines
    for text in written.getvalue().splitlines():
        lines.append({name: value for name, value in json.loads(text).items() if name not in _TIMES})


class FunctionsFramework(Platform):
    """The functions behind the HTTP server of Google Cloud, over real connections."""

    def __init__(self, parts: Parts, ports: Mapping[str, int]) -> None:
        super().__init__(parts)
        self._connections = {name: http.client.HTTPConnection("127.0.0.1", port) for name, port in ports.items()}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _post(self, request: Request) -> Answer:
        return self._send("receive", request)

    def _take(self, topic: str, messages: Sequence[BusMessage]) -> list[bool]:
        path = "/dead-letters" if topic == DEAD_LETTERS else "/"
        name = "transform" if topic == EVENTS else "notify"
        return [self._push(name, Request("POST", path, body=self._pushed(each))).status == 204 for each in messages]

    def _push(self, function: str, request: Request) -> Answer:
        return self._send(function, request)

    def _pushed(self, message: BusMessage) -> bytes:
        document = {
            "data": base64.b64encode(message.data).decode(),
            "attributes": dict(message.attributes),
            "messageId": next(self.message_ids),
        }
        return json.dumps({"message": document, "subscription": "projects/p/subscriptions/s"}).encode()

    def _sweep(self) -> int:
        answer = self._push("notify", Request("POST", "/sweep"))
        return int(json.loads(answer.body)["published"])

    def _ask_chain(self, name: str, content_type: str, body: bytes) -> Answer:
        headers = (("content-type", content_type), ("content-length", str(len(body))))
        return self._send("transform", Request("POST", f"/chains/{name}", "", headers, body))

    def _send(self, function: str, request: Request) -> Answer:
        return send_request(self._connections[function], request)


def send_request(connection: http.client.HTTPConnection, request: Request) -> Answer:
    """Send the request as it is, and return the answer without the headers that are the server's own."""
    target = request.path + (f"?{request.query}" if request.query else "")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    names = {name for name, _ in request.headers}
    headers = [*request.headers]
    if "host" not in names:
        headers.append(("host", "functions.example.com"))
    if "content-length" not in names and request.body:
        headers.append(("content-length", str(len(request.body))))
    for name, value in headers:
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders(request.body or None)
    response = connection.getresponse()
    body = response.read()
    answered: dict[str, str] = {}
    for name, value in response.getheaders():
        if name.lower() not in PLATFORMS_OWN:
            answered[name.lower()] = f"{answered[name.lower()]}, {value}" if name.lower() in answered else value
    return Answer(response.status, answered, body)


@contextmanager
def functions_framework(parts: Parts) -> Iterator[FunctionsFramework]:
    with serving(answers_of(parts)) as ports:
        platform = FunctionsFramework(parts, ports)
        try:
            yield platform
        finally:
            platform.close()


def answers_of(parts: Parts) -> dict[str, Answering]:
    return {
        "receive": lambda head, read: receive_entry.answer(parts.receiver, head, read),
        "transform": lambda head, read: transform_entry.answer(parts.transform, head, read),
        "notify": lambda head, read: notify_entry.answer(lambda: parts.notify, head, read),
    }


async def _nothing(_: str) -> None:
    """Close nothing."""


@contextmanager
def serving(
    answers: Mapping[str, Answering],
    ports: Mapping[str, int] | None = None,
    close: Callable[[str], Awaitable[None]] = _nothing,
) -> Iterator[Mapping[str, int]]:
    """Serve each function on its port, or on a free one, until the block ends. `close` closes what a function keeps."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []
    found: dict[str, int] = {}
    for name, answer in answers.items():
        listener = socket.create_server(("127.0.0.1", ports[name] if ports else 0))
        found[name] = listener.getsockname()[1]
        settings = uvicorn.Config(
            Application(answer),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        server = uvicorn.Server(settings)
        served = _serve(server, listener, close(name))
        thread = threading.Thread(target=_run, args=(served, settings), name=f"server of {name}")
        thread.start()
        servers.append((server, thread))
    try:
        yield found
    finally:
        for server, _ in servers:
            server.should_exit = True
        for _, thread in servers:
            thread.join(PATIENCE_SECONDS)


async def _serve(server: uvicorn.Server, listener: socket.socket, closed: Awaitable[None]) -> None:
    await server.serve([listener])
    await closed


def _run(work: Coroutine[None, None, None], settings: uvicorn.Config) -> None:
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(work)


class Lambda(Platform):
    """The handlers of AWS Lambda, called as its runtime calls them, and SQS's form of each message."""

    def _post(self, request: Request) -> Answer:
        return lambda_answer(receive_lambda.handle(url_event(request), Context(), lambda: self.parts.receiver))

    def _take(self, topic: str, messages: Sequence[BusMessage]) -> list[bool]:
        done: list[bool] = []
        for start in range(0, len(messages), BATCH):
            records: list[Json] = [
                record(f"hookchain-{topic}", each, 1, next(self.message_ids))
                for each in messages[start : start + BATCH]
            ]
            event = as_handed_over({"Records": records})
            if topic == EVENTS:
                answer = transform_lambda.handle(event, Context(), lambda: self.parts.transform, FakeQueues)
            else:
                answer = notify_lambda.handle(event, Context(), lambda: self.parts.notify, FakeQueues)
            again = failures(answer)
            done += [isinstance(each, dict) and each["messageId"] not in again for each in records]
        return done

    def _sweep(self) -> int:
        answer = notify_lambda.handle({"sweep": True}, Context(), lambda: self.parts.notify, FakeQueues)
        assert isinstance(answer["published"], int)
        return answer["published"]

    def _ask_chain(self, name: str, content_type: str, body: bytes) -> Answer:
        event: JsonObject = {
            "chain": name,
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
            "headers": {"Content-Type": content_type},
        }
        return lambda_answer(transform_lambda.handle(event, Context(), lambda: self.parts.transform, FakeQueues))


def lambda_answer(response: JsonObject) -> Answer:
    """Return what the platform sends for a handler's response."""
    read = as_handed_over(response)
    headers, body, status = read["headers"], read["body"], read["statusCode"]
    assert isinstance(headers, dict)
    assert isinstance(body, str)
    assert isinstance(status, int)
    content = base64.b64decode(body) if read["isBase64Encoded"] else body.encode()
    return Answer(status, {name: str(value) for name, value in headers.items()}, content)
