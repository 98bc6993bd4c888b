"""The commands that read and change the state of a stack: events, dead letters, release, status; and its logs."""

import asyncio
import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
from hypothesis import given, strategies as st

from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsFault, DeployedStack
from deploy.history.aws_logs import CloudWatchLog, filter_patterns, parse_log_event
from deploy.history.aws_status import read_backlogs, read_counts, read_versions
from deploy.history.logs import LogQuery
from deploy.topology.monitoring import MetricCount, MetricWindow
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.delivery import Delivery
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import JsonObject, objects_at, texts_at, to_json
from shared.ledger import Settlement
from shared.retention import Retention
from shared.times import rfc3339
from tests.aws.operator import Stack
from tests.fakes.command import Command
from tests.fakes.deliveries import settled
from tests.fakes.receiver import http_answer, receiver
from tests.running.ports import free_port
from tests.running.processes import Request, started, wait_for

EVENT_ID = "4f2a" * 8
DESTINATION = "people"


@pytest.fixture
def deployed(stack: Stack) -> Stack:
    """A stack with tables, queues and the bucket, and no event."""
    stack.add_tables()
    stack.add_queues()
    region = {"LocationConstraint": stack.place.region}
    bucket = aws_names.bucket(stack.prefix, "123456789012", stack.place.region)
    stack.call("s3", "create_bucket", Bucket=bucket, CreateBucketConfiguration=region)
    return stack


def work(stack: Stack, do: Callable[[DynamoLedger, DynamoJournal], Awaitable[None]]) -> None:
    """Let the ports of the functions do something."""

    async def run() -> None:
        ledger = DynamoLedger(stack.place, stack.prefix)
        journal = DynamoJournal(stack.place, stack.prefix, None, Retention())
        await do(ledger, journal)
        ledger.close()
        journal.close()
        await asyncio.sleep(0)

    asyncio.run(run())


def event(event_id: str = EVENT_ID) -> Event:
    return Event(event_id, "/sources/shop", "order.created", rfc3339(time.time()), "0" * 64, {"name": "Ada"})


def happen(stack: Stack, outcome: Literal["delivered", "held"] = "delivered", event_id: str = EVENT_ID) -> None:
    """An event that was routed, and one attempt to deliver it."""

    async def do(ledger: DynamoLedger, journal: DynamoJournal) -> None:
        found, now = event(event_id), time.time()
        document = to_json(to_cloudevent(found)).encode()
        await journal.record(
            [EventEntry(found, (RouteDecision("orders", True, "its type", (DESTINATION,)),), now, document=document)]
        )
        delivery = Delivery(found, "orders", DESTINATION)
        ids = delivery.id, event_id, "orders", DESTINATION
        attempt = AttemptEntry(*ids, 1, now, now + 0.1, outcome, "", "202 Accepted")
        await settled(ledger, delivery, Settlement(outcome, now, "its key is gone", attempt=attempt))

    work(stack, do)


def messages(stack: Stack, topic: str) -> list[JsonObject]:
    url = stack.call("sqs", "get_queue_url", QueueName=aws_names.queue(stack.prefix, topic))["QueueUrl"]
    found = stack.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(str(each["Body"])) for each in objects_at(found, "Messages")]


def test_events_are_listed_shown_and_replayed(deployed: Stack, command: Command) -> None:
    happen(deployed)
    assert EVENT_ID[:12] in command("events", "list", "--status", "delivered")
    document = command.json("events", "show", EVENT_ID[:8])
    assert (document["id"], document["status"]) == (EVENT_ID, "delivered")
    dry = command("events", "replay", EVENT_ID)
    assert all(f"--{option}" in dry for option in ("platform aws", f"stack {deployed.name}", "yes"))
    assert messages(deployed, "events") == []
    command("events", "replay", EVENT_ID, "--yes")
    [message] = messages(deployed, "events")
    assert message["id"] == EVENT_ID


def test_the_status_shows_what_is_held_and_release_delivers_it(deployed: Stack, command: Command) -> None:
    happen(deployed, "held")
    status = command.json("status")
    assert status["notes"] == []
    assert [(each["destination"], each["count"]) for each in objects_at(status, "held")] == [(DESTINATION, 1)]
    assert {each["source"]: each["last_day"] for each in objects_at(status, "sources")} == {"shop": 1, "pay": 0}
    assert f"(hookchain release {DESTINATION} {deployed.where})" in command("status")
    released = command("release", DESTINATION)
    assert "1 held delivery will be attempted within 2 min" in released


def test_a_status_without_tables_says_so_and_shows_the_rest(stack: Stack, command: Command) -> None:
    stack.add_functions()
    status = command.json("status")
    assert [each["trouble"] for each in objects_at(status, "versions")] == [None] * 3
    assert any("events, dead letters and what is held" in note for note in texts_at(status, "notes"))


def test_a_smoke_test_is_signed_with_the_stored_secret_and_followed(deployed: Stack, command: Command) -> None:
    happen(deployed)
    with receiver(http_answer(200, json.dumps({"id": EVENT_ID}).encode())) as hook:
        deployed.describe(url=f"http://{hook.address}/")
        command("smoke", "--source", "shop", "--yes", code=1)
        assert f"hookchain secrets set shop-password {deployed.where}" in command.error
        command("secrets", "set", "shop-password", "--random")
        assert "It works: 1 of 1 delivered." in command("smoke", "--source", "shop", "--yes")
        assert hook.heads[0].startswith("POST /shop ")
        assert (hook.header("authorization") or "").startswith("Basic ")


def test_the_inspector_shows_the_events_of_a_stack(deployed: Stack) -> None:
    happen(deployed)
    port = free_port()
    command = [sys.executable, "-m", "deploy.cli", "inspect", "--platform", "aws", "--stack", deployed.name]
    command += ["--region", deployed.place.region, "--port", str(port)]
    with started(command, {**os.environ, **deployed.environ}, port, Request("/", b"", {}), ready="open") as running:
        wait_for(lambda: f"shows {deployed.name} in {deployed.place.region}" in running.output())
        [token] = re.findall(r"/\?token=(\S+) shows", running.output())
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/events", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert [each["id"] for each in json.loads(answer.read())["events"]] == [EVENT_ID]


# Functions, queues, and what could not be read


def test_a_function_that_does_not_read_its_queue_is_in_trouble(stack: Stack) -> None:
    stack.add_functions()
    stack.add_queues()
    queue = aws_names.queue(stack.prefix, "events")
    arn = f"arn:aws:sqs:{stack.place.region}:123456789012:{queue}"
    function = aws_names.function(stack.prefix, "transform")
    stack.call("lambda", "create_event_source_mapping", EventSourceArn=arn, FunctionName=function, Enabled=False)
    troubles = {each.name: each.trouble for each in read_versions(DeployedStack(stack.target, stack.api()))}
    assert troubles["transform"] == f"does not read {queue}: its event source mapping is off"
    assert troubles["notify"] == ""


def test_a_backlog_counts_the_messages_that_a_function_has_and_tells_their_age(stack: Stack) -> None:
    stack.add_queues()
    stack.send("events", 3)
    queue = aws_names.queue(stack.prefix, "events")
    url = stack.call("sqs", "get_queue_url", QueueName=queue)["QueueUrl"]
    stack.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=60)
    metric = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Timestamp": time.time() - 90,
        "Value": 400.0,
    }
    stack.call("cloudwatch", "put_metric_data", Namespace="AWS/SQS", MetricData=[metric])
    backlogs, notes = read_backlogs(DeployedStack(stack.target, stack.api()), time.time())
    assert notes == []
    by_name = {each.subscription: (each.count, each.oldest_seconds) for each in backlogs}
    assert by_name[queue] == (3, 400.0)
    assert by_name[aws_names.undelivered_queue(stack.prefix, "events")] == (0, None)
    assert len(by_name) == 6


def test_requests_and_attempts_are_counted_by_bucket_and_destination(stack: Stack) -> None:
    now = float(1_800 * (time.time() // 1_800)) + 100
    receive = {"FunctionName": aws_names.function(stack.prefix, "receive")}
    delivered = {"destination": "people", "outcome": "delivered"}
    retried = {"destination": "people", "outcome": "retry_scheduled"}

    def put(namespace: str, name: str, dimensions: dict[str, str], *values: float, at: float = now - 10) -> None:
        named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        data = [{"MetricName": name, "Dimensions": named, "Timestamp": at, "Value": value} for value in values]
        stack.call("cloudwatch", "put_metric_data", Namespace=namespace, MetricData=data)

    put("AWS/Lambda", "UrlRequestCount", receive, 6, 4)
    put("AWS/Lambda", "UrlRequestCount", receive, 3, at=now - 1_000)
    put("AWS/Lambda", "UrlRequestCount", receive, 9, at=now - 100_000)
    put("AWS/Lambda", "Url4xxCount", receive, 2)
    put("AWS/Lambda", "Url5xxCount", receive, 1)
    put("Hookchain", f"{stack.prefix}attempts", {"destination": "people"}, 81.5, 90.25, 7.0)
    put("Hookchain", f"{stack.prefix}deliveries", delivered, 1, 1)
    put("Hookchain", f"{stack.prefix}deliveries", retried, 1)
    others = [f"other-{number}" for number in range(250)]  # more metrics than a call may have
    window = MetricWindow(now, 900, 96, [*others, "people"])
    last = now - 100
    assert sorted(read_counts(DeployedStack(stack.target, stack.api()), window)) == [
        MetricCount("attempts", last, 3, "people"),
        MetricCount("delivered", last, 2, "people"),
        MetricCount("rejected", last, 1),
        MetricCount("rejected", last, 2),
        MetricCount("requests", last - 900, 3),
        MetricCount("requests", last, 10),
    ]


def test_a_backlog_is_told_of_the_queue_that_brings_messages_to_a_source(stack: Stack) -> None:
    stack.add_functions()
    stack.add_queues()
    arn = f"arn:aws:sqs:{stack.place.region}:123456789012:jobs"
    url = stack.call("sqs", "create_queue", QueueName="jobs")["QueueUrl"]
    stack.call("sqs", "send_message", QueueUrl=url, MessageBody="{}")
    function = aws_names.function(stack.prefix, "receive")
    stack.call("lambda", "create_event_source_mapping", EventSourceArn=arn, FunctionName=function, Enabled=False)
    backlogs, notes = read_backlogs(DeployedStack(stack.target, stack.api()), time.time())
    assert (backlogs[-1].subscription, backlogs[-1].count, notes) == ("jobs", 1, [])


# Sources


def test_each_source_has_its_url_and_a_line_that_reads_the_secret(stack: Stack, command: Command) -> None:
    stack.describe(url="https://abc.lambda-url.eu-central-1.on.aws/")
    shop, pay = objects_at(command.json("sources"), "sources")
    assert shop["url"] == "https://abc.lambda-url.eu-central-1.on.aws/shop"
    read = f"aws secretsmanager get-secret-value --secret-id={stack.prefix}shop-password"
    assert f'-u "web:$({read} --query=SecretString' in str(shop["example"])
    assert "--secret-stdin" in str(pay["example"])


def test_a_stack_that_is_not_deployed_is_reported_with_the_command(stack: Stack, command: Command) -> None:
    command("sources", code=1)
    assert f"stack {stack.name} in {stack.place.region} is not deployed: make deploy-aws" in command.error
    stack.describe(status="CREATE_IN_PROGRESS", url=None)
    command("sources", code=1)
    assert "has no output ReceiveUrl (CREATE_IN_PROGRESS)" in command.error


def log_event(message: str, number: int = 1) -> JsonObject:
    return {"timestamp": 1_772_366_400_123, "message": message, "eventId": str(number), "logStreamName": "one"}


def read(message: str) -> tuple[str, str]:
    record = parse_log_event(log_event(message), "notify")
    assert record is not None
    return record.severity, str(record.document["message"])


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 8f5f Version: $LATEST",
        "REPORT RequestId: 8f5f\tDuration: 12.3 ms\tBilled Duration: 13 ms\tMemory Size: 512 MB",
        '{"type":"platform.report","record":{"requestId":"8f5f","status":"success"}}',
    ],
)
def test_lambdas_lines_about_a_call_that_ended_well_are_left_out(message: str) -> None:
    assert parse_log_event(log_event(message), "notify") is None


@pytest.mark.parametrize(
    ("message", "severity"),
    [
        ("2026-03-01T12:00:00Z 8f5f Task timed out after 60.06 seconds", "ERROR"),
        ("REPORT RequestId: 8f5f\tDuration: 60000.00 ms\tStatus: timeout", "ERROR"),
        ("[ERROR] Runtime.ImportModuleError: Unable to import module 'main'", "ERROR"),
        ("Traceback (most recent call last):", "ERROR"),
        ("a line of a library", "INFO"),
        ('{"level":"WARN","message":"from logging"}', "WARNING"),
        ("{not json", "INFO"),
        ('{"level":"WARN","message":"cut within a character: \ud83d"}', "WARNING"),
        ('{"type":"platform.report","record":{"requestId":"8f5f","status":"timeout"}}', "ERROR"),
    ],
)
def test_every_other_line_has_a_severity(message: str, severity: str) -> None:
    assert read(message)[0] == severity


@given(st.text(max_size=200), st.one_of(st.none(), st.integers(), st.floats(), st.text()))
def test_no_line_breaks_the_reader(message: str, at: float | str | None) -> None:
    parse_log_event({"timestamp": at, "message": message}, "notify")


def test_people_read_the_same_lines_as_from_google(stack: Stack, command: Command) -> None:
    stack.add_logs()
    stack.log("receive", {"severity": "INFO", "message": "accepted", "event_id": "4f2a9c"}, ago=3)
    stack.log("notify", "START RequestId: 8f5f", ago=2.5)
    stack.log("notify", {"severity": "ERROR", "message": "given up", "event_id": "4f2a9c", "reason": "x\x1b[2J"}, ago=2)
    stack.log("transform", {"severity": "INFO", "message": "routed", "event_id": "777777"}, ago=1)
    lines = command("logs").splitlines()
    assert [line.split()[1] for line in lines] == ["receive", "notify", "transform"]
    assert "error: given up" in lines[1]
    assert "\x1b" not in lines[1]
    assert command.json("logs", "--event", "4f2a", "--limit", "1")["message"] == "given up"
    command("logs", "--function", "transform", "--severity", "warning")
    assert "no log record matches" in command.error


def test_the_newest_records_are_found_however_old_they_are(stack: Stack) -> None:
    stack.add_logs()
    ages = [86_400.0, 7_200.0, 3_600.0, 10.0]
    for age in ages:
        stack.log("notify", {"message": str(age)}, ago=age)
    log = CloudWatchLog(stack.api(), stack.target, LogQuery())
    since = time.time() - 2 * 86_400
    assert [each.document["message"] for each in log.newest(since, 3)] == ["7200.0", "3600.0", "10.0"]
    assert [each.document["message"] for each in log.newest(since, 2)] == ["3600.0", "10.0"]
    assert len(log.newest(since, 10)) == 4
    assert len(log.newest(time.time() - 4_000, 10)) == 2
    assert [each.document["message"] for each in log.oldest(since)] == [str(age) for age in ages]


def test_a_function_without_a_log_group_hides_no_other(stack: Stack, command: Command) -> None:
    command("logs", code=1)
    assert f"there is no log group /aws/lambda/{stack.name}-receive" in command.error
    stack.add_logs()
    stack.call("logs", "delete_log_group", logGroupName=f"/aws/lambda/{stack.name}-transform")
    stack.log("notify", {"message": "one"})
    assert "one" in command("logs")
    with pytest.raises(AwsFault, match="make deploy-aws"):
        CloudWatchLog(stack.api(), stack.target, LogQuery(("transform",))).newest(0.0, 10)


def test_cloudwatch_is_asked_for_the_wanted_records_only() -> None:
    assert filter_patterns(LogQuery()) == ("",)
    assert filter_patterns(LogQuery(severity="INFO")) == ("",)
    assert filter_patterns(LogQuery(event="4f2a")) == ('{ $.event_id = "4f2a*" }',)
    assert filter_patterns(LogQuery(event='4f" || true')) == ("",), "no id, so it is looked for here"
    own, texts = filter_patterns(LogQuery(severity="ERROR"))
    assert '$.severity = "CRITICAL"' in own
    assert "WARNING" not in own
    assert '?"Task timed out"' in texts
