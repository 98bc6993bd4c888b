"""The removal of a deployment: what its stack deletes, and what remains after it: tables, the bucket and secrets.

The next deployment adopts the tables and the bucket, so that their data is kept: see adoption.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsApi, DeployedStack
from deploy.terminal import parallel
from shared.jsontext import Json, objects_at

RETAINED: Final = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""Resources that outlive the stack."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """The resources that outlive the stack, by name. `secrets` are those with the deployment's tag."""

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


def count_undeleted(api: AwsApi, stack_id: str) -> int:
    """Return the number of resources that the stack has yet to delete. `stack_id` finds it after its deletion too."""
    return sum(len(each) for each in stack_resources(api, stack_id).values())


def remove_remaining(api: AwsApi, remaining: Remaining) -> Iterator[str]:
    """Delete what outlived the stack, and yield a line after each deletion. Secrets cannot be restored.

    Raises AwsFault.
    """
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
