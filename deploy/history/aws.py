"""A stack on AWS, with the operator's own credentials: its state, its status and its logs.

Functions are read from Lambda, the messages of the queues from SQS and CloudWatch, and the logs from CloudWatch Logs,
one log group a function.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsApi, AwsFault, DeployedStack
from deploy.cloud_access.aws_names import METRIC_NAMESPACE, StackTarget, log_group
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.history.aws_ports import COUNTS, AwsPorts, counts_of
from deploy.history.logs import PAGE, LogQuery, Record
from deploy.history.state import State, open_cloud_state
from deploy.history.status import Backlog, Version
from deploy.terminal.parallel import run_in_parallel
from deploy.topology.monitoring import ATTEMPTS, DELIVERIES, CountKind, MetricCount, MetricWindow
from shared import batching, logs, ports
from shared.jsontext import Json, JsonObject, json_or_none, list_at, mapping_at, objects_at

BEYOND_REACH: Final = (
    "messages in SQS: an event that is being processed is stored again. SQS keeps a message for 14 days at most: run "
    "the command again then",
    "copies of requests that developers got with `hookchain listen`, which wait for 7 days at most",
    "DynamoDB's point-in-time recovery: it can restore the tables of the last 35 days",
    "backups and exports of the tables and the bucket, if you made them",
)


def aws_ports(deployed: DeployedStack) -> AwsPorts:
    return AwsPorts(deployed.api.place(), deployed.target.prefix, deployed.bucket, lambda: _queue_urls(deployed))


def open_aws_state(deployed: DeployedStack, environ: Mapping[str, str]) -> AbstractContextManager[State]:
    """Open the state of the stack. Raises AwsFault."""
    return open_cloud_state(aws_ports(deployed), environ, BEYOND_REACH)


def _queue_urls(deployed: DeployedStack) -> dict[str, str]:
    """Return the URL of each topic's queue. Only some stacks have the queue of recovered events. Raises AwsFault."""
    urls = {topic: deployed.queue_url(topic) for topic in ports.TOPIC_NAMES}
    with suppress(AwsFault):
        urls[ports.RECOVERED] = deployed.queue_url(ports.RECOVERED)
    return urls


WINDOW_SECONDS: Final = 900.0
"""SQS writes its metrics once a minute, some minutes late. For an idle queue, it writes none."""
_AGE: Final = "ApproximateAgeOfOldestMessage"


def read_versions(deployed: DeployedStack) -> list[Version]:
    """Return the running version of each function that is deployed. Raises AwsFault."""
    found = run_in_parallel(lambda function: _version(deployed, function), (*FUNCTIONS, *OPTIONAL))
    return [each for each in found if each is not None]


def _version(deployed: DeployedStack, function: str) -> Version | None:
    """Return None for a function that is not there, and need not be."""
    name = aws_names.function(deployed.target.prefix, function)
    found = deployed.api.find("lambda", "get_function_configuration", FunctionName=name)
    mappings = deployed.api.find("lambda", "list_event_source_mappings", FunctionName=name)
    if found is None or mappings is None:
        return None if function in OPTIONAL else Version(function, "", None, "not deployed: make deploy-aws")
    modified = found.get("LastModified")
    since = datetime.fromisoformat(modified).timestamp() if isinstance(modified, str) else None
    trouble = _trouble(found) or next(_disabled(mappings), "")
    return Version(function, str(found.get("CodeSha256", ""))[:12], since, trouble)


def _trouble(function: JsonObject) -> str:
    """Return why the function, or the last change to it, does not serve."""
    state = function.get("State")
    change = function.get("LastUpdateStatus")
    if state not in {None, "Active", "Inactive"}:  # Lambda makes an inactive one ready at its next call
        return str(function.get("StateReason") or state)
    if change not in {None, "Successful"}:
        return str(function.get("LastUpdateStatusReason") or f"the last change: {change}")
    return ""


def _disabled(mappings: JsonObject) -> Iterator[str]:
    for each in objects_at(mappings, "EventSourceMappings"):
        if each.get("State") in {"Disabled", "Disabling"}:
            yield f"does not read {str(each.get('EventSourceArn')).rpartition(':')[2]}: its event source mapping is off"


def read_backlogs(deployed: DeployedStack, now: float) -> tuple[list[Backlog], list[str]]:
    """Return the backlog of each queue, and notes about what could not be read."""
    prefix = deployed.target.prefix
    queues = [aws_names.queue(prefix, topic) for topic in ports.TOPIC_NAMES]
    queues += [aws_names.undelivered_queue(prefix, topic) for topic in ports.TOPIC_NAMES]
    notes: list[str] = []
    try:
        queues += _queues_of_sources(deployed)
    except AwsFault as fault:
        notes.append(f"queues of sources: {fault}")
    counts: Sequence[tuple[int | None, int]] = [(None, 0)] * len(queues)
    ages: Mapping[str, float] = {}
    try:
        counts = run_in_parallel(lambda queue: _count(deployed, queue), queues)
    except AwsFault as fault:
        notes.append(f"backlog: {fault}")
    try:
        ages = _ages(deployed, queues, now)
    except AwsFault as fault:
        notes.append(f"age of the oldest message: {fault}")
    return [
        Backlog(name, count, ages.get(name) if count else None, delayed)
        for name, (count, delayed) in zip(queues, counts, strict=True)
    ], notes


def _queues_of_sources(deployed: DeployedStack) -> list[str]:
    """Return the names of the queues that receive reads: the deployment's, and the operator's own. Raises AwsFault."""
    function = aws_names.function(deployed.target.prefix, "receive")
    mappings = deployed.api.find("lambda", "list_event_source_mappings", FunctionName=function)
    arns = [str(each.get("EventSourceArn")) for each in objects_at(mappings, "EventSourceMappings")]
    return [arn.rpartition(":")[2] for arn in arns]


def _count(deployed: DeployedStack, queue: str) -> tuple[int | None, int]:
    """Return the counts of `counts_of`; None for a queue that does not exist."""
    found = deployed.api.find("sqs", "get_queue_url", QueueName=queue)
    if found is None:
        return None, 0
    arguments: JsonObject = {"QueueUrl": found.get("QueueUrl"), "AttributeNames": list(COUNTS)}
    return counts_of(mapping_at(deployed.api.call("sqs", "get_queue_attributes", **arguments), "Attributes"))


def _ages(deployed: DeployedStack, queues: Sequence[str], now: float) -> Mapping[str, float]:
    """Return the newest value of the metric for each queue that has one."""
    metrics: list[Json] = [
        _Metric("AWS/SQS", _AGE, {"QueueName": queue}, "Maximum").query(f"q{number}", 60)
        for number, queue in enumerate(queues)
    ]
    arguments: JsonObject = {"MetricDataQueries": metrics, "StartTime": now - WINDOW_SECONDS, "EndTime": now}
    found = deployed.api.call("cloudwatch", "get_metric_data", ScanBy="TimestampDescending", **arguments)
    ages: dict[str, float] = {}
    for each in objects_at(found, "MetricDataResults"):
        if values := list_at(each, "Values"):
            ages[queues[int(str(each.get("Id"))[1:])]] = float(str(values[0]))
    return ages


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric of CloudWatch, and the statistic that is read."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str

    def query(self, query_id: str, period_seconds: int) -> JsonObject:
        dimensions: list[Json] = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        metric: JsonObject = {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": dimensions}
        return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period_seconds, "Stat": self.statistic}}


_QUERIES: Final = 500
"""The most queries of a call."""


def read_counts(deployed: DeployedStack, window: MetricWindow) -> list[MetricCount]:
    """Return the counts of receive's requests, and of the attempts for each configured destination. Raises AwsFault.

    Each metric is named, because the result of a search expression has no further pages.
    """
    end = math.floor(window.now / window.bucket_seconds) + 1
    start = (end - window.buckets) * window.bucket_seconds
    counts: list[MetricCount] = []
    for some in batching.batches(list(_counted_metrics(deployed.target.prefix, window.destinations)), _QUERIES):
        queries: list[Json] = [metric.query(f"m{i}", window.bucket_seconds) for i, (_, _, metric) in enumerate(some)]
        arguments: JsonObject = {"MetricDataQueries": queries, "StartTime": start, "EndTime": window.now}
        for page in deployed.api.pages("cloudwatch", "get_metric_data", "NextToken", **arguments):
            for each in objects_at(page, "MetricDataResults"):
                kind, destination, _ = some[int(str(each.get("Id"))[1:])]
                points = zip(list_at(each, "Timestamps"), list_at(each, "Values"), strict=True)
                counts += [
                    MetricCount(kind, float(str(at)), int(float(str(value))), destination) for at, value in points
                ]
    return counts


def _counted_metrics(prefix: str, destinations: Sequence[str]) -> Iterator[tuple[CountKind, str, _Metric]]:
    """Yield each metric with what it counts, and the destination if it has one."""
    receive = {"FunctionName": aws_names.function(prefix, "receive")}
    yield "requests", "", _Metric("AWS/Lambda", "UrlRequestCount", receive, "Sum")
    yield "rejected", "", _Metric("AWS/Lambda", "Url4xxCount", receive, "Sum")
    yield "rejected", "", _Metric("AWS/Lambda", "Url5xxCount", receive, "Sum")
    for name in destinations:
        attempts, deliveries = f"{prefix}{ATTEMPTS.name}", f"{prefix}{DELIVERIES.name}"
        delivered = {"destination": name, "outcome": "delivered"}
        # Attempts have their durations as values, of which only the number counts here.
        yield "attempts", name, _Metric(METRIC_NAMESPACE, attempts, {"destination": name}, "SampleCount")
        yield "delivered", name, _Metric(METRIC_NAMESPACE, deliveries, delivered, "Sum")


FIRST_WINDOW_SECONDS: Final = 300.0
WINDOW_GROWTH: Final = 4
"""The newest records are looked for in windows that end at the last one's beginning and grow."""
AHEAD_SECONDS: Final = 60.0
"""A function's clock may be ahead of this machine's."""
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_ROUTINE: Final = re.compile(r"(START|END|INIT_START|EXTENSION|XRAY) ")
_REPORT: Final = re.compile(r"(INIT_)?REPORT ")
_FAILED: Final = re.compile(r"\bStatus: (timeout|error)\b")
_ERROR: Final = re.compile(r"\[ERROR\]|\[CRITICAL\]|Traceback|Task timed out|Runtime exited|Runtime\.\w+Error|Error: ")
_PLATFORM_TEXTS: Final = ("Task timed out", "Runtime exited", "Runtime.", "[ERROR]", "Traceback", "Status: ")
"""The texts of Lambda's own lines about a failure, which have no severity."""


@dataclass(frozen=True, slots=True)
class CloudWatchLog:
    """The log of a stack."""

    api: AwsApi
    target: StackTarget
    query: LogQuery

    @property
    def fault(self) -> type[Exception]:
        return AwsFault

    def newest(self, since: float, limit: int) -> list[Record]:
        end = time.time() + AHEAD_SECONDS
        window = FIRST_WINDOW_SECONDS + AHEAD_SECONDS
        records: list[Record] = []
        while end > since and len(records) < limit:
            start = max(since, end - window)
            records += self._read(start, end, None)
            end = start - 0.001  # CloudWatch Logs counts in milliseconds, and both ends belong to a window
            window *= WINDOW_GROWTH
        return sorted(records, key=lambda each: each.at)[-limit:]

    def oldest(self, since: float) -> list[Record]:
        return sorted(self._read(since, None, PAGE), key=lambda each: each.at)[:PAGE]

    def _read(self, since: float, until: float | None, enough: int | None) -> list[Record]:
        """Return the records between two times; with `enough`, of each function no more than are needed."""
        reads = [(function, pattern) for function in self.query.functions for pattern in filter_patterns(self.query)]
        found = run_in_parallel(lambda read: self._records(*read, since, until, enough), reads)
        if all(each is None for each in found):
            group = log_group(self.target.prefix, self.query.functions[0])
            raise AwsFault("", f"there is no log group {group} in {self.target.region}: make deploy-aws")
        by_id = {record.id: record for records in found for record in records or ()}
        return list(by_id.values())

    def _records(
        self, function: str, pattern: str, since: float, until: float | None, enough: int | None
    ) -> list[Record] | None:
        """Return the function's records; None if it has no log group."""
        arguments: JsonObject = {"logGroupName": log_group(self.target.prefix, function), "startTime": _ms(since)}
        if until is not None:
            arguments["endTime"] = _ms(until)
        if pattern:
            arguments["filterPattern"] = pattern
        records: list[Record] = []
        try:
            for page in self.api.pages("logs", "filter_log_events", "nextToken", **arguments):
                events = objects_at(page, "events")
                records += filter(None, (parse_log_event(event, function) for event in events))
                if enough is not None and len(records) >= enough:
                    break
        except AwsFault as fault:
            if not fault.is_missing:
                raise
            return None
        return records


def filter_patterns(query: LogQuery) -> Sequence[str]:
    """Return the patterns that together match the wanted records; an empty one matches all.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    if query.event is not None and _ID.fullmatch(query.event):
        return (f'{{ $.event_id = "{query.event}*" }}',)
    if query.severity is None or logs.SEVERITIES.index(query.severity) < logs.SEVERITIES.index("WARNING"):
        return ("",)
    severities = logs.SEVERITIES[logs.SEVERITIES.index(query.severity) :]
    own = " || ".join(f'$.severity = "{each}" || $.level = "{each}"' for each in severities)
    if query.is_of_source:
        return (f'{{ ({own}) && $.source = "*" }}',)
    failed = '($.type = "platform.report" && $.record.status != "success")'
    return f"{{ {own} || {failed} }}", " ".join(f'?"{text}"' for text in _PLATFORM_TEXTS)


def parse_log_event(event: JsonObject, function: str) -> Record | None:
    """Read an event of CloudWatch Logs; None for Lambda's own lines about a call that ended well."""
    at = event.get("timestamp")
    text = str(event.get("message", "")).rstrip("\n")
    found = _from_json(text) if text.startswith("{") else _from_text(text)
    if found is None or not isinstance(at, int | float):
        return None
    severity, document = found
    return Record(at / 1000, function, severity, document, f"{function}/{event.get('eventId')}")


def _from_json(text: str) -> tuple[str, JsonObject] | None:
    """Read a line of ours, of Lambda in its JSON format, or of Python's logging in that format."""
    document = json_or_none(text.encode(errors="surrogatepass"))
    if not isinstance(document, dict):
        return _from_text(text)
    kind, record = document.get("type"), document.get("record")
    if isinstance(kind, str) and kind.startswith("platform.") and isinstance(record, dict):
        status = record.get("status", "success")
        if kind != "platform.report" or status == "success":
            return None
        return "ERROR", {"severity": "ERROR", "message": f"the call ended with {status}", "detail": text[:500]}
    severity = _severity(str(document.get("severity") or document.get("level") or "INFO"))
    return severity, {"message": "", **document, "severity": severity}


def _from_text(text: str) -> tuple[str, JsonObject] | None:
    if _ROUTINE.match(text) or (_REPORT.match(text) and not _FAILED.search(text)):
        return None
    severity = "ERROR" if _REPORT.match(text) or _ERROR.search(text) else "INFO"
    if text.startswith("[WARNING]"):
        severity = "WARNING"
    return severity, {"severity": severity, "message": text}


def _severity(text: str) -> str:
    known = {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG"}.get(text, text)
    return known if known in logs.SEVERITIES else "INFO"


def _ms(seconds: float) -> int:
    return max(0, int(seconds * 1000))
