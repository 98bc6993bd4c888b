"""AWS's limits on a stack, checked before anything starts: a change that breaks one fails after minutes, half-way.

A quota that AWS raises on request is a warning, because the account may have a higher one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.aws.resources.policies import ROLE_CHARACTERS, characters
from deploy.aws.yaml_text import Fields, Node, to_yaml
from deploy.topology.limits import Measured
from deploy.topology.topology import Topology

CLOUDFORMATION: Final = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
EVENTBRIDGE: Final = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"
IAM: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
LAMBDA: Final = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"

TEMPLATE_BYTES: Final = 1_000_000
RESOURCES: Final = 500
ENVIRONMENT_BYTES: Final = 4_096
OWN_VARIABLES_BYTES: Final = 1_024
"""The prefix, the bucket and the URLs of at most three queues, with their names."""
MANAGED_CHARACTERS: Final = 6_144
RULES_A_BUS: Final = 300
FEWER: Final = "Use fewer sources and destinations, let several use the same secret, or make two deployments"
_MADE_BY_SAM: Final = {"FunctionUrlConfig": 3, "EventInvokeConfig": 1}
"""The resources that SAM adds for a property of a function: of a URL, it and two permissions."""
_MADE_OF_EVENTS: Final = {"SQS": 1, "ScheduleV2": 2}


def measured(document: Fields, topology: Topology) -> Iterator[Measured]:
    """Yield what AWS limits in a topology's template. The rules for a prefix and a source bound the names."""
    entries = {name: each for name, each in _mapping(document["Resources"]).items() if isinstance(each, Mapping)}
    yield Measured("the template", "bytes", len(to_yaml(document).encode()), TEMPLATE_BYTES, CLOUDFORMATION, FEWER)
    yield Measured("the stack", "resources", sum(map(_resources, entries.values())), RESOURCES, CLOUDFORMATION, FEWER)
    sizes: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    for name, entry in entries.items():
        properties = _mapping(entry.get("Properties", {}))
        match entry["Type"]:
            case "AWS::IAM::Role":
                own = characters(properties["Policies"])
                yield Measured(f"the policy of {name}", "characters", own, ROLE_CHARACTERS, IAM, FEWER)
            case "AWS::IAM::ManagedPolicy":
                function = name.rpartition("Policy")[0]
                sizes[function] = max(sizes[function], characters(properties["PolicyDocument"]))
            case "AWS::Events::Rule":
                rules[f"the event bus {properties.get('EventBusName', 'default')}"] += 1
    for function, size in sizes.items():
        yield Measured(f"a policy of {function}Role", "characters", size, MANAGED_CHARACTERS, IAM, FEWER)
    for bus, count in rules.items():
        yield Measured(bus, "rules", count, RULES_A_BUS, EVENTBRIDGE, FEWER, can_grow=True)
    for needed in topology.functions:
        size = OWN_VARIABLES_BYTES + sum(len(f"{name}{value}".encode()) for name, value in needed.variables.items())
        yield Measured(f"the environment of {needed.name}", "bytes", size, ENVIRONMENT_BYTES, LAMBDA, "Shorten it")


def _resources(entry: Mapping[str, Node]) -> int:
    """Return the resources that an entry of the template becomes once SAM has translated it."""
    properties = _mapping(entry.get("Properties", {}))
    events = [str(_mapping(each)["Type"]) for each in _mapping(properties.get("Events", {})).values()]
    made = sum(count for name, count in _MADE_BY_SAM.items() if name in properties)
    return 1 + made + sum(_MADE_OF_EVENTS[each] for each in events)


def _mapping(node: Node) -> Mapping[str, Node]:
    assert isinstance(node, Mapping), node
    return node
