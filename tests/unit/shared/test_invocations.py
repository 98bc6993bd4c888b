"""The event loop of a Lambda function: one for the process, which stands still while the process is frozen."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from shared.batching import Batcher
from shared.cloud.aws import invocations
from shared.cloud.aws.invocations import STOP_SECONDS, event_loop, in_time, run
from shared.errors import Temporary
from shared.outgoing.http_client import IDLE_SECONDS, HttpClient
from shared.time_bound import Deadlines, TooLate
from tests.aws.invoked import Context
from tests.fakes.virtual_time import VirtualLoop


class Frozen(VirtualLoop):
    """A loop on which any time may pass between two invocations, in which nothing runs."""

    def freeze(self, seconds: float) -> None:
        self._jumping.elapsed += seconds


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Frozen]:
    frozen = Frozen()
    monkeypatch.setattr(invocations, "event_loop", lambda: frozen)
    yield frozen
    frozen.close()


async def running_loop(_: float) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_invocations_share_a_loop() -> None:
    assert run(running_loop, Context()) is run(running_loop, Context()) is event_loop()


def test_what_the_work_raises_is_raised_and_the_next_invocation_runs() -> None:
    async def fail(_: float) -> None:
        await asyncio.sleep(0)
        raise ValueError("of this invocation")

    with pytest.raises(ValueError, match="of this invocation"):
        run(fail, Context())
    assert run(running_loop, Context()) is event_loop()


def test_the_work_has_the_remaining_time_but_for_what_the_answer_takes(loop: Frozen) -> None:
    async def left(deadline: float) -> float:
        return deadline - asyncio.get_running_loop().time()

    assert run(left, Context(10.0)) == 10.0 - STOP_SECONDS


def test_work_that_is_late_is_a_passing_failure_and_no_other_timeout_is() -> None:
    async def hang(deadline: float) -> None:
        await in_time(asyncio.Event().wait(), deadline)

    async def fail(deadline: float) -> None:
        await in_time(raise_timeout(), deadline)

    async def raise_timeout() -> None:
        raise TimeoutError("of something else")

    with pytest.raises(Temporary, match="invocation_timeout"):
        run(hang, Context(STOP_SECONDS + 0.01))
    with pytest.raises(TimeoutError, match="of something else"):
        run(fail, Context())


def test_after_a_thaw_what_waits_has_its_own_time(loop: Frozen) -> None:
    deadlines = Deadlines()

    async def wait(seconds: float, limit: float) -> float:
        begun = loop.time()
        try:
            await deadlines.wait(asyncio.sleep(seconds), begun + limit)
        except TooLate:
            return -(loop.time() - begun)
        return loop.time() - begun

    assert run(lambda _: wait(1.0, 3.0), Context()) == 1.0
    loop.freeze(3_600.0)  # over the alarm of the first
    assert run(lambda _: wait(2.0, 3.0), Context()) == 2.0
    loop.freeze(0.5)
    assert run(lambda _: wait(9.0, 3.0), Context()) == -3.0
    assert run(lambda _: wait(9.0, 1.0), Context()) == -1.0


def test_after_a_thaw_a_call_that_was_left_in_flight_does_not_hold_up_the_next(loop: Frozen) -> None:
    calls: list[list[str]] = []

    async def call(items: Sequence[str]) -> Sequence[str]:
        calls.append(list(items))
        if len(calls) == 1:
            async with asyncio.timeout(2.0):
                await asyncio.Event().wait()
        return items

    batcher = Batcher[str, str](call, max_batch=10, max_waiting=10)

    async def submit(item: str, seconds: float) -> str:
        async with asyncio.timeout(seconds):
            return await batcher.submit(item)

    with pytest.raises(TimeoutError):
        run(lambda _: submit("first", 1.0), Context())
    loop.freeze(3_600.0)
    assert run(lambda _: submit("second", 1.0), Context()) == "second"
    assert calls == [["first"], ["second"]]


class KeepingServer:
    """Answers `ok` to every request, over connections that it keeps until `close_connections`."""

    def __init__(self) -> None:
        self.accepted: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        threads: list[threading.Thread] = []
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connection, _ = self._listener.accept()
                self.accepted.append(connection)
                threads.append(threading.Thread(target=self._answer, args=(connection,)))
                threads[-1].start()
        for thread in threads:
            thread.join(60)

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(65_536):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    def close_connections(self) -> None:
        for connection in self.accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_connections()
        self._thread.join(60)


@pytest.fixture
def server() -> Iterator[KeepingServer]:
    keeping = KeepingServer()
    yield keeping
    keeping.close()


def post(client: HttpClient, seconds: float = 5.0) -> bytes:
    """Send what must not be sent twice, in an invocation of its own."""

    async def call(_: float) -> bytes:
        return (await client.call("POST", "/", {}, b"x", seconds)).body

    return run(call, Context())


def test_a_connection_is_kept_between_invocations_and_outlives_its_first_deadline(
    server: KeepingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, time = HttpClient(server.url), event_loop().time
    assert post(client) == b"ok"
    monkeypatch.setattr(event_loop(), "time", lambda: time() + 60)
    assert [post(client), post(client)] == [b"ok", b"ok"]
    assert len(server.accepted) == 1
    client.close()


def test_a_connection_that_ended_while_the_process_was_frozen_is_replaced(server: KeepingServer) -> None:
    client = HttpClient(server.url)
    assert post(client) == b"ok"
    server.close_connections()
    assert post(client) == b"ok"
    assert len(server.accepted) == 2
    client.close()


def test_a_connection_is_not_trusted_after_a_long_freeze(server: KeepingServer) -> None:
    now = 0.0
    client = HttpClient(server.url, now=lambda: now)
    assert post(client) == b"ok"
    now += IDLE_SECONDS + 1
    assert post(client) == b"ok"
    assert len(server.accepted) == 2
    client.close()
