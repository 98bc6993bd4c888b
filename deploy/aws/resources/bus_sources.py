"""The rules of EventBridge that bring the messages of other systems to receive, each with a queue of its own.

A rule that invoked the function itself would lose an event after two more attempts. The operator's own queues are read
as they are. S3 tells EventBridge of objects where the bucket's owner has turned that on.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.amazon import names as amazon
from deploy.aws import template_names as names
from deploy.aws.resources.queues import source_queue
from deploy.aws.yaml_text import Fields, Node, Tag, get_att, sub
from deploy.topology.buses import BusSource
from deploy.topology.topology import Topology
from shared.jsontext import JsonObject

DETAIL_TYPES: Final[Mapping[str, str]] = {"finalize": "Object Created", "delete": "Object Deleted"}
"""The names that S3 gives to the events of objects that it reports."""


def queue(source: BusSource) -> str:
    """Return the name in the template of the queue that is made for the source."""
    return f"{names.logical(source.name)}Queue"


def rule(source: BusSource) -> str:
    return f"{names.logical(source.name)}Rule"


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
                yield amazon.queue(names.PREFIX, source.name)


def bus_sources(topology: Topology) -> dict[str, Node]:
    made: dict[str, Node] = {}
    for needed in topology.functions:
        for source in needed.sources:
            if has_rule(source):
                made |= {
                    f"# Source {source.source}: events of EventBridge, which wait in a queue for {needed.name}": None,
                    queue(source): source_queue(amazon.queue(names.PREFIX, source.name), needed.timeout_seconds),
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


def pattern(source: BusSource) -> JsonObject:
    if source.kind == "eventbridge":
        written = source.settings["eventbridge"]
        assert isinstance(written, dict)
        return written
    prefix = source.text("prefix")
    detail: JsonObject = {"bucket": {"name": [source.text("bucket")]}}
    if prefix:
        detail["object"] = {"key": [{"prefix": prefix}]}
    return {"source": ["aws.s3"], "detail-type": [*detail_types(source)], "detail": detail}
