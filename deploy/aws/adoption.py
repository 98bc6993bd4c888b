"""Tables and a bucket that outlived a stack, taken into the next stack of that name before it is deployed.

CloudFormation creates no table whose name is taken, and the SAM CLI has no option to import one. So a change set with
the existing resources alone creates the stack, and `sam deploy` updates it.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.amazon import names as amazon
from deploy.amazon.api import AwsApi
from deploy.amazon.names import STACK_TAG
from deploy.amazon.stack import objects
from deploy.amazon.target import StackTarget
from deploy.aws import template_names as names
from deploy.aws.removal import Remaining
from deploy.aws.resources.stores import stores
from deploy.aws.store_tables import CREATE_REQUESTS
from deploy.aws.yaml_text import Fields, Node, to_yaml
from deploy.terminal.command_line import CommandError
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject

SERVICE: Final = "cloudformation"
CHANGE_SET: Final = "hookchain-adopt"
WAIT_SECONDS: Final = 600.0
POLL_SECONDS: Final = 1.0


def indexes_of(api: AwsApi, tables: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the names of each table's indexes. Raises AwsFault."""
    found: dict[str, frozenset[str]] = {}
    for name in tables:
        described = api.call("dynamodb", "describe_table", TableName=name).get("Table")
        listed = objects(described.get("GlobalSecondaryIndexes")) if isinstance(described, dict) else []
        found[name] = frozenset(str(each.get("IndexName")) for each in listed)
    return found


def adoption_template(
    topology: Topology, prefix: str, remaining: Remaining, indexes: Mapping[str, frozenset[str]]
) -> str:
    """Return a template of the stores that exist. CloudFormation imports only what has its name written out.

    Their DeletionPolicy is Retain, so that a failure deletes none. CloudFormation does not look at what it imports: an
    index that a table does not have yet is left out here, so that the deployment that follows adds it.
    """
    logical = {amazon.table(prefix, name): names.table(name) for name in amazon.TABLES}
    existing: dict[str, Fields] = {
        logical[table]: {"TableName": table, **_keys(CREATE_REQUESTS[each], indexes[table])}
        for each, table in ((name, amazon.table(prefix, name)) for name in amazon.TABLES)
        if table in remaining.tables
    }
    if remaining.buckets:
        existing[names.BUCKET] = {"BucketName": remaining.buckets[0]}
    declared = stores(topology)
    resources: dict[str, Node] = {name: _named(declared[name], own) for name, own in existing.items()}
    parameters: Fields = {"Prefix": {"Type": "String", "Default": prefix}}
    return to_yaml({"AWSTemplateFormatVersion": "2010-09-09", "Parameters": parameters, "Resources": resources})


def _keys(request: Fields, indexes: frozenset[str]) -> Fields:
    """Return a table's indexes, of those that it has, and the attributes of its keys and theirs."""
    wanted = request.get("GlobalSecondaryIndexes", ())
    assert isinstance(wanted, Sequence)
    kept = [each for each in wanted if isinstance(each, Mapping) and each["IndexName"] in indexes]
    keys = [
        each for schema in (request["KeySchema"], *(each["KeySchema"] for each in kept)) for each in _listed(schema)
    ]
    names = {each["AttributeName"] for each in keys}
    attributes = [each for each in _listed(request["AttributeDefinitions"]) if each["AttributeName"] in names]
    return {"AttributeDefinitions": attributes, **({"GlobalSecondaryIndexes": kept} if wanted else {})}


def _listed(value: Node) -> list[Fields]:
    assert isinstance(value, Sequence)
    return [each for each in value if isinstance(each, Mapping)]


def _named(resource: Node, own: Fields) -> Fields:
    properties = resource["Properties"] if isinstance(resource, Mapping) else {}
    declared = properties if isinstance(properties, Mapping) else {}
    kind = resource["Type"] if isinstance(resource, Mapping) else None
    return {
        "Type": kind,
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {**declared, **own},
    }


def adopt(api: AwsApi, target: StackTarget, template: str) -> None:
    """Create the stack with what exists. Raises CommandError and AwsFault."""
    named = {"StackName": target.stack, "ChangeSetName": CHANGE_SET}
    tags: list[Json] = [{"Key": STACK_TAG, "Value": target.prefix}]
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
    """Raises CommandError if it fails, or takes too long."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        found = _first(api.call(SERVICE, operation, **arguments))
        status = str(found.get(field))
        if status in ends:
            return
        if status.endswith(("FAILED", "ROLLBACK_COMPLETE")) or time.monotonic() > give_up_at:
            reason = found.get(f"{field}Reason") or status
            stack = arguments["StackName"]
            raise CommandError(
                f"stack {stack}: cannot take in the tables and the bucket that an earlier one left: {reason}. "
                "Remove them with `make destroy-aws ALL=1`, if nothing in them is needed"
            )
        time.sleep(POLL_SECONDS)


def _first(answer: JsonObject) -> JsonObject:
    stacks = answer.get("Stacks")
    first = stacks[0] if isinstance(stacks, list) and stacks else answer
    return first if isinstance(first, dict) else {}
