"""A receiver of webhooks whose every answer is written out in the test."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from tests.running.processes import PATIENCE_SECONDS

Answerer = Callable[[socket.socket], None]


class ScriptedReceiver:
    """Gives its answers one after another, and the last one to all further requests."""

    def __init__(self, *answers: bytes | Answerer) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.address}/hook"

    def header(self, name: str) -> str | None:
        """Of the latest request."""
        for line in self.heads[-1].split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        return None

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed when the test ends
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not isinstance(answer, bytes):
            answer(connection)
            return
        with connection.makefile("rb") as reader:
            lines: list[bytes] = []
            while (line := reader.readline()) not in {b"\r\n", b""}:
                lines.append(line)
            self.heads.append(b"".join(lines).decode("latin-1").rstrip("\r\n"))
            self.bodies.append(reader.read(int(self.header("content-length") or 0)))
        connection.sendall(answer)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def receiver(*answers: bytes | Answerer) -> Generator[ScriptedReceiver, None, None]:
    scripted = ScriptedReceiver(*answers)
    thread = threading.Thread(target=scripted.serve, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        scripted.close()
        thread.join(PATIENCE_SECONDS)


def http_answer(status: int, body: bytes = b"", headers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\nConnection: close\r\n" % (status, len(body))
    return head + headers + b"\r\n" + body


def unavailable(retry_after: int = 0) -> bytes:
    return http_answer(503, b'{"code":"unavailable"}', b"Retry-After: %d\r\n" % retry_after)
