"""The trace of an event, as a collector gets it from the running functions on each platform."""

import contextlib
import json
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from shared.telemetry import spans
from tests.running.local_lambda import require_tools
from tests.running.processes import PATIENCE_SECONDS, wait_for
from tests.running.stack import running
from tests.stand_ins.otlp_receiver import OtlpReceiver, otlp_receiver

pytestmark = pytest.mark.slow

CONFIG: Final = """
sources:
  form: {{auth: none, type: data.kind}}
routes:
  - name: to mail
    from: form
    types: [order]
    steps: [{{rename: {{data.name: title}}}}, {{drop: [data.secret]}}]
    to: [team]
  - name: broken
    from: form
    types: [order]
    steps: [{{call: {{url: "{url}/missing", allow_private: true}}}}]
    to: [team]
destinations:
  team: {{email: {{to: [team@example.com], subject: "{{{{ data.title }}}}"}}}}
"""
SECTION: Final = """\
telemetry: {{otlp: "{url}", headers_secret: collector-headers, resource: {{deployment.environment.name: test}}}}
"""
SENDER: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS: Final = "authorization=Bearer%20abc,x-team=ops"


def send(url: str) -> str:
    headers = {"Content-Type": "application/json", "traceparent": SENDER}
    body = json.dumps({"kind": "order", "name": "Jörg", "secret": "canary-value"}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_SECONDS) as answer:
        return str(json.loads(answer.read())["id"])


def is_complete(collector: OtlpReceiver, event_id: str) -> bool:
    return {"process events", "deliver team"} <= {each.name for each in collector.spans() if each.trace_id == event_id}


@pytest.mark.parametrize("platform", ["gcp", "aws"])
def test_a_collector_gets_the_trace_of_an_event(tmp_path: Path, platform: str) -> None:
    """On Google Cloud by the section of the configuration, and on AWS by OpenTelemetry's variables."""
    with contextlib.ExitStack() as ending:
        collector = ending.enter_context(otlp_receiver())
        config, environ, arguments = f"{CONFIG}{SECTION}", {"COLLECTOR_HEADERS": HEADERS}, []
        if platform == "aws":
            require_tools()
            config, arguments = CONFIG, ["--platform", "aws"]
            environ = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_EXPORTER_OTLP_HEADERS": HEADERS,
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            }
        environ["EMAIL_FROM"] = "hook@example.com"
        stack = ending.enter_context(running(tmp_path, config.format(url=collector.url), environ, arguments))
        event_ids = [send(f"{stack.url}/form")]

        def complete_ids() -> list[str]:
            return [each for each in event_ids if is_complete(collector, each)]

        def send_until_one_is_complete() -> bool:
            """What was not sent in time waits for the next event in the same process, and Lambda may choose another."""
            if not complete_ids():
                event_ids.append(send(f"{stack.url}/form"))
            return bool(complete_ids())

        wait_for(send_until_one_is_complete, every_seconds=1.0)
        event_id = complete_ids()[0]
        found = [each for each in collector.spans() if each.trace_id == event_id]
    tree = {each.span_id: each for each in found}
    shown = {
        (each.resource["service.name"], each.name, tree[each.parent_id].name if each.parent_id else "")
        for each in found
    }
    assert shown == {
        ("hookchain-receive", "POST /form", ""),
        ("hookchain-receive", "publish events", "POST /form"),
        ("hookchain-transform", "process events", "publish events"),
        ("hookchain-transform", "step rename", "process events"),
        ("hookchain-transform", "step drop", "process events"),
        ("hookchain-transform", "step call", "process events"),
        ("hookchain-transform", "publish deliveries", "process events"),
        ("hookchain-transform", "publish dead-letters", "process events"),
        ("hookchain-notify", "deliver team", "publish deliveries"),
    }
    assert all(each.started_at <= each.ended_at for each in found)
    assert all(tree[each.parent_id].started_at <= each.started_at for each in found if each.parent_id)
    by_name = {each.name: each for each in found}
    receive = by_name["POST /form"]
    assert receive.links == ((SENDER.split("-")[1], SENDER.split("-")[2]),)
    assert receive.attributes[spans.HTTP_STATUS] == 200
    assert receive.attributes["cloudevents.event_id"] == event_id
    call = by_name["step call"]
    assert (call.is_error, call.attributes["error.type"]) == (True, "request_rejected")
    system = "aws_sqs" if platform == "aws" else "gcp_pubsub"
    assert by_name["process events"].attributes["messaging.system"] == system
    assert {each.resource["deployment.environment.name"] for each in found} == {"test"}
    for request in collector.requests:
        assert (request.headers["authorization"], request.headers["x-team"]) == ("Bearer abc", "ops")
        assert b"canary-value" not in request.body
    assert {*collector.faults} == {"unknown path /missing"}
