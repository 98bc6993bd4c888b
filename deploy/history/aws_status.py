"""The versions of the functions of a stack on AWS, the backlogs of its queues, and its counts.

Versions are read from Lambda, backlogs from SQS and CloudWatch, and counts from the metrics in CloudWatch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsFault, DeployedStack
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.history import aws, status
from deploy.terminal.parallel import run_in_parallel
from deploy.topology.monitoring import ATTEMPTS, DELIVERIES, CountKind, MetricCount, MetricWindow
from shared import batching, ports
from shared.jsontext import Json, JsonObject, list_at, mapping_at, objects_at

_AGE_WINDOW_SECONDS: Final = 900.0
"""SQS writes its metrics once a minute, some minutes late. For an idle queue, it writes none."""
_AGE: Final = "ApproximateAgeOfOldestMessage"


def read_versions(deployed: DeployedStack) -> list[status.Version]:
    """Return the running version of each function that is deployed. Raises AwsFault."""
    found = run_in_parallel(lambda function: _version(deployed, function), (*FUNCTIONS, *OPTIONAL))
    return [each for each in found if each is not None]


def _version(deployed: DeployedStack, function: str) -> status.Version | None:
    """Return None for a function that is not there, and need not be."""
    name = aws_names.function(deployed.target.prefix, function)
    found = deployed.api.find("lambda", "get_function_configuration", FunctionName=name)
    mappings = deployed.api.find("lambda", "list_event_source_mappings", FunctionName=name)
    if found is None or mappings is None:
        return None if function in OPTIONAL else status.Version(function, "", None, "not deployed: make deploy-aws")
    modified = found.get("LastModified")
    since = datetime.fromisoformat(modified).timestamp() if isinstance(modified, str) else None
    trouble = _trouble(found) or next(_disabled(mappings), "")
    return status.Version(function, str(found.get("CodeSha256", ""))[:12], since, trouble)


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
    """Yield the trouble of each event source mapping that is off."""
    for each in objects_at(mappings, "EventSourceMappings"):
        if each.get("State") in {"Disabled", "Disabling"}:
            yield f"does not read {str(each.get('EventSourceArn')).rpartition(':')[2]}: its event source mapping is off"


def read_backlogs(deployed: DeployedStack, now: float) -> tuple[list[status.Backlog], list[str]]:
    """Return the backlog of each queue, and notes about what could not be read.

    A count is None if it could not be read, or if there is no such queue. If the queues of sources could not be listed,
    they are left out. A queue without messages has no age.
    """
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
        status.Backlog(name, count, ages.get(name) if count else None, delayed)
        for name, (count, delayed) in zip(queues, counts, strict=True)
    ], notes


def _queues_of_sources(deployed: DeployedStack) -> list[str]:
    """Return the names of the queues that receive reads: the deployment's, and the operator's own. Raises AwsFault."""
    function = aws_names.function(deployed.target.prefix, "receive")
    mappings = deployed.api.find("lambda", "list_event_source_mappings", FunctionName=function)
    arns = [str(each.get("EventSourceArn")) for each in objects_at(mappings, "EventSourceMappings")]
    return [arn.rpartition(":")[2] for arn in arns]


def _count(deployed: DeployedStack, queue: str) -> tuple[int | None, int]:
    """Return the numbers of due and of delayed messages, as `counts_of`; None and 0 for a queue that does not exist."""
    found = deployed.api.find("sqs", "get_queue_url", QueueName=queue)
    if found is None:
        return None, 0
    arguments: JsonObject = {"QueueUrl": found.get("QueueUrl"), "AttributeNames": list(aws.COUNTS)}
    return aws.counts_of(mapping_at(deployed.api.call("sqs", "get_queue_attributes", **arguments), "Attributes"))


def _ages(deployed: DeployedStack, queues: Sequence[str], now: float) -> Mapping[str, float]:
    """Return the newest value of the metric for each queue that has one."""
    metrics = [_Metric("AWS/SQS", _AGE, {"QueueName": queue}, "Maximum") for queue in queues]
    arguments: JsonObject = {
        "MetricDataQueries": _queries(metrics, 60),
        "StartTime": now - _AGE_WINDOW_SECONDS,
        "EndTime": now,
    }
    found = deployed.api.call("cloudwatch", "get_metric_data", ScanBy="TimestampDescending", **arguments)
    ages: dict[str, float] = {}
    for each in objects_at(found, "MetricDataResults"):
        if values := list_at(each, "Values"):
            ages[queues[_index_of(each)]] = float(str(values[0]))
    return ages


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric of CloudWatch, and the statistic that is read."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str

    def query(self, query_id: str, period_seconds: int) -> JsonObject:
        """Return the query of its values, one for each period. The result has the same id."""
        dimensions: list[Json] = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        metric: JsonObject = {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": dimensions}
        return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period_seconds, "Stat": self.statistic}}


_MAX_QUERIES: Final = 500
"""The most queries of a call."""


def _queries(metrics: Sequence[_Metric], period_seconds: int) -> list[Json]:
    """Return the queries of the metrics. An id must begin with a letter, so that it is `m` and the metric's index."""
    return [metric.query(f"m{index}", period_seconds) for index, metric in enumerate(metrics)]


def _index_of(result: JsonObject) -> int:
    """Return the index of the metric that a result of `_queries` is of."""
    return int(str(result.get("Id"))[1:])


def read_counts(deployed: DeployedStack, window: MetricWindow) -> list[MetricCount]:
    """Return the counts of receive's requests, and of the attempts for each configured destination. Raises AwsFault.

    Each metric is named, because the result of a search expression has no further pages.
    """
    next_bucket = math.floor(window.now / window.bucket_seconds) + 1
    start = (next_bucket - window.buckets) * window.bucket_seconds
    counts: list[MetricCount] = []
    for batch in batching.batches(list(_counted_metrics(deployed.target.prefix, window.destinations)), _MAX_QUERIES):
        queries = _queries([metric for _, _, metric in batch], window.bucket_seconds)
        arguments: JsonObject = {"MetricDataQueries": queries, "StartTime": start, "EndTime": window.now}
        for page in deployed.api.pages("cloudwatch", "get_metric_data", "NextToken", **arguments):
            for each in objects_at(page, "MetricDataResults"):
                kind, destination, _ = batch[_index_of(each)]
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
        yield "attempts", name, _Metric(aws_names.METRIC_NAMESPACE, attempts, {"destination": name}, "SampleCount")
        yield "delivered", name, _Metric(aws_names.METRIC_NAMESPACE, deliveries, delivered, "Sum")
