"""An HTTP server in a thread of its own, whose answers a function of the test gives."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.running.processes import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Seen:
    """A request. Its headers are found by their names in any case."""

    line: str
    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def lower_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. A Content-Length is added."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1_024  # with the usual 5, the system drops connections when all that waited comes at once


@contextmanager
def http_stand_in(answer: Callable[[Seen], Said], port: int = 0) -> Iterator[str]:
    """Serve on 127.0.0.1 while the block runs; yield the URL, without a slash at its end."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            said = answer(Seen(self.requestline, self.command, self.path, self.headers, body))
            with suppress(OSError):  # the client may be gone
                self.send_response(said.status)
                for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 the names are the library's

        def log_message(self, format: str, *_: object) -> None:
            """Print nothing."""

    with _Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(PATIENCE_SECONDS)
