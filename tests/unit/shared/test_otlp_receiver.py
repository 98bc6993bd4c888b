"""The collector of the tests takes what a collector takes, and nothing else."""

import json
import urllib.error
import urllib.request

import pytest

from shared.jsontext import JsonObject
from tests.otlp_receiver import OtlpReceiver, otlp_receiver

SPAN: JsonObject = {
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "spanId": "b7ad6b7169203331",
    "name": "process events",
    "kind": 5,
    "startTimeUnixNano": "1790000000000000000",
    "endTimeUnixNano": "1790000000250000000",
    "attributes": [{"key": "http.response.status_code", "value": {"intValue": "200"}}],
    "status": {"code": 2},
}


def traces(span: JsonObject) -> JsonObject:
    resource: JsonObject = {"attributes": [{"key": "service.name", "value": {"stringValue": "transform"}}]}
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "hookchain"}, "spans": [span]}]}]
    }


def post(receiver: OtlpReceiver, document: JsonObject) -> int:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{receiver.url}/v1/traces", json.dumps(document).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_span_is_read_with_its_resource() -> None:
    with otlp_receiver() as receiver:
        assert post(receiver, traces(SPAN)) == 200
        [span] = receiver.spans()
    assert (span.name, span.kind, span.trace_id, span.is_error) == (
        "process events",
        "consumer",
        "0af7651916cd43dd8448eb211c80319c",
        True,
    )
    assert span.ended_at - span.started_at == pytest.approx(0.25)
    assert span.attributes == {"http.response.status_code": 200}
    assert span.resource == {"service.name": "transform"}


@pytest.mark.parametrize(
    ("member", "value"), [("traceId", "0af7"), ("spanId", "not hex"), ("starts", 1), ("kind", "CLIENT")]
)
def test_a_request_that_no_collector_takes_is_rejected(member: str, value: str | int) -> None:
    with otlp_receiver() as receiver:
        assert post(receiver, traces({**SPAN, member: value})) == 400
        assert len(receiver.faults) == 1
        assert receiver.spans() == []
