"""The names of the template's entries. deploy/cloud_access/aws_names.py has the names of what they create."""

from typing import Final

from deploy.topology.topology import NeededFunction, Topology
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS

PREFIX: Final = "${Prefix}"
"""The template's parameter, as a prefix of names."""
BUCKET: Final = "Blobs"


def logical(name: str) -> str:
    """Return the name in a template, which has letters and digits only: `DeadLetters` of `dead-letters`."""
    return "".join(part.capitalize() for part in name.split("-"))


def queue(topic: str) -> str:
    return f"{logical(topic)}Queue"


def undelivered_queue(topic: str) -> str:
    return f"{logical(topic)}Undelivered"


def function(name: str) -> str:
    return f"{logical(name)}Function"


def table(name: str) -> str:
    return f"{logical(name)}Table"


def parameter(name: str, setting: str) -> str:
    return f"{logical(name)}{setting}"


def arn(name: str) -> JsonObject:
    """Return what stands for the ARN of the entry."""
    return {"Fn::GetAtt": [name, "Arn"]}


def sub(text: str) -> JsonObject:
    """Return what stands for the text with the values of `${Prefix}` and other names."""
    return {"Fn::Sub": text}


def consumer(topology: Topology, topic: str) -> NeededFunction:
    """Return the only function that takes a topic's messages. A queue has one, and so has each topic in `FUNCTIONS`."""
    [found] = [
        each
        for each in topology.functions
        for subscription in each.function.subscriptions
        if subscription.topic == topic
    ]
    return found


def consumed_queues(topology: Topology, needed: NeededFunction) -> tuple[list[str], list[str]]:
    """Return the queues that a function takes messages of: those of its topics, and, for the function that keeps dead
    letters, those of what SQS gave up on."""
    topics = [each.topic for each in needed.function.subscriptions]
    undelivered = [undelivered_queue(each.name) for each in topology.topics] if DEAD_LETTERS in topics else []
    return [queue(each) for each in topics], undelivered
