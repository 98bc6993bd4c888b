"""The exporter: sends what a process recorded to a collector, by OTLP over HTTP in JSON, a second's worth at once.

Serverless platforms freeze a process after its answer, so a flush belongs to a request: the last one of those under way
waits for it, for WAIT_SECONDS at most. While others are under way the process computes anyway, and a timer flushes.
What a collector has not confirmed by then goes on in the background. It is lost if the platform ends the process.

Own code, because it was measured: OpenTelemetry's SDK takes 0.1 s and 8 to 15 MB to import, and 2 ms of CPU for each
flush.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from shared import errors, logs, ports
from shared.jsontext import JsonObject
from shared.outgoing.http_client import HttpClient
from shared.telemetry.metrics import METRICS, Metrics
from shared.telemetry.spans import Span, spans_json

TRACES: Final = "/v1/traces"
WAIT_SECONDS: Final = 0.05
"""The time for which a request waits for a flush."""
FLUSH_SECONDS: Final = 1.0
"""The time from the beginning of a flush to the beginning of the next one."""
MAX_PAUSE_SECONDS: Final = 60.0
"""The longest wait after flushes that failed."""
SEND_SECONDS: Final = 5.0
MAX_SPANS: Final = 512
"""The most spans that wait. If there are more, the oldest are dropped."""
_PASSING: Final = frozenset({408, 429, 502, 503, 504})
"""The statuses after which the same request may succeed. OTLP says to drop the data after any other failure."""
_NOT_SERVED: Final = frozenset({404, 405, 501})
"""The statuses of a path that a server does not have."""
MAX_ANSWER_BYTES: Final = 65_536

Answer = TypeVar("Answer")


class Post(Protocol):
    """The way to a collector. Its methods raise OSError and Temporary."""

    async def connect(self) -> None:
        """Open the connection of the next call, unless there is one."""

    async def __call__(self, path: str, body: bytes) -> int:
        """Send a body to the path of a signal, and return the status of the answer."""


class Signal(Protocol):
    """Data that is exported to one path: spans, or metrics."""

    @property
    def path(self) -> str: ...

    @property
    def is_waiting(self) -> bool: ...

    def take(self) -> bytes:
        """Return the body with all that waits."""

    def put_back(self) -> None:
        """Keep what was taken last for the next flush: it was not sent."""


class Spans:
    """The spans that wait. `resources` are the attributes of each service's resource."""

    def __init__(self, resources: Mapping[str, JsonObject], path: str = TRACES) -> None:
        self.path = path
        self._resources = resources
        self._waiting: deque[Span] = deque(maxlen=MAX_SPANS)
        self._taken: list[Span] = []

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, span: Span) -> None:
        self._waiting.append(span)

    def take(self) -> bytes:
        self._taken = [*self._waiting]
        self._waiting.clear()
        return spans_json(self._taken, self._resources)

    def put_back(self) -> None:
        self._waiting = deque([*self._taken, *self._waiting], maxlen=MAX_SPANS)


class Exporter:
    """The exporter of a process, on one event loop. All signals go out in the same flush."""

    def __init__(self, post: Post, spans: Spans, metrics: Metrics | None = None) -> None:
        """Make an exporter. `metrics` is None if the collector does not accept metrics."""
        self._post = post
        self._spans = spans
        self.metrics = metrics
        self._signals: tuple[Signal, ...] = (spans,) if metrics is None else (spans, metrics)
        self._under_way = 0
        self._connecting: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        self._failures = 0

    def add(self, span: Span) -> None:
        """Add a span that has ended, and count it."""
        self._spans.add(span)
        if self.metrics is not None:
            self.metrics.count_span(span)

    async def around(self, work: Awaitable[Answer]) -> Answer:
        """Return the result of a request, or of a batch of messages, and flush if nothing else is under way."""
        self._under_way += 1
        self._connect_ahead()
        try:
            answer = await work
        finally:
            self._under_way -= 1
        await self._flush_soon()
        return answer

    def _connect_ahead(self) -> None:
        """Connect while the request is served. Otherwise, a handshake would use up the time that the flush has."""
        loop = asyncio.get_running_loop()
        is_connecting = self._connecting is not None and not self._connecting.done()
        if not is_connecting and self._sending is None and loop.time() >= self._next_at:
            self._connecting = loop.create_task(self._connect())

    async def _connect(self) -> None:
        with suppress(Exception):  # the flush says what is wrong
            await self._post.connect()

    async def _flush_soon(self) -> None:
        """Flush now and wait for that, or let a timer flush. Never fails."""
        if self._sending is not None or not any(signal.is_waiting for signal in self._signals):
            return
        loop = asyncio.get_running_loop()
        wait_seconds = self._next_at - loop.time()
        if self._under_way or wait_seconds > 0:
            self._start_timer(max(wait_seconds, FLUSH_SECONDS if self._under_way else 0.0))
            return
        self._begin()
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=WAIT_SECONDS)

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        """Begin a flush in the background, unless one is under way or nothing waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None and any(signal.is_waiting for signal in self._signals):
            loop = asyncio.get_running_loop()
            self._next_at = loop.time() + FLUSH_SECONDS
            self._sending = loop.create_task(self._send())

    async def _send(self) -> None:
        try:
            if self._connecting is not None:
                await self._connecting
            waiting = [signal for signal in self._signals if signal.is_waiting]
            faults = await asyncio.gather(*map(self._fault, waiting))
            self._note(next(filter(None, faults), ""))
        finally:
            self._sending = None
        if any(signal.is_waiting for signal in self._signals):
            self._start_timer(max(0.0, self._next_at - asyncio.get_running_loop().time()))

    async def _fault(self, signal: Signal) -> str:
        """Send what waits. Return what failed, without any text of the collector; empty if nothing did."""
        try:
            status = await self._post(signal.path, signal.take())
        except OSError as error:
            signal.put_back()
            return f"the collector did not answer: {type(error).__name__}"
        except errors.Temporary as error:
            signal.put_back()
            return error.detail
        except Exception as error:  # a fault of ours must cost no request anything
            return errors.place_of(error)
        if 200 <= status < 300:
            return ""
        if status in _PASSING:
            signal.put_back()
        if status in _NOT_SERVED and signal is self.metrics:
            self._leave_out_metrics(status)
            return ""
        return f"the collector answered {status} at {signal.path}"

    def _leave_out_metrics(self, status: int) -> None:
        """Send no more metrics: the collector takes spans alone, and its answer must not hold these up."""
        detail = f"the collector answered {status} at {METRICS}: set `metrics: false`"
        logs.log("WARNING", "metrics not sent", detail=detail)
        self.metrics = None
        self._signals = (self._spans,)

    def _note(self, fault: str) -> None:
        """Wait longer after each failure, and warn once until a flush succeeds."""
        if not fault:
            self._failures = 0
            return
        if not self._failures:
            logs.log("WARNING", "telemetry not sent", detail=fault)
        self._failures += 1
        pause_seconds = min(MAX_PAUSE_SECONDS, FLUSH_SECONDS * 2 ** min(self._failures, 10))
        self._next_at = asyncio.get_running_loop().time() + pause_seconds


class OtlpPost:
    """Posts to a collector, below the URL `base`. The secret has the headers of each request."""

    def __init__(self, base: str, secrets: ports.Secrets, headers_secret: str | None) -> None:
        self._client = HttpClient(base, MAX_ANSWER_BYTES, may_cut=True)  # only the status is used
        self._path = urlsplit(base).path.rstrip("/")
        self._secrets = secrets
        self._headers_secret = headers_secret

    async def connect(self) -> None:
        await self._client.connect(SEND_SECONDS)

    async def __call__(self, path: str, body: bytes) -> int:
        own_headers = {} if self._headers_secret is None else await self._read_secret(self._headers_secret)
        headers = {"user-agent": "hookchain", **own_headers, "content-type": "application/json"}
        answer = await self._client.call("POST", f"{self._path}{path}", headers, body, SEND_SECONDS, may_repeat=True)
        return answer.status

    async def _read_secret(self, name: str) -> dict[str, str]:
        """Return the headers in the secret. Raises Temporary, also if a request cannot have them, or if the secret has
        another form."""
        # Imported here, because it takes 3 ms of a function's start.
        from shared.outgoing.allowed_requests import verify_headers

        text = (await self._secrets.values(name))[0]
        try:
            headers = read_headers(text)
            verify_headers([*headers.items()])
        except errors.Permanent as error:
            raise errors.Temporary("secret_unusable", f"the secret {name!r}: {error.detail}") from error
        return headers

    def close(self) -> None:
        self._client.close()


def read_headers(text: str) -> dict[str, str]:
    """Return the headers in `name=value,name=value`, in which values may be percent-encoded.

    Names are returned in lower case, so that no header is sent twice. Raises Permanent (`invalid_header`) if a part has
    no name or no `=`. The message has no part of the text, which may be a credential alone.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
    """
    headers: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        name, found, value = part.partition("=")
        if not found or not name.strip():
            rule = "must have the form `name=value,name=value`, such as `authorization=Bearer%20abc`"
            raise errors.Permanent("invalid_header", rule)
        headers[name.strip().lower()] = unquote(value.strip())
    return headers
