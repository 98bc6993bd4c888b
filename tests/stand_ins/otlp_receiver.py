"""A collector: it takes spans and metrics by OTLP over HTTP, and parses them with OpenTelemetry's own messages.

`with otlp_receiver() as collector:` serves it in a thread; `collector.url` is what `telemetry: {otlp: …}` gets.
"""

import base64
import contextlib
import json
import socketserver
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple, Protocol

import pytest

from shared.jsontext import Json, JsonObject

MISSING: Final = "opentelemetry-proto is not installed: run `make test`, which installs it"
json_format = pytest.importorskip("google.protobuf.json_format", reason=MISSING)
metrics_service = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", reason=MISSING)
trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason=MISSING)
_ID_BYTES: Final = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
ERROR: Final = 2
"""The code of a span's status."""


class SeenSpan(NamedTuple):
    """A span, with the ids in hex and the times in seconds. `links` are pairs of a trace's and a span's id."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    started_at: float
    ended_at: float
    attributes: JsonObject
    is_error: bool
    links: tuple[tuple[str, str], ...]
    resource: JsonObject


class SeenPoint(NamedTuple):
    """A point of a metric. `temporality` is delta or cumulative; empty for a gauge."""

    name: str
    unit: str
    temporality: str
    value: float
    started_at: float
    at: float
    attributes: JsonObject
    resource: JsonObject


class Attribute(Protocol):
    """A KeyValue of OpenTelemetry's messages."""

    key: str
    value: object


class SeenRequest(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes
    arrived_at: float


@dataclass(eq=False)
class OtlpReceiver:
    """The requests that arrived, and how the next ones are answered.

    `faults` are the reasons why requests were answered with 400. `delay_seconds` is the time to each answer; while
    `is_mute`, there is none.
    """

    url: str = ""
    status: int = 200
    delay_seconds: float = 0.0
    is_mute: bool = False
    requests: list[SeenRequest] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def spans(self) -> list[SeenSpan]:
        return [span for each in self.requests if each.path == "/v1/traces" for span in spans_of(each.body)]

    def points(self) -> list[SeenPoint]:
        return [point for each in self.requests if each.path == "/v1/metrics" for point in points_of(each.body)]

    def take(self, request: SeenRequest) -> int:
        """Return the status for a request."""
        if not request.path.startswith("/v1/"):
            self.faults.append(f"unknown path {request.path}")
            return 404
        try:
            spans_of(request.body) if request.path == "/v1/traces" else points_of(request.body)
        except Exception as error:  # whatever the messages raise
            self.faults.append(f"{type(error).__name__}: {error}")
            return 400
        self.requests.append(request)
        return self.status


def spans_of(body: bytes) -> list[SeenSpan]:
    """Return the spans of an ExportTraceServiceRequest in JSON. Raises for a field that the message does not have."""
    request = json_format.ParseDict(_with_base64_ids(json.loads(body)), trace_service.ExportTraceServiceRequest())
    return [
        SeenSpan(
            name=span.name,
            kind=_KINDS[span.kind],
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            started_at=span.start_time_unix_nano / 1e9,
            ended_at=span.end_time_unix_nano / 1e9,
            attributes=_values(span.attributes),
            is_error=span.status.code == ERROR,
            links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
            resource=_values(of_resource.resource.attributes),
        )
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def points_of(body: bytes) -> list[SeenPoint]:
    """Return the points of an ExportMetricsServiceRequest in JSON. Raises as `spans_of` does."""
    request = json_format.ParseDict(_with_base64_ids(json.loads(body)), metrics_service.ExportMetricsServiceRequest())
    return [
        SeenPoint(
            name=metric.name,
            unit=metric.unit,
            temporality=("", "delta", "cumulative")[metric.sum.aggregation_temporality],
            value=float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double),
            started_at=point.start_time_unix_nano / 1e9,
            at=point.time_unix_nano / 1e9,
            attributes=_values(point.attributes),
            resource=_values(of_resource.resource.attributes),
        )
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]


def _with_base64_ids(value: Json) -> Json:
    """Return the document with its ids in base64, as protobuf's JSON has bytes. OTLP has these in hex instead."""
    if isinstance(value, list):
        return [_with_base64_ids(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _base64_id(name, each) if name in _ID_BYTES else _with_base64_ids(each) for name, each in value.items()
    }


def _base64_id(name: str, text: Json) -> str:
    identity = bytes.fromhex(str(text))
    if len(identity) != _ID_BYTES[name]:
        raise ValueError(f"{name}: must have {_ID_BYTES[name]} bytes; got {text!r}")
    return base64.b64encode(identity).decode()


def _values(attributes: Iterable[Attribute]) -> JsonObject:
    values: dict[str, Json] = {}
    for attribute in attributes:
        [(kind, value)] = json_format.MessageToDict(attribute.value).items()
        values[attribute.key] = int(value) if kind == "intValue" else value
    return values


@contextlib.contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet, as a collector's is

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            while receiver.is_mute:
                time.sleep(0.05)
            time.sleep(receiver.delay_seconds)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(SeenRequest(self.path, headers, body, time.time()))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *arguments: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    assert isinstance(server, socketserver.TCPServer)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.is_mute = False
        server.shutdown()
        server.server_close()
        thread.join()
