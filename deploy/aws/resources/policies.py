"""The rights of a function: its role, with what the topology says and nothing else.

Rights on what the configuration names are in the role's own policy while that is small. Over INLINE_CHARACTERS they are
in managed policies. Each right is always in the same one, so that no right is missing while an update moves it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from deploy.aws import template_names as names
from deploy.aws.resources import queues, stores
from deploy.cloud_access import aws_names
from deploy.topology import functions
from deploy.topology.places import BucketPlace
from deploy.topology.topology import NeededFunction, Topology
from functions.notify.destinations.bus import AwsBus
from shared import tap
from shared.cloud.aws.tables import DOCUMENTS
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import TAP

CONSUME: Final = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
)
"""The actions of a function on the queues that it takes messages of."""
LEASES: Final = (
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)
"""The actions of a developer on the leases of the tap."""
ITEMS: Final = ("dynamodb:BatchGetItem", *LEASES)
"""The actions of a function on the tables that it writes."""
TAP_QUEUES: Final = names.sub(f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:${{Prefix}}{TAP}-*")
TAP_ACTIONS: Final = (
    "sqs:CreateQueue",
    "sqs:DeleteMessage",
    "sqs:DeleteQueue",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
    "sqs:TagQueue",
)
"""The actions of a developer on the queues of the tap."""
TRANSFORM: Final = "transform"
READS: Final = ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query")
OBJECTS: Final[Mapping[functions.BlobUse, tuple[str, ...]]] = {
    "create": ("s3:PutObject",),
    "read": ("s3:GetObject",),
    "use": ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
}
"""By the use of the bucket of large bodies: the actions on its objects."""
NEW_OBJECT: Final[JsonObject] = {"Null": {"s3:if-none-match": False}}
"""The condition that a request has the header If-None-Match, so that it replaces no object."""
PUBLISH: Final[Mapping[str, str]] = {"sns": "sns:Publish", "sqs": "sqs:SendMessage", "events": "events:PutEvents"}
ROLE_CHARACTERS: Final = 10_240
"""All policies of a role itself. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
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
"""The longest values of what stands in `${…}`, to compute how long a policy may become."""
SEND_SPANS: Final = ("xray:PutSpans", "xray:PutSpansForIndexing", "xray:PutTraceSegments")
MAIL_BY_SES: Final = frozenset({"auto", "ses"})


class Right(NamedTuple):
    """Allowed actions on resources. `why` is a comment in the template."""

    actions: tuple[str, ...]
    resources: tuple[Json, ...]
    why: str = ""
    condition: JsonObject | None = None

    def statement(self) -> JsonObject:
        """Return the right as a policy has it."""
        actions: Json = [*self.actions] if len(self.actions) > 1 else self.actions[0]
        resources: Json = [*self.resources] if len(self.resources) > 1 else self.resources[0]
        statement: JsonObject = {"Effect": "Allow", "Action": actions, "Resource": resources}
        return {**statement, "Condition": self.condition} if self.condition else statement


class Rights(NamedTuple):
    """The rights in the role's own policy, and those in managed policies, by the policy's number."""

    inline: Sequence[Right]
    managed: Mapping[int, Sequence[Right]]


def rights_of(topology: Topology, needed: NeededFunction) -> Rights:
    """Return the rights of the function's role. The managed policies that SAM would attach reach every queue and every
    log."""
    own, configured = list(_own_rights(topology, needed)), list(_configured_rights(needed))
    statements: list[Json] = [right.statement() for right in (*own, *configured)]
    if characters({"Version": "2012-10-17", "Statement": statements}) <= INLINE_CHARACTERS:
        return Rights([*own, *configured], {})
    return Rights(own, _managed(configured))


def _managed(rights: Iterable[Right]) -> dict[int, list[Right]]:
    """Return the rights by the numbers of their policies. A right's resource decides in which of them it is."""
    gathered: dict[int, dict[str, Right]] = {}
    for right in rights:
        for resource in right.resources:
            digest = hashlib.sha256(_hashed(resource).encode()).digest()
            policy = gathered.setdefault(digest[0] % MANAGED_POLICIES + 1, {})
            kind = to_json([*right.actions, right.condition])
            found = policy.get(kind)
            policy[kind] = right._replace(resources=(*(found.resources if found else ()), resource))
    return {number: [*gathered[number].values()] for number in sorted(gathered)}


def _hashed(resource: Json) -> str:
    """Return the text whose hash chooses the policy, as earlier versions wrote it: no right may move to another one."""
    match resource:
        case {"Fn::Sub": text}:
            return f"Tag(name='Sub', value={text!r})"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"Tag(name='GetAtt', value='{name}.{attribute}')"
        case _:
            return str(resource)


def characters(policy: Json) -> int:
    """Return the most characters that a policy has. IAM does not count white space."""
    return len(re.sub(r"\s", "", json.dumps(longest(policy), separators=(",", ":"))))


def longest(value: Json) -> Json:
    """Return the value with the longest texts that the template's functions may give."""
    match value:
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: _LONGEST.get(found[1], "a" * ARN_CHARACTERS), text)
        case {"Fn::GetAtt": _} | {"Ref": _}:
            return "a" * ARN_CHARACTERS
        case dict():
            return {key: longest(each) for key, each in value.items()}
        case list():
            return [longest(each) for each in value]
        case _:
            return value


def _own_rights(topology: Topology, needed: NeededFunction) -> Iterator[Right]:
    """Yield the rights that the function has in every configuration."""
    function = needed.function
    log = names.arn(f"{names.logical(function.name)}Log")
    yield Right(("logs:CreateLogStream", "logs:PutLogEvents"), (log,))
    own, undelivered = names.consumed_queues(topology, needed)
    if own:
        yield Right(CONSUME, tuple(map(names.arn, [*own, *undelivered])))
    if function.topics:
        sent = tuple(names.arn(names.queue(topic)) for topic in function.topics)
        why = "; and ".join(f"It sends {functions.SENT_BACK[topic]}" for topic in function.sends_back)
        yield Right(("sqs:SendMessage",), sent, why)
    if function.name == TRANSFORM and topology.has_tap:
        yield Right(("sqs:SendMessage",), (TAP_QUEUES,), "It copies requests to the queues of developers")
    if tables := [table for store in function.stores for table in stores.TABLES_OF[store]]:
        yield Right(ITEMS, tuple(each for table in tables for each in _table(table)))
    if tables := [table for store in function.reads for table in stores.TABLES_OF[store]]:
        yield Right(READS, tuple(each for table in tables for each in _table(table)))
    objects = names.sub(f"${{{names.BUCKET}.Arn}}/*")
    if function.blobs == "create":
        why = "Only with the header If-None-Match, so that no object is replaced"
        yield Right(OBJECTS[function.blobs], (objects,), why, NEW_OBJECT)
    else:
        yield Right(OBJECTS[function.blobs], (objects,))
        why = "Without it, S3 answers 403 instead of 404 for an object that has expired"
        yield Right(("s3:ListBucket",), (names.arn(names.BUCKET),), why)
    if function.sends_mail and topology.mail & MAIL_BY_SES:
        identities = names.sub("arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:*")
        yield Right(("ses:SendEmail", "ses:SendRawEmail"), (identities,))

    if needed.spans_to == "aws":
        yield Right(SEND_SPANS, ("*",), "Spans for AWS X-Ray, whose rights are for no smaller resource")


def _configured_rights(needed: NeededFunction) -> Iterator[Right]:
    """Yield the rights on what the configuration names: the more sources and destinations, the more resources."""
    if found := (*queues.queue_arns(needed.sources),):
        yield Right(CONSUME, found)
    if needed.secrets:
        why = "Secrets are made by `hookchain secrets` and not here; AWS adds six characters to the name in an ARN"
        yield Right(("secretsmanager:GetSecretValue",), tuple(map(_secret, needed.secrets)), why)
    for place in needed.places:
        if isinstance(place, BucketPlace) and place.is_s3:
            yield from _objects_of_destination(place)
    for service, action in PUBLISH.items():
        if arns := tuple(bus.arn for bus in needed.buses if isinstance(bus, AwsBus) and bus.arn_service == service):
            yield Right((action,), arns, "For the destinations that publish as this role")


def _objects_of_destination(place: BucketPlace) -> Iterator[Right]:
    """Yield the rights on the bucket of a destination, if it is this account's. The bucket of another account gets no
    events."""
    objects = names.sub(f"arn:${{AWS::Partition}}:s3:::{place.bucket}/{place.prefix}*")
    own: JsonObject = {"StringEquals": {"aws:ResourceAccount": names.sub("${AWS::AccountId}")}}
    why = "A destination creates objects there, and replaces none"
    yield Right(("s3:PutObject",), (objects,), why, {**own, **NEW_OBJECT})
    if place.reads:
        yield Right(("s3:GetObject",), (objects,), "It reads who wrote an object that has the key already", own)


def developer_rights() -> Iterator[Right]:
    """Yield the rights of developers: on their queues, on leases, and on copies that are too large for a queue."""
    yield Right(TAP_ACTIONS, (TAP_QUEUES,))
    yield Right(("sqs:ListQueues",), ("*",), "It names queues, and reads none")
    own: JsonObject = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [tap.PARTITION]}}
    yield Right(LEASES, tuple(_table(DOCUMENTS.name)), "Leases only, of all documents", own)
    yield Right(("s3:GetObject",), (names.sub(f"${{{names.BUCKET}.Arn}}/{tap.BLOB_PREFIX}*"),))


def _table(name: str) -> Iterator[JsonObject]:
    """Yield the ARN of the table, and that of its indexes if it has any."""
    yield names.arn(names.table(name))
    if "GlobalSecondaryIndexes" in stores.CREATE_REQUESTS[name]:
        yield names.sub(f"${{{names.table(name)}.Arn}}/index/*")


def _secret(name: str) -> JsonObject:
    place = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret"
    return names.sub(f"{place}:{aws_names.secret_id(names.PREFIX, name)}-??????")
