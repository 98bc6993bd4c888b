"""The removal of a deployment, and what stays of it: tables, the bucket and secrets.

The next deployment adopts the tables and the bucket: it creates its stack with them, so that their data is kept.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources.stores import CREATE_REQUESTS
from deploy.aws.template import document_of
from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsApi, DeployedStack
from deploy.terminal import command_line, parallel
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, to_json

RETAINED: Final = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""Resources that outlive the stack."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """The resources that a deletion of the stack leaves, by name. `secrets` are those with the deployment's tag."""

    tables: tuple[str, ...]
    buckets: tuple[str, ...]
    secrets: tuple[str, ...]

    def named(self) -> list[tuple[str, str]]:
        """Return the kind and the name of each resource."""
        names_by_kind = {"table": self.tables, "bucket": self.buckets, "secret": self.secrets}
        return [(kind, name) for kind, found in names_by_kind.items() for name in found]

    def lines(self) -> list[str]:
        """Return a line for each resource: its kind and its name."""
        return [f"{kind} {name}" for kind, name in self.named()]


def find_remaining(deployed: DeployedStack) -> Remaining:
    """Return what exists of the resources that outlive the stack, whether the stack exists or not. Raises AwsFault."""
    target, api = deployed.target, deployed.api
    tables = [aws_names.table(target.prefix, name) for name in aws_names.TABLES]
    found = parallel.run_in_parallel(lambda table: api.find("dynamodb", "describe_table", TableName=table), tables)
    bucket = deployed.bucket()
    return Remaining(
        tuple(table for table, description in zip(tables, found, strict=True) if description is not None),
        () if api.find("s3", "head_bucket", Bucket=bucket) is None else (bucket,),
        tuple(sorted(_secrets(api, target))),
    )


def stack_resources(api: AwsApi, stack: str) -> dict[str, list[str]]:
    """Return the names of the resources that the stack deletes with itself, by kind: `Lambda::Function`."""
    found: dict[str, list[str]] = {}
    for page in api.pages("cloudformation", "list_stack_resources", "NextToken", StackName=stack):
        for each in objects_at(page, "StackResourceSummaries"):
            kind = str(each.get("ResourceType"))
            if kind not in RETAINED and each.get("ResourceStatus") != "DELETE_COMPLETE":
                found.setdefault(kind.removeprefix("AWS::"), []).append(str(each.get("LogicalResourceId")))
    return found


def count_left(api: AwsApi, stack_id: str) -> int:
    """Return the number of resources that the stack still has. `stack_id` finds it after its deletion too."""
    return sum(len(each) for each in stack_resources(api, stack_id).values())


def remove_remaining(api: AwsApi, remaining: Remaining) -> Iterator[str]:
    """Delete what the stack left, and yield a line after each deletion. Secrets cannot be restored. Raises AwsFault."""
    for bucket in remaining.buckets:
        _empty(api, bucket)
        api.call("s3", "delete_bucket", Bucket=bucket)
        yield f"bucket {bucket} deleted"
    for table in remaining.tables:
        api.call("dynamodb", "delete_table", TableName=table)
        yield f"table {table} deleted"
    for secret in remaining.secrets:
        api.call("secretsmanager", "delete_secret", SecretId=secret, ForceDeleteWithoutRecovery=True)
        yield f"secret {secret} deleted"


def _secrets(api: AwsApi, target: aws_names.StackTarget) -> Iterator[str]:
    tagged: list[Json] = [{"Key": "tag-key", "Values": [aws_names.STACK_TAG]}]
    for page in api.pages("secretsmanager", "list_secrets", "NextToken", Filters=tagged):
        for secret in objects_at(page, "SecretList"):
            if {"Key": aws_names.STACK_TAG, "Value": target.prefix} in objects_at(secret, "Tags"):
                yield str(secret.get("Name"))


def _empty(api: AwsApi, bucket: str) -> None:
    """Delete all objects: S3 deletes only an empty bucket. Each list has at most 1,000, as a deletion may have."""
    while found := objects_at(api.call("s3", "list_objects_v2", Bucket=bucket), "Contents"):
        keys: list[Json] = [{"Key": str(each.get("Key"))} for each in found]
        api.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


# Adoption


SERVICE: Final = "cloudformation"
CHANGE_SET: Final = "hookchain-adopt"
WAIT_SECONDS: Final = 600.0
"""How long CloudFormation may take for one of the two steps of an adoption."""
POLL_SECONDS: Final = 1.0


def indexes_of(api: AwsApi, tables: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the names of each table's indexes. Raises AwsFault."""
    found: dict[str, frozenset[str]] = {}
    for name in tables:
        described = api.call("dynamodb", "describe_table", TableName=name)
        listed = objects_at(described, "Table", "GlobalSecondaryIndexes")
        found[name] = frozenset(str(each.get("IndexName")) for each in listed)
    return found


def adoption_template(
    topology: Topology, prefix: str, remaining: Remaining, indexes: Mapping[str, frozenset[str]]
) -> str:
    """Return a template of the stores that exist. CloudFormation imports only what has its name written out.

    Their DeletionPolicy is Retain, so that a failure deletes none. CloudFormation does not look at what it imports: an
    index that a table does not have yet is left out here, so that the deployment that follows adds it.
    """
    existing: dict[str, JsonObject] = {
        names.table(name): {"TableName": table, **_keys(CREATE_REQUESTS[name], indexes[table])}
        for name in aws_names.TABLES
        if (table := aws_names.table(prefix, name)) in remaining.tables
    }
    if remaining.buckets:
        existing[names.BUCKET] = {"BucketName": remaining.buckets[0]}
    declared = mapping_at(document_of(topology, prefix), "Resources")
    resources: JsonObject = {name: _named(mapping_at(declared, name), own) for name, own in existing.items()}
    parameters: JsonObject = {"Prefix": {"Type": "String", "Default": prefix}}
    return to_json({"AWSTemplateFormatVersion": "2010-09-09", "Parameters": parameters, "Resources": resources})


def _keys(request: JsonObject, indexes: frozenset[str]) -> JsonObject:
    """Return a table's indexes, of those that it has, and the attributes of its keys and theirs."""
    wanted = objects_at(request, "GlobalSecondaryIndexes")
    kept: list[Json] = [each for each in wanted if each["IndexName"] in indexes]
    keys = [key for each in (request, *kept) for key in objects_at(each, "KeySchema")]
    names = {each["AttributeName"] for each in keys}
    attributes: list[Json] = [
        each for each in objects_at(request, "AttributeDefinitions") if each["AttributeName"] in names
    ]
    return {"AttributeDefinitions": attributes, **({"GlobalSecondaryIndexes": kept} if wanted else {})}


def _named(resource: JsonObject, own: JsonObject) -> JsonObject:
    """Return the entry of a store that exists. `own` are the properties that it has instead of the template's."""
    return {
        "Type": resource["Type"],
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {**mapping_at(resource, "Properties"), **own},
    }


def adopt(api: AwsApi, target: aws_names.StackTarget, template: str) -> None:
    """Create the stack with what exists. Raises CommandError and AwsFault."""
    named = {"StackName": target.stack, "ChangeSetName": CHANGE_SET}
    tags: list[Json] = [{"Key": aws_names.STACK_TAG, "Value": target.prefix}]
    api.call(
        SERVICE,
        "create_change_set",
        **named,
        ChangeSetType="CREATE",
        ImportExistingResources=True,
        TemplateBody=template,
        Parameters=[{"ParameterKey": "Prefix", "ParameterValue": target.prefix}],
        Tags=tags,
    )
    _wait(api, "describe_change_set", named, "Status", "CREATE_COMPLETE")
    api.call(SERVICE, "execute_change_set", **named)
    _wait(api, "describe_stacks", {"StackName": target.stack}, "StackStatus", "CREATE_COMPLETE", "IMPORT_COMPLETE")


def _wait(api: AwsApi, operation: str, arguments: Mapping[str, str], field: str, *ends: str) -> None:
    """Wait until `field` of the description has one of the statuses `ends`.

    Raises AwsFault, and CommandError if the step fails or takes longer than WAIT_SECONDS.
    """
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        answer = api.call(SERVICE, operation, **arguments)
        found = next(iter(objects_at(answer, "Stacks")), answer)  # a change set is not in a list
        status = str(found.get(field))
        if status in ends:
            return
        if status.endswith(("FAILED", "ROLLBACK_COMPLETE")) or time.monotonic() > give_up_at:
            reason = found.get(f"{field}Reason") or status
            stack = arguments["StackName"]
            raise command_line.CommandError(
                f"stack {stack}: cannot take in the tables and the bucket that an earlier one left: {reason}. "
                "Remove them with `make destroy-aws ALL=1`, if nothing in them is needed"
            )
        time.sleep(POLL_SECONDS)
