"""The queues: one for each topic, one for what SQS gave up on there, and those of sources."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.aws import template_names as names
from deploy.cloud_access import aws_names
from deploy.topology.buses import BusSource
from deploy.topology.topology import LONGEST_WAIT_SECONDS, Topology
from functions.receive.source import RECOVERED_KIND
from shared.jsontext import Json, JsonObject

LONGEST_KEPT_DAYS: Final = 14
"""SQS's own limit."""
VISIBILITY_TIMEOUTS: Final = 6
"""Lambda asks for six times the function's timeout.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
LEAST_VISIBILITY_SECONDS: Final = LONGEST_WAIT_SECONDS
"""A function that cannot start postpones nothing: its messages too are to last for as long as the waits do."""
DETAIL_TYPES: Final[Mapping[str, str]] = {"finalize": "Object Created", "delete": "Object Deleted"}
"""The names that S3 gives to the events of objects that it reports."""


def visibility_seconds(timeout_seconds: int) -> int:
    """Return how long a message that a function with this timeout has taken is hidden from its other instances."""
    return max(LEAST_VISIBILITY_SECONDS, VISIBILITY_TIMEOUTS * timeout_seconds)


def brings_on_aws(source: BusSource) -> bool:
    """Return whether the source gets messages on AWS. S3 reports some events of a bucket only, through EventBridge."""
    return source.kind == "sqs" or has_queue(source)


def has_queue(source: BusSource) -> bool:
    """Return whether a deployment makes the queue of the source's messages."""
    return source.kind == RECOVERED_KIND or has_rule(source)


def has_rule(source: BusSource) -> bool:
    """Return whether a rule of EventBridge brings the source's messages."""
    return source.kind == "eventbridge" or (source.kind == "bucket" and bool(detail_types(source)))


def detail_types(source: BusSource) -> list[str]:
    """Return S3's names of the events of a bucket that the source takes, of those that S3 reports."""
    return [DETAIL_TYPES[each] for each in source.events if each in DETAIL_TYPES]


def queue_arns(sources: tuple[BusSource, ...]) -> Iterator[Json]:
    """Yield the ARNs of the queues that receive reads."""
    for source in sources:
        if source.kind == "sqs":
            yield source.text("sqs")
        elif has_queue(source):
            yield names.arn(names.queue(source.resource_name))


def brought_queues(topology: Topology) -> Iterator[str]:
    """Yield the names of the queues that receive reads, with the parameter that is the deployment's prefix."""
    for needed in topology.functions:
        for source in needed.sources:
            if source.kind == "sqs":
                yield source.text("sqs").rpartition(":")[2]
            elif has_queue(source):
                yield aws_names.queue(names.PREFIX, source.resource_name)


def pattern(source: BusSource) -> Json:
    """Return the pattern of EventBridge for the events that become the source's messages."""
    if source.kind == "eventbridge":
        return source.settings["eventbridge"]
    prefix = source.text("prefix")
    detail: JsonObject = {"bucket": {"name": [source.text("bucket")]}}
    if prefix:
        detail["object"] = {"key": [{"prefix": prefix}]}
    return {"source": ["aws.s3"], "detail-type": [*detail_types(source)], "detail": detail}
