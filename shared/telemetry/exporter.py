"""The exporter: sends what a process recorded to a collector, by OTLP over HTTP in JSON, a second's worth at once.

Serverless platforms freeze a process after its answer, so a flush belongs to a request: the last one of those under way
waits for it, for WAIT_SECONDS at most. While others are under way the process computes anyway, and a timer flushes.
What a collector has not confirmed by then goes on in the background. It is lost if the platform ends the process.

Own code, because it was measured: OpenTelemetry's SDK takes 0.1 s and 8 to 15 MB to import, and 2 ms of CPU for each
flush.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from shared import errors, logs, ports
from shared.fetch import retry_after_seconds
from shared.jsontext import JsonObject
from shared.outgoing.http_client import Answer, HttpClient, NotSent
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
MAX_ANSWER_BYTES: Final = 65_536
MAX_SPANS: Final = 512
"""The most spans that wait. If there are more, the oldest are dropped."""
_PASSING: Final = frozenset({408, 429, 502, 503, 504})
"""The statuses after which the same request may succeed. OTLP says to drop the data after any other failure."""
_NOT_SERVED: Final = frozenset({404, 405, 501})
"""The statuses of a path that a server does not have."""
_REJECTED: Final = re.compile(rb'"rejected(?:Spans|DataPoints)"\s*:\s*"?([1-9][0-9]{0,9})')
"""How much of a request was rejected, in the answer of a collector that accepted the rest."""

Result = TypeVar("Result")


class Post(Protocol):
    """The way to a collector. Its methods raise OSError and Temporary."""

    async def connect(self) -> None:
        """Open the connection of the next call, unless there is one."""

    async def __call__(self, path: str, body: bytes) -> Answer:
        """Send a body to the path of a signal, and return the answer, whose body may be cut."""


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


@dataclass(slots=True, eq=False)
class _Export:
    """The export of a signal. One that fails or hangs delays no other.

    sending   the flush that is under way
    timer     begins the next flush, if no request does before
    next_at   the time of the event loop before which no flush begins
    fault     what failed last; empty after a success
    failures  how many flushes in a row failed
    """

    signal: Signal
    sending: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    next_at: float = 0.0
    fault: str = ""
    failures: int = 0


class Exporter:
    """The exporter of a process, on one event loop."""

    def __init__(self, post: Post, spans: Spans, metrics: Metrics | None = None) -> None:
        """Make an exporter. `metrics` is None if the collector does not accept metrics."""
        self._post = post
        self._spans = spans
        self.metrics = metrics
        self._spans_export = _Export(spans)
        self._exports = [self._spans_export] if metrics is None else [self._spans_export, _Export(metrics)]
        self._under_way = 0
        self._connecting: asyncio.Task[None] | None = None

    def add(self, span: Span) -> None:
        """Add a span that has ended, and count it."""
        self._spans.add(span)
        if self.metrics is not None:
            self.metrics.count_span(span)

    async def around(self, work: Awaitable[Result]) -> Result:
        """Return the result of a request, or of a batch of messages, and flush if nothing else is under way."""
        self._under_way += 1
        self._connect_ahead()
        try:
            result = await work
        finally:
            self._under_way -= 1
        await self._flush_soon()
        return result

    def _connect_ahead(self) -> None:
        """Connect while the request is served. Otherwise, a handshake would use up the time that the flush has."""
        loop = asyncio.get_running_loop()
        is_connecting = self._connecting is not None and not self._connecting.done()
        export = self._spans_export
        if not is_connecting and export.sending is None and loop.time() >= export.next_at:
            self._connecting = loop.create_task(self._connect())

    async def _connect(self) -> None:
        with suppress(Exception):  # the flush says what is wrong
            await self._post.connect()

    async def _flush_soon(self) -> None:
        """Flush now and wait for that, or let a timer flush. Never fails."""
        loop = asyncio.get_running_loop()
        begun: list[asyncio.Task[None]] = []
        for export in self._exports:
            if export.sending is not None or not export.signal.is_waiting:
                continue
            shortest_wait = FLUSH_SECONDS if self._under_way else 0.0
            wait_seconds = max(export.next_at - loop.time(), shortest_wait)
            if wait_seconds > 0:
                self._start_timer(export, wait_seconds)
            else:
                begun.append(self._begin_flush(export))
        if begun:
            await asyncio.wait(begun, timeout=WAIT_SECONDS)

    def _start_timer(self, export: _Export, seconds: float) -> None:
        if export.timer is None:
            export.timer = asyncio.get_running_loop().call_later(seconds, self._end_timer, export)

    def _end_timer(self, export: _Export) -> None:
        export.timer = None
        if export.sending is None and export.signal.is_waiting:
            _ = self._begin_flush(export)  # nobody waits for it

    def _begin_flush(self, export: _Export) -> asyncio.Task[None]:
        """Begin to send the signal in the background, and return the task."""
        if export.timer is not None:
            export.timer.cancel()
            export.timer = None
        loop = asyncio.get_running_loop()
        export.next_at = loop.time() + FLUSH_SECONDS
        export.sending = loop.create_task(self._flush(export))
        return export.sending

    async def _flush(self, export: _Export) -> None:
        try:
            if self._connecting is not None:
                await self._connecting
            await self._post_waiting(export)
        finally:
            export.sending = None
        # The collector may have answered that it takes no metrics, whose export then ends.
        if export.signal.is_waiting and export in self._exports:
            self._start_timer(export, max(0.0, export.next_at - asyncio.get_running_loop().time()))

    async def _post_waiting(self, export: _Export) -> None:
        """Send what waits, and note what failed, without any text of the collector."""
        signal = export.signal
        try:
            answer = await self._post(signal.path, signal.take())
        except OSError as error:
            signal.put_back()
            # NotSent has the class of its cause as text, such as SSLCertVerificationError.
            cause = str(error) if isinstance(error, NotSent) else type(error).__name__
            self._fail(export, f"the collector did not answer: {cause}")
        except errors.Temporary as error:
            signal.put_back()
            self._fail(export, error.detail)
        except Exception as error:  # a fault of ours must cost no request anything
            self._fail(export, errors.place_of(error))
        else:
            self._note_answer(export, answer)

    def _note_answer(self, export: _Export, answer: Answer) -> None:
        signal, status = export.signal, answer.status
        if 200 <= status < 300:
            export.failures = 0
            rejected = _REJECTED.search(answer.body)
            self._note_fault(
                export, f"the collector rejected {int(rejected[1]):,} at {signal.path}" if rejected else ""
            )
            return
        if status in _PASSING:
            signal.put_back()
        if status in _NOT_SERVED and signal is self.metrics:
            self._leave_out_metrics(status)
        else:
            # There is no clock here. So a date, which is rare, counts from 1970 on, and `_fail` bounds the pause.
            asked_seconds = retry_after_seconds(answer.headers.get("retry-after"), now=0.0)
            self._fail(export, f"the collector answered {status} at {signal.path}", asked_seconds)

    def _leave_out_metrics(self, status: int) -> None:
        """Send no more metrics: the collector takes spans alone."""
        detail = f"the collector answered {status} at {METRICS}: set `metrics: false`"
        logs.log("WARNING", "metrics not sent", detail=detail)
        self.metrics = None
        self._exports = [self._spans_export]

    def _fail(self, export: _Export, fault: str, asked_seconds: float | None = None) -> None:
        """Wait as long as the collector asks for, or else longer after each failure; at most MAX_PAUSE_SECONDS."""
        self._note_fault(export, fault)
        export.failures += 1
        pause_seconds = FLUSH_SECONDS * 2 ** min(export.failures, 10) if asked_seconds is None else asked_seconds
        bounded_seconds = min(max(pause_seconds, FLUSH_SECONDS), MAX_PAUSE_SECONDS)
        export.next_at = asyncio.get_running_loop().time() + bounded_seconds

    def _note_fault(self, export: _Export, fault: str) -> None:
        """Keep the fault, which is empty after a success, and warn once until then.

        Both signals often fail for the same reason, which is logged once too.
        """
        if fault and not export.fault and all(each.fault != fault for each in self._exports):
            logs.log("WARNING", "telemetry not sent", detail=fault)
        export.fault = fault


# The ways to a collector; those to a cloud's own endpoint are in shared/cloud/gcp/otlp.py and shared/cloud/aws/otlp.py


class NoPost:
    """Drops what is posted."""

    async def connect(self) -> None: ...

    async def __call__(self, path: str, body: bytes) -> Answer:  # noqa: ARG002 the interface
        return Answer(200, b"")


class OtlpPost:
    """Posts to a collector, below the URL `base`. The secret has the headers of each request."""

    def __init__(self, base: str, secrets: ports.Secrets, headers_secret: str | None) -> None:
        self._client = HttpClient(base, MAX_ANSWER_BYTES, may_cut=True)
        self._path = urlsplit(base).path.rstrip("/")
        self._secrets = secrets
        self._headers_secret = headers_secret

    async def connect(self) -> None:
        await self._client.connect(SEND_SECONDS)

    async def __call__(self, path: str, body: bytes) -> Answer:
        own_headers = {} if self._headers_secret is None else await self._read_secret(self._headers_secret)
        headers = {"user-agent": "hookchain", **own_headers, "content-type": "application/json"}
        return await self._client.call("POST", f"{self._path}{path}", headers, body, SEND_SECONDS, may_repeat=True)

    async def _read_secret(self, name: str) -> dict[str, str]:
        """Return the headers in the secret. Raises Temporary, also if a request cannot have them, or if the secret has
        another form."""
        # Imported here, because it takes 3 ms of a function's start.
        from shared.outgoing.request_headers import verify_headers

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
