"""The functions on Lambda, each with its role, its log and what invokes it."""

from collections.abc import Iterator
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources import policies, queues
from deploy.aws.yaml_text import Fields, Node, Tag, get_att, ref, sub
from deploy.cloud_access import aws_names
from deploy.topology.functions import Function, Schedule, consumers
from deploy.topology.topology import MAX_INSTANCES, MEMORY_MIB, NeededFunction, Topology
from shared import jsontext, ports, settings

RUNTIME: Final = "python3.13"
"""The newest that the committed pins are for."""
MOST_MESSAGES: Final = 10
"""Messages of one batch, which a function takes at the same time."""
FEWEST_POLLS: Final = 2
"""The least MaximumConcurrency that Lambda accepts. It is enough for messages that come seldom."""
NO_VALUE: Final = ref("AWS::NoValue")
PUBLIC_URL: Final[jsontext.JsonObject] = {"AuthType": "NONE"}
PUBLIC: Final[Fields] = {
    "# Everybody may call the URL, because the function authenticates its senders itself. SAM adds the two": None,
    "# permissions that this takes, lambda:InvokeFunctionUrl and lambda:InvokeFunction": None,
    "FunctionUrlConfig": PUBLIC_URL,
}
RESERVE: Final = "Reserve"
"""The template's parameter that allows reservations for private functions."""
RESERVED: Final = "Reserved"
"""The end of the parameter with the instances that are reserved for a private function."""


def memory_mib(needed: NeededFunction) -> int:
    configured = needed.settings.get("aws", {}).get("memory")
    return configured if isinstance(configured, int) else MEMORY_MIB


def size_parameters(needed: NeededFunction) -> dict[str, Fields]:
    """Return the template's parameters for the function's memory and its number of instances."""
    configured = needed.settings.get("aws", {}).get("max_concurrency")
    is_public = needed.function.is_public
    usual = configured if isinstance(configured, int) else 0 if is_public else MAX_INSTANCES
    limit = "The instances that are reserved for it, and its most; 0: as many as the account allows"
    return {
        names.parameter(needed.name, "Memory"): {
            "Type": "Number",
            "Default": memory_mib(needed),
            "MinValue": 128,
            "MaxValue": 10_240,
            "Description": f"The memory of an instance of {needed.name} in MB, with which its CPU grows",
        },
        names.parameter(needed.name, "Concurrency"): {
            "Type": "Number",
            "Default": usual,
            "MinValue": 0 if is_public else 2,
            "MaxValue": 1_000,
            "Description": f"{needed.name}: {limit}" if is_public else f"The most instances of {needed.name} at once",
        },
        **({} if is_public else _reserved_parameter(needed.name)),
    }


def _reserved_parameter(name: str) -> dict[str, Fields]:
    what = f"The instances that are reserved for {name}; 0: none. A deployment sets it to what the account allows"
    return {names.parameter(name, RESERVED): {"Type": "Number", "Default": 0, "MinValue": 0, "Description": what}}


def most_instances(topology: Topology, needed: NeededFunction, concurrency: int) -> int:
    """Return the most instances that the function's queues and schedules use at once, where a queue uses up to
    `concurrency`. With fewer, Lambda would throttle what it has polled."""
    own, undelivered = names.consumed_queues(topology, needed)
    seldom = [*undelivered, *(each for each in own if each == names.queue(ports.DEAD_LETTERS))]
    often = len(own) + len(undelivered) - len(seldom)
    return often * concurrency + len(seldom) * FEWEST_POLLS + len(needed.function.schedules)


def functions(topology: Topology) -> dict[str, Node]:
    made: dict[str, Node] = {}
    for needed in topology.functions:
        name = needed.name
        following = consumers(needed.function, [each.function for each in topology.functions])
        made |= {
            f"# {name}: {needed.function.does}": None,
            names.function(name): {
                "Type": "AWS::Serverless::Function",
                **(_updated_after(*following) if following else {}),
                "Properties": _properties(topology, needed),
            },
            **(_alias(needed.function) if needed.function.alias else {}),
            **policies.roles(topology, needed),
            names.log(name): _log(name),
        }
    return made


def _updated_after(*functions: Function) -> Fields:
    later = [names.function(each.name) for each in functions]
    return {
        "# At an update, the later function comes first: an old one does not know new routes and destinations": None,
        "DependsOn": later if len(later) > 1 else later[0],
    }


def _properties(topology: Topology, needed: NeededFunction) -> Node:
    name = needed.name
    variables = dict(_variables(needed.function))
    events = dict(_events(topology, needed, min(MOST_MESSAGES, needed.concurrency(memory_mib(needed)))))
    return {
        "FunctionName": sub(aws_names.function(names.PREFIX, name)),
        "Description": needed.function.does,
        "CodeUri": f"{name}/",
        "Handler": f"functions.{name}.lambda_handler.handler",
        "Role": get_att(names.role(name)),
        "MemorySize": ref(names.parameter(name, "Memory")),
        "Timeout": needed.timeout_seconds,
        "ReservedConcurrentExecutions": _reserved(needed.function),
        **(PUBLIC if needed.function.is_public else {}),
        "LoggingConfig": {"LogGroup": ref(names.log(name))},
        **({"Environment": {"Variables": variables}} if variables else {}),
        **(_scheduled() if needed.function.schedules else {}),
        **({"Events": events} if events else {}),
    }


def _alias(function: Function) -> Fields:
    """Return the name under which others may call the function. IAM cannot tell an event from another call, so the
    function takes no event under this name."""
    return {
        "# Other functions of the account call it by this name, if IAM lets them": None,
        f"{names.function(function.name)}{names.logical(function.alias)}": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": function.alias,
                "FunctionName": ref(names.function(function.name)),
                "FunctionVersion": "$LATEST",
            },
        },
    }


def _reserved(function: Function) -> Tag:
    return Tag("If", [reserves(function.name), ref(reserved_parameter(function)), NO_VALUE])


def reserved_parameter(function: Function) -> str:
    """Return the name of the parameter with the instances that are reserved for the function; 0: none."""
    return names.parameter(function.name, "Concurrency" if function.is_public else RESERVED)


def reserves(name: str) -> str:
    """Return the name of the condition that instances are reserved for the function."""
    return f"Limits{names.logical(name)}"


def _variables(function: Function) -> Iterator[tuple[str, Node]]:
    if function.stores or function.reads:
        yield "HOOKCHAIN_TABLES", ref("Prefix")
    for topic in function.topics:
        yield settings.QUEUE_VARIABLES[topic], ref(names.queue(topic))
    for variable in function.variables:
        yield variable, ref(variable_parameter(variable))


def variable_parameter(variable: str) -> str:
    """Return the name of the parameter: `EmailFrom` for EMAIL_FROM."""
    return names.logical(variable.lower().replace("_", "-"))


def _scheduled() -> Fields:
    return {
        "# A call that failed is not repeated: the next one comes in a minute": None,
        "EventInvokeConfig": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0},
    }


def _events(topology: Topology, needed: NeededFunction, batch: int) -> Iterator[tuple[str, Node]]:
    most = ref(names.parameter(needed.name, "Concurrency"))
    own, undelivered = names.consumed_queues(topology, needed)
    for queue in own:
        why: Fields = {"# A message that fails comes again alone, without its batch": None} if queue == own[0] else {}
        is_seldom = queue == names.queue(ports.DEAD_LETTERS)
        yield queue.removesuffix("Queue"), _mapping(get_att(queue), batch, FEWEST_POLLS if is_seldom else most, why)
    for queue in undelivered:
        why = {"# It keeps what SQS gave up on as dead letters": None} if queue == undelivered[0] else {}
        yield queue, _mapping(get_att(queue), batch, FEWEST_POLLS, why)
    for number, arn in enumerate(queues.queue_arns(needed.sources), 1):
        why = {"# Messages for the sources that a bus brings": None} if number == 1 else {}
        yield f"Source{number}", _mapping(arn, batch, MAX_INSTANCES, why)
    for schedule in needed.function.schedules:
        yield names.logical(schedule.name), _schedule(schedule)


def _mapping(queue: Node, batch: int, most: Node, why: Fields) -> Node:
    properties: Fields = {
        "Queue": queue,
        "BatchSize": batch,
        "Enabled": True,  # written out, as `State` is: CloudFormation compares only what a template sets
        **why,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": most},
    }
    return {"Type": "SQS", "Properties": properties}


def _schedule(schedule: Schedule) -> Node:
    minutes = schedule.every_minutes
    return {
        "Type": "ScheduleV2",
        "Properties": {
            "Name": names.prefixed(schedule.name),
            "Description": f"Hookchain: {schedule.does}",
            "State": "ENABLED",
            "ScheduleExpression": f"rate({minutes} {'minute' if minutes == 1 else 'minutes'})",
            "Input": f'{{"{schedule.name}": true}}',
            "RetryPolicy": {"MaximumRetryAttempts": 0},
        },
    }


def _log(name: str) -> Node:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {
            "LogGroupName": sub(aws_names.log_group(names.PREFIX, name)),
            "RetentionInDays": ref("LogDays"),
            "Tags": names.tags(),
        },
    }
