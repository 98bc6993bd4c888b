"""`hookchain logs --platform aws`: CloudWatch Logs."""

import time

import pytest
from hypothesis import given, strategies as st

from deploy.cloud_access.aws import AwsFault
from deploy.history.aws import CloudWatchLog, filter_patterns, parse_log_event
from deploy.history.logs import LogQuery
from shared.jsontext import JsonObject
from tests.aws.operator import Stack
from tests.fakes.command import Command


def event(message: str, number: int = 1) -> JsonObject:
    return {"timestamp": 1_772_366_400_123, "message": message, "eventId": str(number), "logStreamName": "one"}


def read(message: str) -> tuple[str, str]:
    record = parse_log_event(event(message), "notify")
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
    assert parse_log_event(event(message), "notify") is None


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
