"""AWS's limits on a stack, checked before anything starts: a change that breaks one fails after minutes, half-way.

A quota that AWS raises on request is a warning, because the account may have a higher one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.aws.resources.policies import MANAGED_POLICIES, ROLE_CHARACTERS, characters, longest
from deploy.aws.yaml_text import Fields, Node, Tag, to_yaml
from deploy.topology.limits import Measured
from shared.jsontext import to_json

CLOUDFORMATION: Final = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
EVENTBRIDGE: Final = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"
IAM: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
LAMBDA: Final = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
SQS: Final = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html"

TEMPLATE_BYTES: Final = 1_000_000
RESOURCES: Final = 500
VALUE_BYTES: Final = 4_096
ENVIRONMENT_BYTES: Final = 4_096
MANAGED_CHARACTERS: Final = 6_144
RULES_A_BUS: Final = 300
NAME_CHARACTERS: Final = {
    "QueueName": (80, SQS),
    "FunctionName": (64, LAMBDA),
    "BucketName": (63, "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"),
}
FEWER: Final = "Use fewer sources and destinations, let several use the same secret, or make two deployments"
_MADE_BY_SAM: Final = {"FunctionUrlConfig": 3, "EventInvokeConfig": 1}
"""The resources that SAM adds for a property of a function: of a URL, it and two permissions."""
_MADE_OF_EVENTS: Final = {"SQS": 1, "ScheduleV2": 2}


def measured(document: Fields, prefix: str) -> Iterator[Measured]:
    """Yield what AWS limits in a template. `prefix` is that of the deployment's names."""
    entries = {name: each for name, each in _mapping(document["Resources"]).items() if isinstance(each, Mapping)}
    defaults = {name: str(_mapping(each)["Default"]) for name, each in _mapping(document["Parameters"]).items()}
    yield Measured("the template", "bytes", len(to_yaml(document).encode()), TEMPLATE_BYTES, CLOUDFORMATION, FEWER)
    yield Measured("the stack", "resources", sum(map(_resources, entries.values())), RESOURCES, CLOUDFORMATION, FEWER)
    for name, value in defaults.items():
        yield Measured(f"the parameter {name}", "bytes", len(value.encode()), VALUE_BYTES, CLOUDFORMATION, "Shorten it")
    rules: Counter[str] = Counter()
    largest: Counter[str] = Counter()
    for name, entry in entries.items():
        properties = _mapping(entry.get("Properties", {}))
        match entry["Type"]:
            case "AWS::IAM::Role":
                own = characters(properties["Policies"])
                yield Measured(f"the policy of {name}", "characters", own, ROLE_CHARACTERS, IAM, FEWER)
            case "AWS::IAM::ManagedPolicy":
                size = characters(properties["PolicyDocument"])
                largest[name[:-1]] = max(largest[name[:-1]], size)
            case "AWS::Events::Rule":
                rules[str(properties.get("EventBusName", "default"))] += 1
            case "AWS::Serverless::Function":
                size = _environment_bytes(document, properties, defaults)
                yield Measured(f"the environment of {name}", "bytes", size, ENVIRONMENT_BYTES, LAMBDA, "Shorten it")
        for key, (most, source) in NAME_CHARACTERS.items():
            if isinstance(text := properties.get(key), Tag) and text.name == "Sub":
                length = len(str(longest(Tag("Sub", str(text.value).replace("${Prefix}", prefix)))))
                yield Measured(f"the name of {name}", "characters", length, most, source, "Shorten the prefix")
    for name, size in largest.items():
        yield Measured(
            f"the largest of {name}1 to {name}{MANAGED_POLICIES}", "characters", size, MANAGED_CHARACTERS, IAM, FEWER
        )
    for bus, count in rules.items():
        yield Measured(f"the event bus {bus}", "rules", count, RULES_A_BUS, EVENTBRIDGE, FEWER, can_grow=True)


def _resources(entry: Mapping[str, Node]) -> int:
    """Return the resources that an entry of the template becomes once SAM has translated it."""
    properties = _mapping(entry.get("Properties", {}))
    events = [str(_mapping(each)["Type"]) for each in _mapping(properties.get("Events", {})).values()]
    made = sum(count for name, count in _MADE_BY_SAM.items() if name in properties)
    return 1 + made + sum(_MADE_OF_EVENTS[each] for each in events)


def _environment_bytes(document: Fields, function: Mapping[str, Node], defaults: Mapping[str, str]) -> int:
    """Return the size of a function's variables as JSON, in which a parameter has its value."""
    common = _mapping(_mapping(_mapping(document["Globals"])["Function"])["Environment"])
    variables = {
        **_mapping(common["Variables"]),
        **_mapping(_mapping(function.get("Environment", {})).get("Variables", {})),
    }
    values = {
        name: defaults.get(str(value.value), "")
        if isinstance(value, Tag) and str(value.value) in defaults
        else longest(value)
        for name, value in variables.items()
    }
    return len(to_json(values).encode())


def _mapping(node: Node) -> Mapping[str, Node]:
    assert isinstance(node, Mapping), node
    return node
