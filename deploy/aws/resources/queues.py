"""The queues: one for each topic, and one for what SQS gave up on there."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.yaml_text import Fields, Node, Tag, get_att, sub
from deploy.cloud_access import aws_names
from deploy.topology.buses import BusSource
from deploy.topology.topology import LONGEST_WAIT_SECONDS, MOST_TRIES, Topic, Topology
from shared import jsontext, ports

DAY_SECONDS: Final = 86_400
LONGEST_KEPT_DAYS: Final = 14
"""SQS's own limit."""
VISIBILITY_TIMEOUTS: Final = 6
"""Lambda asks for six times the function's timeout.
https://docs.aws.aws_names.com/lambda/latest/dg/services-sqs-configure.html"""
LEAST_VISIBILITY_SECONDS: Final = LONGEST_WAIT_SECONDS
"""A function that cannot start postpones nothing: its messages too are to last for as long as the waits do."""


def queues(topology: Topology) -> dict[str, Node]:
    keeper = names.consumer(topology, ports.DEAD_LETTERS).timeout_seconds
    return {
        "# Queues: events, deliveries and dead letters, and what each of them gave up on": None,
        **{names.queue(each.name): _queue(topology, each) for each in topology.topics},
        **{names.undelivered_queue(each.name): _undelivered(each, keeper) for each in topology.topics},
    }


def _queue(topology: Topology, topic: Topic) -> Node:
    taker = names.consumer(topology, topic.name)
    return {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": sub(aws_names.queue(names.PREFIX, topic.name)),
            f"# {VISIBILITY_TIMEOUTS} times the timeout of {taker.name}, whose messages are not handed out again, and "
            "the longest wait for those of a function that cannot even start": None,
            "VisibilityTimeout": _visibility_seconds(taker.timeout_seconds),
            "MessageRetentionPeriod": topic.kept_days * DAY_SECONDS,
            "# With waits that grow to ten minutes, about 16 hours: an outage of our own parts may last so long": None,
            "RedrivePolicy": {
                "deadLetterTargetArn": get_att(names.undelivered_queue(topic.name)),
                "maxReceiveCount": MOST_TRIES,
            },
            "SqsManagedSseEnabled": True,
            "Tags": names.tags(),
        },
    }


def source_queue(name: str, timeout_seconds: int) -> Node:
    """Return the queue of a source's messages. What SQS gives up on becomes a dead letter, as of the other queues."""
    return {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": sub(name),
            "VisibilityTimeout": _visibility_seconds(timeout_seconds),
            "MessageRetentionPeriod": LONGEST_KEPT_DAYS * DAY_SECONDS,
            "RedrivePolicy": {
                "deadLetterTargetArn": get_att(names.undelivered_queue(ports.EVENTS)),
                "maxReceiveCount": MOST_TRIES,
            },
            "SqsManagedSseEnabled": True,
            "Tags": names.tags(),
        },
    }


def _undelivered(topic: Topic, timeout_seconds: int) -> Node:
    return {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": sub(aws_names.undelivered_queue(names.PREFIX, topic.name)),
            "VisibilityTimeout": _visibility_seconds(timeout_seconds),
            "# The longest that SQS keeps a message": None,
            "MessageRetentionPeriod": LONGEST_KEPT_DAYS * DAY_SECONDS,
            "SqsManagedSseEnabled": True,
            "Tags": names.tags(),
        },
    }


def _visibility_seconds(timeout_seconds: int) -> int:
    return max(LEAST_VISIBILITY_SECONDS, VISIBILITY_TIMEOUTS * timeout_seconds)


DETAIL_TYPES: Final[Mapping[str, str]] = {"finalize": "Object Created", "delete": "Object Deleted"}
"""The names that S3 gives to the events of objects that it reports."""


def queue(source: BusSource) -> str:
    """Return the name in the template of the queue that is made for the source."""
    return f"{names.logical(source.name)}Queue"


def rule(source: BusSource) -> str:
    return f"{names.logical(source.name)}Rule"


def brings_on_aws(source: BusSource) -> bool:
    """Return whether the source gets messages on AWS. S3 reports some events of a bucket only, through EventBridge."""
    return source.kind == "sqs" or has_rule(source)


def has_rule(source: BusSource) -> bool:
    return source.kind == "eventbridge" or (source.kind == "bucket" and bool(detail_types(source)))


def detail_types(source: BusSource) -> list[str]:
    return [DETAIL_TYPES[each] for each in source.events if each in DETAIL_TYPES]


def queue_arns(sources: tuple[BusSource, ...]) -> Iterator[str | Tag]:
    """Yield the ARNs of the queues that receive reads."""
    for source in sources:
        if source.kind == "sqs":
            yield source.text("sqs")
        elif has_rule(source):
            yield get_att(queue(source))


def brought_queues(topology: Topology) -> Iterator[str]:
    """Yield the names of the queues that receive reads, with the parameter that is the deployment's prefix."""
    for needed in topology.functions:
        for source in needed.sources:
            if source.kind == "sqs":
                yield source.text("sqs").rpartition(":")[2]
            elif has_rule(source):
                yield aws_names.queue(names.PREFIX, source.name)


def bus_sources(topology: Topology) -> dict[str, Node]:
    made: dict[str, Node] = {}
    for needed in topology.functions:
        for source in needed.sources:
            if has_rule(source):
                made |= {
                    f"# Source {source.source}: events of EventBridge, which wait in a queue for {needed.name}": None,
                    queue(source): source_queue(aws_names.queue(names.PREFIX, source.name), needed.timeout_seconds),
                    f"{names.logical(source.name)}Policy": _policy(source),
                    rule(source): _rule(source),
                }
    return made


def _policy(source: BusSource) -> Node:
    statement: Fields = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": get_att(queue(source)),
        "Condition": {"ArnEquals": {"aws:SourceArn": get_att(rule(source))}},
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [Tag("Ref", queue(source))],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }


def _rule(source: BusSource) -> Node:
    bus = source.text("event_bus")
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": sub(f"Hookchain ${{Prefix}}: hands events to the source {source.source}"),
            **({"EventBusName": bus} if bus else {}),
            "State": "ENABLED",
            "EventPattern": pattern(source),
            "Targets": [{"Id": "queue", "Arn": get_att(queue(source))}],
        },
    }


def pattern(source: BusSource) -> jsontext.JsonObject:
    if source.kind == "eventbridge":
        written = source.settings["eventbridge"]
        assert isinstance(written, dict)
        return written
    prefix = source.text("prefix")
    detail: jsontext.JsonObject = {"bucket": {"name": [source.text("bucket")]}}
    if prefix:
        detail["object"] = {"key": [{"prefix": prefix}]}
    return {"source": ["aws.s3"], "detail-type": [*detail_types(source)], "detail": detail}
