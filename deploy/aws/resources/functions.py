"""The functions on Lambda: their size, what invokes them, and the names of their parameters."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from deploy.aws import template_names as names
from deploy.aws.resources import queues
from deploy.topology.functions import Function, consumers
from deploy.topology.topology import MAX_INSTANCES, MEMORY_MIB, NeededFunction, Topology
from shared import ports, settings
from shared.jsontext import Json

RUNTIME: Final = "python3.13"
"""The newest that the committed pins are for."""
MOST_MESSAGES: Final = 10
"""Messages of one batch, which a function takes at the same time."""
FEWEST_POLLS: Final = 2
"""The least MaximumConcurrency that Lambda accepts. It is enough for messages that come seldom."""
PUBLIC_AUTH_TYPE: Final = "NONE"
"""The AuthType of the URL of a public function, which authenticates its senders itself."""
RESERVE: Final = "Reserve"
"""The template's parameter that allows reservations for private functions."""
RESERVED: Final = "Reserved"
"""The end of the parameter with the instances that are reserved for a private function."""


class Poll(NamedTuple):
    """A queue that Lambda polls for a function. `most` are the most instances for it; `why` is a comment."""

    name: str
    queue: Json
    most: Json
    why: str = ""


def memory_mib(needed: NeededFunction) -> int:
    configured = needed.settings.get("aws", {}).get("memory")
    return configured if isinstance(configured, int) else MEMORY_MIB


def usual_instances(needed: NeededFunction) -> int:
    """Return the default of the function's parameter Concurrency. Of a public one, 0 stands for the account's limit."""
    configured = needed.settings.get("aws", {}).get("max_concurrency")
    if isinstance(configured, int):
        return configured
    return 0 if needed.function.is_public else MAX_INSTANCES


def most_instances(topology: Topology, needed: NeededFunction, concurrency: int) -> int:
    """Return the most instances that the function's queues and schedules use at once, where a queue uses up to
    `concurrency`. With fewer, Lambda would throttle what it has polled."""
    own, undelivered = names.consumed_queues(topology, needed)
    seldom = [*undelivered, *(each for each in own if each == names.queue(ports.DEAD_LETTERS))]
    often = len(own) + len(undelivered) - len(seldom)
    return often * concurrency + len(seldom) * FEWEST_POLLS + len(needed.function.schedules)


def batch_size(needed: NeededFunction) -> int:
    """Return how many messages of a queue Lambda hands over at once: no more than the function takes at once."""
    return min(MOST_MESSAGES, needed.concurrency(memory_mib(needed)))


def reserved_parameter(function: Function) -> str:
    """Return the name of the parameter with the instances that are reserved for the function; 0: none."""
    return names.parameter(function.name, "Concurrency" if function.is_public else RESERVED)


def variable_parameter(variable: str) -> str:
    """Return the name of the parameter: `EmailFrom` for EMAIL_FROM."""
    return names.logical(variable.lower().replace("_", "-"))


def later_functions(topology: Topology, needed: NeededFunction) -> list[str]:
    """Return the functions that are updated before this one, because they take what it publishes."""
    following = consumers(needed.function, [each.function for each in topology.functions])
    return [names.function(each.name) for each in following]


def variables(function: Function) -> dict[str, str]:
    """Return the names in the template to which the function's variables refer."""
    tables = {"HOOKCHAIN_TABLES": "Prefix"} if function.stores or function.reads else {}
    topics = {settings.QUEUE_VARIABLES[topic]: names.queue(topic) for topic in function.topics}
    return {**tables, **topics, **{each: variable_parameter(each) for each in function.variables}}


def polls(topology: Topology, needed: NeededFunction) -> Iterator[Poll]:
    """Yield the queues that Lambda polls for the function: of its topics, of what SQS gave up on, and of sources."""
    most: Json = {"Ref": names.parameter(needed.name, "Concurrency")}
    own, undelivered = names.consumed_queues(topology, needed)
    for queue in own:
        why = "A message that fails comes again alone, without its batch" if queue == own[0] else ""
        is_seldom = queue == names.queue(ports.DEAD_LETTERS)
        yield Poll(queue.removesuffix("Queue"), names.arn(queue), FEWEST_POLLS if is_seldom else most, why)
    for queue in undelivered:
        why = "It keeps what SQS gave up on as dead letters" if queue == undelivered[0] else ""
        yield Poll(queue, names.arn(queue), FEWEST_POLLS, why)
    for number, arn in enumerate(queues.queue_arns(needed.sources), 1):
        why = "Messages for the sources that a bus brings" if number == 1 else ""
        yield Poll(f"Source{number}", arn, MAX_INSTANCES, why)
