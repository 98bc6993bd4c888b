"""The adoption of what an earlier deployment left: a stack is created with the tables and the bucket that exist.

CloudFormation imports them in a change set of its own. The deployment that follows updates them like any other stack.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from deploy.aws import template_names
from deploy.aws.removal import Remaining
from deploy.aws.resources.stores import CREATE_REQUESTS
from deploy.aws.template import document_of
from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsApi
from deploy.terminal import command_line
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, to_json

SERVICE: Final = "cloudformation"
CHANGE_SET: Final = "hookchain-adopt"
WAIT_SECONDS: Final = 600.0
"""How long CloudFormation may take for one of the two steps of an adoption: making the change set, and running it."""
POLL_SECONDS: Final = 1.0
"""The time between two questions for the status of a step."""


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

    `indexes` are the names of the indexes that each table has, as `indexes_of` returns them. Their DeletionPolicy is
    Retain, so that a failure deletes no store. CloudFormation does not look at what it imports: an index that a table
    does not have yet is left out here, so that the deployment that follows adds it.
    """
    existing: dict[str, JsonObject] = {}
    for name in aws_names.TABLES:
        table = aws_names.table(prefix, name)
        if table in remaining.tables:
            own = {"TableName": table, **_keys(CREATE_REQUESTS[name], indexes[table])}
            existing[template_names.table(name)] = own
    if remaining.buckets:
        existing[template_names.BUCKET] = {"BucketName": remaining.buckets[0]}
    declared = mapping_at(document_of(topology, prefix), "Resources")
    resources: JsonObject = {name: _imported_store(mapping_at(declared, name), own) for name, own in existing.items()}
    parameters: JsonObject = {"Prefix": {"Type": "String", "Default": prefix}}
    return to_json({"AWSTemplateFormatVersion": "2010-09-09", "Parameters": parameters, "Resources": resources})


def _keys(request: JsonObject, indexes: frozenset[str]) -> JsonObject:
    """Return a table's indexes, of those that it has, and the attributes of its keys and theirs."""
    wanted = objects_at(request, "GlobalSecondaryIndexes")
    kept: list[Json] = [each for each in wanted if each["IndexName"] in indexes]
    keys = [key for each in (request, *kept) for key in objects_at(each, "KeySchema")]
    key_names = {each["AttributeName"] for each in keys}
    attributes: list[Json] = [
        each for each in objects_at(request, "AttributeDefinitions") if each["AttributeName"] in key_names
    ]
    own: JsonObject = {"AttributeDefinitions": attributes}
    if wanted:
        own["GlobalSecondaryIndexes"] = kept  # also if it is empty, in place of the template's
    return own


def _imported_store(resource: JsonObject, own: JsonObject) -> JsonObject:
    """Return the template's entry of a store that exists. `own` are its properties in place of the template's."""
    return {
        "Type": resource["Type"],
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {**mapping_at(resource, "Properties"), **own},
    }


def adopt(api: AwsApi, target: aws_names.StackTarget, template: str) -> None:
    """Create the stack with what exists: make a change set that imports it, and run that.

    Raises CommandError and AwsFault.
    """
    change_set = {"StackName": target.stack, "ChangeSetName": CHANGE_SET}
    tags: list[Json] = [{"Key": aws_names.STACK_TAG, "Value": target.prefix}]
    api.call(
        SERVICE,
        "create_change_set",
        **change_set,
        ChangeSetType="CREATE",
        ImportExistingResources=True,
        TemplateBody=template,
        Parameters=[{"ParameterKey": "Prefix", "ParameterValue": target.prefix}],
        Tags=tags,
    )
    _wait(api, "describe_change_set", change_set, "Status", {"CREATE_COMPLETE"})
    api.call(SERVICE, "execute_change_set", **change_set)
    _wait(api, "describe_stacks", {"StackName": target.stack}, "StackStatus", {"CREATE_COMPLETE", "IMPORT_COMPLETE"})


def _wait(
    api: AwsApi, operation: str, arguments: Mapping[str, str], status_field: str, done_statuses: Collection[str]
) -> None:
    """Wait until what `operation` describes has one of the statuses `done_statuses`.

    Raises AwsFault, and CommandError if the step fails or takes longer than WAIT_SECONDS.
    """
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        answer = api.call(SERVICE, operation, **arguments)
        described = next(iter(objects_at(answer, "Stacks")), answer)  # a change set is not in a list
        status = str(described.get(status_field))
        if status in done_statuses:
            return
        if status.endswith(("FAILED", "ROLLBACK_COMPLETE")) or time.monotonic() > give_up_at:
            reason = described.get(f"{status_field}Reason") or status
            stack = arguments["StackName"]
            raise command_line.CommandError(
                f"stack {stack}: cannot take in the tables and the bucket that an earlier one left: {reason}. "
                "Remove them with `make destroy-aws ALL=1`, if nothing in them is needed"
            )
        time.sleep(POLL_SECONDS)
