"""The rights of a function: its role, with what the topology says and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.amazon import names as amazon
from deploy.aws import template_names as names
from deploy.aws.resources.bus_sources import queue_arns
from deploy.aws.store_tables import CREATE_REQUESTS, TABLES_OF
from deploy.aws.yaml_text import Fields, Node, Tag, get_att, sub
from deploy.topology.destination_places import BucketPlace
from deploy.topology.functions import BlobUse
from deploy.topology.topology import NeededFunction, Topology
from functions.notify.destinations.bus.settings import AwsBus

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
OBJECTS: Final[Mapping[BlobUse, tuple[str, ...]]] = {
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
MAIL_BY_SES: Final = frozenset({"auto", "ses"})


def role(topology: Topology, needed: NeededFunction) -> Node:
    """Return the role of its own: the managed policies that SAM would attach reach every queue and every log."""
    trust: Fields = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": sub(f"Hookchain ${{Prefix}}: runs {needed.name}"),
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [
                {
                    "PolicyName": needed.name,
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": list(_statements(topology, needed))},
                }
            ],
            "Tags": names.tags(),
        },
    }


def _statements(topology: Topology, needed: NeededFunction) -> Iterator[Fields]:
    function = needed.function
    yield _allow(("logs:CreateLogStream", "logs:PutLogEvents"), get_att(names.log(function.name)))
    own, undelivered = names.consumed_queues(topology, needed)
    if own:
        yield _allow(CONSUME, *map(get_att, [*own, *undelivered]))
    if found := [*queue_arns(needed.sources)]:
        yield _allow(CONSUME, *found)
    if function.topics:
        sending = _allow(("sqs:SendMessage",), *(get_att(names.queue(topic)) for topic in function.topics))
        why = "It sends events again, for routes that waited"
        yield {f"# {why}": None, **sending} if function.sends_back else sending
    if tables := [table for store in function.stores for table in TABLES_OF[store]]:
        yield _allow(ITEMS, *(each for table in tables for each in _table(table)))
    if tables := [table for store in function.reads for table in TABLES_OF[store]]:
        yield _allow(READS, *(each for table in tables for each in _table(table)))
    objects = _allow(OBJECTS[function.blobs], sub(f"${{{names.BUCKET}.Arn}}/*"))
    yield {**objects, **ONLY_NEW} if function.blobs == "create" else objects
    if function.blobs != "create":
        why = "Without it, S3 answers 403 instead of 404 for an object that has expired"
        yield {f"# {why}": None, **_allow(("s3:ListBucket",), get_att(names.BUCKET))}
    if needed.secrets:
        why = "Secrets are made by `hookchain secrets` and not here; AWS adds six characters to the name in an ARN"
        yield {f"# {why}": None, **_allow(("secretsmanager:GetSecretValue",), *map(_secret, needed.secrets))}
    for place in needed.places:
        if isinstance(place, BucketPlace) and place.is_s3:
            yield from _objects_of_destination(place)
    for service, action in PUBLISH.items():
        if arns := [bus.arn for bus in needed.buses if isinstance(bus, AwsBus) and bus.service == service]:
            yield {"# For the destinations that publish as this role": None, **_allow((action,), *arns)}
    if function.sends_mail and topology.mail & MAIL_BY_SES:
        identities = sub("arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:*")
        yield _allow(("ses:SendEmail", "ses:SendRawEmail"), identities)


def _objects_of_destination(place: BucketPlace) -> Iterator[Fields]:
    """Yield the rights on the bucket of a destination, where it is this account's: nobody else's gets the events."""
    objects = sub(f"arn:${{AWS::Partition}}:s3:::{place.bucket}/{place.prefix}*")
    own: Fields = {"StringEquals": {"aws:ResourceAccount": sub("${AWS::AccountId}")}}
    why = "A destination creates objects there, and replaces none"
    yield {f"# {why}": None, **_allow(("s3:PutObject",), objects), "Condition": {**own, **NEW_OBJECT}}
    if place.reads:
        why = "It reads who wrote an object that has the key already"
        yield {f"# {why}": None, **_allow(("s3:GetObject",), objects), "Condition": own}


def _table(name: str) -> Iterator[Tag]:
    yield get_att(names.table(name))
    if "GlobalSecondaryIndexes" in CREATE_REQUESTS[name]:
        yield sub(f"${{{names.table(name)}.Arn}}/index/*")


def _allow(actions: tuple[str, ...], *resources: Tag | str) -> Fields:
    return {
        "Effect": "Allow",
        "Action": actions if len(actions) > 1 else actions[0],
        "Resource": resources if len(resources) > 1 else resources[0],
    }


def _secret(name: str) -> Tag:
    place = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret"
    return sub(f"{place}:{amazon.secret_id(names.PREFIX, name)}-??????")
