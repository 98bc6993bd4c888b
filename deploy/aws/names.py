"""The names of the template's entries, and of what they create. All resources' names begin with the prefix."""

from collections.abc import Iterator
from typing import Final

from deploy.aws.yaml_text import Node, Tag, ref, sub
from deploy.topology.topology import NeededFunction, Topology
from shared.ports import DEAD_LETTERS

DEFAULT_PREFIX: Final = "hookchain-"
UNDELIVERED: Final = "-undelivered"
"""What SQS gave up on, by the queue that it was in: `hookchain-events-undelivered`."""
BUCKET: Final = "Blobs"


def logical(name: str) -> str:
    """Return the name in a template, which has letters and digits only: `DeadLetters`."""
    return "".join(part.capitalize() for part in name.split("-"))


def queue(topic: str) -> str:
    return f"{logical(topic)}Queue"


def undelivered_queue(topic: str) -> str:
    return f"{logical(topic)}Undelivered"


def function(name: str) -> str:
    return f"{logical(name)}Function"


def role(name: str) -> str:
    return f"{logical(name)}Role"


def log(name: str) -> str:
    return f"{logical(name)}Log"


def table(name: str) -> str:
    return f"{logical(name)}Table"


def parameter(name: str, setting: str) -> str:
    return f"{logical(name)}{setting}"


def prefixed(name: str) -> Tag:
    return sub(f"${{Prefix}}{name}")


def tags() -> Node:
    return [{"Key": "hookchain", "Value": ref("Prefix")}]


def consumer(topology: Topology, topic: str) -> NeededFunction:
    """Return the function that takes a topic's messages. Raises ValueError unless there is one: a queue has one."""
    found = [
        each
        for each in topology.functions
        for subscription in each.function.subscriptions
        if subscription.topic == topic
    ]
    if len(found) != 1:
        raise ValueError(f"topic {topic!r}: must have one function on AWS; got {[each.name for each in found]}")
    return found[0]


def consumed_queues(topology: Topology, needed: NeededFunction) -> Iterator[tuple[str, str]]:
    """Yield the template's and the own name of each queue that a function takes messages of.

    The function that keeps dead letters also gets all that SQS gave up on."""
    topics = [each.topic for each in needed.function.subscriptions]
    yield from ((queue(topic), topic) for topic in topics)
    if DEAD_LETTERS in topics:
        yield from ((undelivered_queue(each.name), f"{each.name}{UNDELIVERED}") for each in topology.topics)
