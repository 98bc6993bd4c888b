"""A stack's functions from Lambda, and the messages of its queues from SQS and CloudWatch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from deploy.amazon import names
from deploy.amazon.api import AwsFault
from deploy.amazon.stack import DeployedStack
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.history.status import Backlog, Version
from deploy.terminal.parallel import run_in_parallel
from shared.jsontext import Json, JsonObject
from shared.ports import TOPIC_NAMES
from shared.times import unix_seconds

WINDOW_SECONDS: Final = 900.0
"""SQS writes its metrics once a minute, some minutes late, and those of an idle queue not at all."""
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_AGE: Final = "ApproximateAgeOfOldestMessage"
_MISSING_QUEUE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


def read_versions(deployed: DeployedStack) -> list[Version]:
    """Raises AwsFault."""
    found = run_in_parallel(lambda function: _version(deployed, function), (*FUNCTIONS, *OPTIONAL))
    return [each for each in found if each is not None]


def _version(deployed: DeployedStack, function: str) -> Version | None:
    """Return None for a function that is not there, and need not be."""
    name = names.function(deployed.target.prefix, function)
    try:
        found = deployed.api.call("lambda", "get_function_configuration", FunctionName=name)
        mappings = deployed.api.call("lambda", "list_event_source_mappings", FunctionName=name)
    except AwsFault as fault:
        if fault.code == "ResourceNotFoundException":
            return None if function in OPTIONAL else Version(function, "", None, "not deployed: make deploy-aws")
        raise
    modified = found.get("LastModified")
    since = unix_seconds(_rfc3339(modified)) if isinstance(modified, str) else None
    trouble = _trouble(found) or next(_disabled(mappings), "")
    return Version(function, str(found.get("CodeSha256", ""))[:12], since, trouble)


def _trouble(function: JsonObject) -> str:
    """Return why the function, or the last change to it, does not serve."""
    state, change = function.get("State"), function.get("LastUpdateStatus")
    if state not in {None, "Active", "Inactive"}:  # Lambda makes an inactive one ready at its next call
        return str(function.get("StateReason") or state)
    if change not in {None, "Successful"}:
        return str(function.get("LastUpdateStatusReason") or f"the last change: {change}")
    return ""


def _disabled(mappings: JsonObject) -> Iterator[str]:
    listed = mappings.get("EventSourceMappings")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("State") in {"Disabled", "Disabling"}:
            yield f"does not read {str(each.get('EventSourceArn')).rpartition(':')[2]}: its event source mapping is off"


def _rfc3339(text: str) -> str:
    """Return Lambda's time, such as `2026-03-01T12:00:00.000+0000`, with a colon in its offset."""
    return f"{text[:-2]}:{text[-2:]}" if text[-5:-4] in {"+", "-"} else text


def read_backlogs(deployed: DeployedStack, now: float) -> tuple[list[Backlog], list[str]]:
    """Return the backlog of each queue, and notes about what could not be read."""
    prefix = deployed.target.prefix
    queues = [names.queue(prefix, topic) for topic in TOPIC_NAMES]
    queues += [names.undelivered_queue(prefix, topic) for topic in TOPIC_NAMES]
    notes: list[str] = []
    try:
        queues += _queues_of_sources(deployed)
    except AwsFault as fault:
        notes.append(f"queues of sources: {fault}")
    counts: Sequence[int | None] = [None] * len(queues)
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
        Backlog(name, count, ages.get(name) if count else None) for name, count in zip(queues, counts, strict=True)
    ], notes


def _queues_of_sources(deployed: DeployedStack) -> list[str]:
    """Return the names of the queues that receive reads: the deployment's, and the operator's own. Raises AwsFault."""
    function = names.function(deployed.target.prefix, "receive")
    try:
        mappings = deployed.api.call("lambda", "list_event_source_mappings", FunctionName=function)
    except AwsFault as fault:
        if fault.code == "ResourceNotFoundException":
            return []
        raise
    listed = mappings.get("EventSourceMappings")
    arns = (
        [str(each.get("EventSourceArn")) for each in listed if isinstance(each, dict)]
        if isinstance(listed, list)
        else []
    )
    return [arn.rpartition(":")[2] for arn in arns]


def _count(deployed: DeployedStack, queue: str) -> int | None:
    """Return the number of messages, those that a function has at the moment or that wait for a retry included."""
    try:
        url = deployed.api.call("sqs", "get_queue_url", QueueName=queue).get("QueueUrl")
    except AwsFault as fault:
        if fault.code in _MISSING_QUEUE:
            return None
        raise
    found = deployed.api.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=list(_COUNTS))
    attributes = found.get("Attributes")
    values = [attributes.get(name, "0") for name in _COUNTS] if isinstance(attributes, dict) else []
    return sum(int(str(value)) for value in values)


def _ages(deployed: DeployedStack, queues: Sequence[str], now: float) -> Mapping[str, float]:
    """Return the newest value of the metric for each queue that has one."""
    metrics: list[Json] = [_metric(number, queue) for number, queue in enumerate(queues)]
    arguments: JsonObject = {"MetricDataQueries": metrics, "StartTime": now - WINDOW_SECONDS, "EndTime": now}
    found = deployed.api.call("cloudwatch", "get_metric_data", ScanBy="TimestampDescending", **arguments)
    results = found.get("MetricDataResults")
    ages: dict[str, float] = {}
    for each in results if isinstance(results, list) else ():
        values = each.get("Values") if isinstance(each, dict) else None
        if isinstance(each, dict) and isinstance(values, list) and values:
            ages[queues[int(str(each.get("Id"))[1:])]] = float(str(values[0]))
    return ages


def _metric(number: int, queue: str) -> JsonObject:
    metric: JsonObject = {
        "Namespace": "AWS/SQS",
        "MetricName": _AGE,
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
    }
    return {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
