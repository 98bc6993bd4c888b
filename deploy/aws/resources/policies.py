"""The rights of a function: its role, with what the topology says and nothing else.

Rights on what the configuration names are in the role's own policy while that is small. Over INLINE_CHARACTERS they are
in managed policies. Each right is always in the same one, so that no right is missing while an update moves it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources import queues, stores
from deploy.aws.yaml_text import COMMENT, Fields, Node, Tag, get_att, ref, sub
from deploy.cloud_access import aws_names
from deploy.topology import buses, functions
from deploy.topology.topology import NeededFunction, Topology
from functions.notify.destinations.bus import AwsBus
from shared.jsontext import Json

CONSUME: Final = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
)
ITEMS: Final = (
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)
READS: Final = ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query")
OBJECTS: Final[Mapping[functions.BlobUse, tuple[str, ...]]] = {
    "create": ("s3:PutObject",),
    "read": ("s3:GetObject",),
    "use": ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
}
NEW_OBJECT: Final[Fields] = {"Null": {"s3:if-none-match": False}}
ONLY_NEW: Final[Fields] = {
    "# Only with the header If-None-Match, so that no object is replaced": None,
    "Condition": NEW_OBJECT,
}
PUBLISH: Final[Mapping[str, str]] = {"sns": "sns:Publish", "sqs": "sqs:SendMessage", "events": "events:PutEvents"}
ROLE_CHARACTERS: Final = 10_240
"""All policies of a role itself. https://docs.aws.aws_names.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
INLINE_CHARACTERS: Final = 8_192
"""The rest is left for the policies that an operator adds."""
MANAGED_POLICIES: Final = 8
"""A role may have 10 managed policies."""
ARN_CHARACTERS: Final = 128
"""The longest ARN that a template creates is the ARN of a queue: 48 characters, and its name of 80."""
_LONGEST: Final[Mapping[str, str]] = {
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": "ap-southeast-1",
    "AWS::AccountId": "1" * 12,
    "Prefix": "p" * 29,
}
MAIL_BY_SES: Final = frozenset({"auto", "ses"})


def roles(topology: Topology, needed: NeededFunction) -> dict[str, Node]:
    """Return the role of its own: the managed policies that SAM would attach reach every queue and every log."""
    own, configured = list(_own_rights(topology, needed)), list(_configured_rights(needed))
    is_small = characters(_document([*own, *configured])) <= INLINE_CHARACTERS
    managed = {} if is_small else _managed_policies(needed.name, configured)
    trust: Fields = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role: Fields = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": sub(f"Hookchain ${{Prefix}}: runs {needed.name}"),
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            **({"ManagedPolicyArns": [ref(name) for name in managed]} if managed else {}),
            "Policies": [
                {"PolicyName": needed.name, "PolicyDocument": _document([*own, *configured] if is_small else own)}
            ],
            "Tags": names.tags(),
        },
    }
    return {names.role(needed.name): role, **managed}


def _managed_policies(function: str, rights: Iterable[Fields]) -> dict[str, Node]:
    """Return the policies by their names in the template. A right's resource decides in which of them it is."""
    gathered: dict[int, dict[str, list[Node]]] = {}
    by_text: dict[str, Fields] = {}
    for right in rights:
        rest = {key: value for key, value in right.items() if key != "Resource"}
        text = json.dumps(longest(rest))
        by_text[text] = rest
        for resource in _listed(right["Resource"]):
            digest = hashlib.sha256(str(resource).encode()).digest()
            gathered.setdefault(digest[0] % MANAGED_POLICIES + 1, {}).setdefault(text, []).append(resource)
    return {
        f"{names.logical(function)}Policy{number}": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "Description": sub(f"Hookchain ${{Prefix}}: what {function} may reach of what the configuration names"),
                "PolicyDocument": _document(
                    [{**by_text[text], "Resource": resources} for text, resources in gathered[number].items()]
                ),
            },
        }
        for number in sorted(gathered)
    }


def _document(statements: Sequence[Fields]) -> Fields:
    return {"Version": "2012-10-17", "Statement": statements}


def characters(policy: Node) -> int:
    """Return the most characters that a policy has. IAM does not count white space."""
    return len(re.sub(r"\s", "", json.dumps(longest(policy), separators=(",", ":"))))


def longest(node: Node) -> Json:
    """Return the value with the longest texts that the template's functions may give, and without comments."""
    match node:
        case Tag("Sub", str() as text):
            return re.sub(r"\$\{([^}]+)\}", lambda found: _LONGEST.get(found[1], "a" * ARN_CHARACTERS), text)
        case Tag():
            return "a" * ARN_CHARACTERS
        case Mapping():
            return {key: longest(value) for key, value in node.items() if not key.startswith(COMMENT)}
        case str() | int() | float() | None:
            return node
        case _:
            return [longest(each) for each in node]


def _listed(resource: Node) -> Sequence[Node]:
    return [resource] if isinstance(resource, str | Tag) or not isinstance(resource, Sequence) else resource


def _own_rights(topology: Topology, needed: NeededFunction) -> Iterator[Fields]:
    """Yield the rights that the function has in every configuration."""
    function = needed.function
    yield _allow(("logs:CreateLogStream", "logs:PutLogEvents"), get_att(names.log(function.name)))
    own, undelivered = names.consumed_queues(topology, needed)
    if own:
        yield _allow(CONSUME, *map(get_att, [*own, *undelivered]))
    if function.topics:
        sending = _allow(("sqs:SendMessage",), *(get_att(names.queue(topic)) for topic in function.topics))
        why = "It sends events again, for routes that waited"
        yield {f"# {why}": None, **sending} if function.sends_back else sending
    if tables := [table for store in function.stores for table in stores.TABLES_OF[store]]:
        yield _allow(ITEMS, *(each for table in tables for each in _table(table)))
    if tables := [table for store in function.reads for table in stores.TABLES_OF[store]]:
        yield _allow(READS, *(each for table in tables for each in _table(table)))
    objects = _allow(OBJECTS[function.blobs], sub(f"${{{names.BUCKET}.Arn}}/*"))
    yield {**objects, **ONLY_NEW} if function.blobs == "create" else objects
    if function.blobs != "create":
        why = "Without it, S3 answers 403 instead of 404 for an object that has expired"
        yield {f"# {why}": None, **_allow(("s3:ListBucket",), get_att(names.BUCKET))}
    if function.sends_mail and topology.mail & MAIL_BY_SES:
        identities = sub("arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:*")
        yield _allow(("ses:SendEmail", "ses:SendRawEmail"), identities)


def _configured_rights(needed: NeededFunction) -> Iterator[Fields]:
    """Yield the rights on what the configuration names: the more sources and destinations, the more resources."""
    if found := [*queues.queue_arns(needed.sources)]:
        yield _allow(CONSUME, *found)
    if needed.secrets:
        why = "Secrets are made by `hookchain secrets` and not here; AWS adds six characters to the name in an ARN"
        yield {f"# {why}": None, **_allow(("secretsmanager:GetSecretValue",), *map(_secret, needed.secrets))}
    for place in needed.places:
        if isinstance(place, buses.BucketPlace) and place.is_s3:
            yield from _objects_of_destination(place)
    for service, action in PUBLISH.items():
        if arns := [bus.arn for bus in needed.buses if isinstance(bus, AwsBus) and bus.service == service]:
            yield {"# For the destinations that publish as this role": None, **_allow((action,), *arns)}


def _objects_of_destination(place: buses.BucketPlace) -> Iterator[Fields]:
    """Yield the rights on the bucket of a destination, if it is this account's. The bucket of another account gets no
    events."""
    objects = sub(f"arn:${{AWS::Partition}}:s3:::{place.bucket}/{place.prefix}*")
    own: Fields = {"StringEquals": {"aws:ResourceAccount": sub("${AWS::AccountId}")}}
    why = "A destination creates objects there, and replaces none"
    yield {f"# {why}": None, **_allow(("s3:PutObject",), objects), "Condition": {**own, **NEW_OBJECT}}
    if place.reads:
        why = "It reads who wrote an object that has the key already"
        yield {f"# {why}": None, **_allow(("s3:GetObject",), objects), "Condition": own}


def _table(name: str) -> Iterator[Tag]:
    yield get_att(names.table(name))
    if "GlobalSecondaryIndexes" in stores.CREATE_REQUESTS[name]:
        yield sub(f"${{{names.table(name)}.Arn}}/index/*")


def _allow(actions: tuple[str, ...], *resources: Tag | str) -> Fields:
    return {
        "Effect": "Allow",
        "Action": actions if len(actions) > 1 else actions[0],
        "Resource": resources if len(resources) > 1 else resources[0],
    }


def _secret(name: str) -> Tag:
    place = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret"
    return sub(f"{place}:{aws_names.secret_id(names.PREFIX, name)}-??????")
