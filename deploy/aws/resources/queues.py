"""The queues: one for each topic, and one for what SQS gave up on there."""

from typing import Final

from deploy.amazon import names as amazon
from deploy.aws import template_names as names
from deploy.aws.yaml_text import Node, get_att, sub
from deploy.topology.topics import LONGEST_WAIT_SECONDS, MOST_TRIES, Topic
from deploy.topology.topology import Topology
from shared.ports import DEAD_LETTERS, EVENTS

DAY_SECONDS: Final = 86_400
LONGEST_KEPT_DAYS: Final = 14
"""SQS's own limit."""
VISIBILITY_TIMEOUTS: Final = 6
"""Lambda asks for six times the function's timeout.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
LEAST_VISIBILITY_SECONDS: Final = LONGEST_WAIT_SECONDS
"""A function that cannot start postpones nothing: its messages too are to last for as long as the waits do."""


def queues(topology: Topology) -> dict[str, Node]:
    keeper = names.consumer(topology, DEAD_LETTERS).timeout_seconds
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
            "QueueName": sub(amazon.queue(names.PREFIX, topic.name)),
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
                "deadLetterTargetArn": get_att(names.undelivered_queue(EVENTS)),
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
            "QueueName": sub(amazon.undelivered_queue(names.PREFIX, topic.name)),
            "VisibilityTimeout": _visibility_seconds(timeout_seconds),
            "# The longest that SQS keeps a message": None,
            "MessageRetentionPeriod": LONGEST_KEPT_DAYS * DAY_SECONDS,
            "SqsManagedSseEnabled": True,
            "Tags": names.tags(),
        },
    }


def _visibility_seconds(timeout_seconds: int) -> int:
    return max(LEAST_VISIBILITY_SECONDS, VISIBILITY_TIMEOUTS * timeout_seconds)
