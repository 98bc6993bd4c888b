"""Deleting a deployment: what the stack holds, and what stays of it: tables, the bucket and secrets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.amazon import names
from deploy.amazon.api import AwsApi, AwsFault
from deploy.amazon.stack import DeployedStack, objects
from deploy.amazon.target import StackTarget
from deploy.terminal.parallel import run_in_parallel
from shared.jsontext import Json, JsonObject

RETAINED: Final = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""Resources that outlive the stack."""
_NO_BUCKET: Final = frozenset({"404", "NoSuchBucket", "NotFound"})


@dataclass(frozen=True, slots=True)
class Remaining:
    """The resources that a deletion of the stack leaves, by name. `secrets` are those with the deployment's tag."""

    tables: tuple[str, ...]
    buckets: tuple[str, ...]
    secrets: tuple[str, ...]

    def lines(self) -> list[str]:
        return [
            *(f"table {name}" for name in self.tables),
            *(f"bucket {name}" for name in self.buckets),
            *(f"secret {name}" for name in self.secrets),
        ]


def find_remaining(deployed: DeployedStack) -> Remaining:
    """Raises AwsFault."""
    target, api = deployed.target, deployed.api
    tables = [names.table(target.prefix, name) for name in names.TABLES]
    exist = run_in_parallel(lambda table: _table_exists(api, table), tables)
    bucket = deployed.bucket()
    return Remaining(
        tuple(name for name, is_there in zip(tables, exist, strict=True) if is_there),
        (bucket,) if _bucket_exists(api, bucket) else (),
        tuple(sorted(_secrets(api, target))),
    )


def stack_resources(api: AwsApi, stack: str) -> dict[str, list[str]]:
    """Return the names of the resources that the stack deletes with itself, by kind: `Lambda::Function`."""
    found: dict[str, list[str]] = {}
    for page in api.pages("cloudformation", "list_stack_resources", "NextToken", StackName=stack):
        for each in objects(page.get("StackResourceSummaries")):
            kind = str(each.get("ResourceType"))
            if kind not in RETAINED and each.get("ResourceStatus") != "DELETE_COMPLETE":
                found.setdefault(kind.removeprefix("AWS::"), []).append(str(each.get("LogicalResourceId")))
    return found


def count_left(api: AwsApi, stack_id: str) -> int:
    """Return the number of resources that the stack still has. `stack_id` finds it after its deletion too."""
    return sum(len(each) for each in stack_resources(api, stack_id).values())


def remove_remaining(api: AwsApi, remaining: Remaining) -> Iterator[str]:
    """Delete what the stack left, and yield a line for each. Secrets cannot be restored. Raises AwsFault."""
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


def _table_exists(api: AwsApi, table: str) -> bool:
    try:
        api.call("dynamodb", "describe_table", TableName=table)
    except AwsFault as fault:
        if fault.code == "ResourceNotFoundException":
            return False
        raise
    return True


def _bucket_exists(api: AwsApi, bucket: str) -> bool:
    try:
        api.call("s3", "head_bucket", Bucket=bucket)
    except AwsFault as fault:
        if fault.code in _NO_BUCKET:
            return False
        raise
    return True


def _secrets(api: AwsApi, target: StackTarget) -> Iterator[str]:
    tagged: list[Json] = [{"Key": "tag-key", "Values": [names.STACK_TAG]}]
    for page in api.pages("secretsmanager", "list_secrets", "NextToken", Filters=tagged):
        for secret in objects(page.get("SecretList")):
            if {"Key": names.STACK_TAG, "Value": target.prefix} in objects(secret.get("Tags")):
                yield str(secret.get("Name"))


def _empty(api: AwsApi, bucket: str) -> None:
    while keys := [_key(each) for each in objects(api.call("s3", "list_objects_v2", Bucket=bucket).get("Contents"))]:
        api.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": [*keys], "Quiet": True})


def _key(each: JsonObject) -> JsonObject:
    return {"Key": str(each.get("Key"))}
