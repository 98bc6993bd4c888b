"""The difference between a configuration and the deployed stack: of the template, of its parameters, and drift."""

import time
from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources.functions import PUBLIC_AUTH_TYPE, reserved_parameter
from deploy.aws.resources.stores import CREATE_REQUESTS
from deploy.aws.template import read_template
from deploy.cloud_access import aws, aws_names
from deploy.terminal.command_line import CommandError
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, to_json, value_at

METADATA: Final = "Metadata"
CODE: Final = "CodeDigests"
"""The metadata of the functions' bundles, so that another code is another template."""
EARLIER_CODE: Final = "EarlierCode"
"""The metadata with the note for a rollback: by function, the digest and the place of the code that was replaced."""
_DIGEST: Final = "Digest"
_PLACE: Final = "CodeUri"

SERVICE: Final = "cloudformation"

WAIT_SECONDS: Final = 300.0
"""How long CloudFormation may take to compare the stack with what exists."""

POLL_SECONDS: Final = 2.0

SECTIONS: Final = ("Metadata", "Parameters", "Conditions", "Globals", "Resources", "Outputs")

IGNORED: Final = frozenset({"CodeUri", "Default", "Metadata"})
"""Keys of entries that SAM adds or replaces, and the defaults of parameters, whose values are compared instead."""

MAX_VALUE: Final = 80
"""The most characters of a value that a line shows."""


def deployed_template(api: aws.AwsApi, stack: str) -> JsonObject:
    """Return the template that the stack was deployed with, before SAM's transform. Raises AwsFault."""
    body = api.call(SERVICE, "get_template", StackName=stack, TemplateStage="Original").get("TemplateBody")
    return body if isinstance(body, dict) else read_template(str(body))


def changed_entries(deployed: JsonObject, planned: JsonObject) -> Iterator[str]:
    """Yield a line for each entry of the template that is to change, and one for each of its differences."""
    for section in SECTIONS:
        old, new = mapping_at(deployed, section), mapping_at(planned, section)
        for name in [*new, *(name for name in old if name not in new)]:
            if name == EARLIER_CODE:  # a note for a rollback
                continue
            title = f"{section.removesuffix('s').lower()} {name}"
            if name not in old:
                yield f"create {title}"
            elif name not in new:
                yield f"delete {title}"
            elif differences := list(_differences(old[name], new[name])):
                yield f"update {title}"
                yield from (f"  {each}" for each in differences)


def changed_values(deployed: Mapping[str, str], planned: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each parameter that both have, if its value is to change.

    A parameter of only one of them is an entry of the template that is created or deleted.
    """
    for name, value in planned.items():
        if name in deployed and deployed[name] != value:
            yield f"update parameter {name}: {_change(deployed[name], value)}"


def drift(api: aws.AwsApi, stack: str) -> Iterator[str]:
    """Yield a line for each resource that was changed or deleted by hand, and one for each of its differences.

    CloudFormation cannot compare every kind of resource. Raises AwsFault and CommandError.
    """
    detection = api.call(SERVICE, "detect_stack_drift", StackName=stack).get("StackDriftDetectionId")
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        found = api.call(SERVICE, "describe_stack_drift_detection_status", StackDriftDetectionId=detection)
        if found.get("DetectionStatus") != "DETECTION_IN_PROGRESS":
            break
        if time.monotonic() > give_up_at:
            raise CommandError(f"stack {stack}: CloudFormation has not compared it after {WAIT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    changed: list[Json] = ["MODIFIED", "DELETED"]
    arguments: dict[str, Json] = {"StackName": stack, "StackResourceDriftStatusFilters": changed}
    for page in api.pages(SERVICE, "describe_stack_resource_drifts", "NextToken", **arguments):
        for each in objects_at(page, "StackResourceDrifts"):
            status = str(each.get("StackResourceDriftStatus")).lower()
            yield f"{status} by hand: {each.get('LogicalResourceId')} ({each.get('PhysicalResourceId')})"
            for one in objects_at(each, "PropertyDifferences"):
                path = str(one.get("PropertyPath")).strip("/").replace("/", ".")
                yield f"  {path}: {_change(one.get('ExpectedValue'), one.get('ActualValue'))}"


def undetected_drift(api: aws.AwsApi, topology: Topology, prefix: str, parameters: Mapping[str, str]) -> Iterator[str]:
    """Yield lines as `drift` does, for what CloudFormation does not tell: a function's URL, its reserved instances if
    the template sets none, and a table's expiry. `parameters` are the parameters of the deployed stack. Raises
    AwsFault."""
    for each in topology.functions:
        function = aws_names.function(prefix, each.name)
        if each.function.is_public:
            url = api.find("lambda", "get_function_url_config", FunctionName=function)
            where = f"{names.function(each.name)}Url ({function})"
            if url is None:
                yield f"deleted by hand: {where}"
            elif url.get("AuthType") != PUBLIC_AUTH_TYPE:
                yield f"modified by hand: {where}"
                yield f"  AuthType: {_change(PUBLIC_AUTH_TYPE, url.get('AuthType'))}"
        concurrency = api.find("lambda", "get_function_concurrency", FunctionName=function) or {}
        found = concurrency.get("ReservedConcurrentExecutions")
        if found is not None and parameters.get(reserved_parameter(each.function), "0") == "0":
            yield f"modified by hand: {names.function(each.name)} ({function})"
            yield f"  ReservedConcurrentExecutions: {_change(None, found)}"
    for name in CREATE_REQUESTS:
        table = aws_names.table(prefix, name)
        expiry = api.find("dynamodb", "describe_time_to_live", TableName=table)
        status = value_at(expiry, "TimeToLiveDescription", "TimeToLiveStatus")
        if expiry is not None and status not in ("ENABLED", "ENABLING"):
            yield f"modified by hand: {names.table(name)} ({table})"
            yield f"  TimeToLiveSpecification.Enabled: {_change(True, False)}"


def uncompared_types(api: aws.AwsApi, stack: str) -> list[str]:
    """Return the types of the stack's resources that CloudFormation has not compared. Raises AwsFault."""
    found: set[str] = set()
    for page in api.pages(SERVICE, "list_stack_resources", "NextToken", StackName=stack):
        for each in objects_at(page, "StackResourceSummaries"):
            if value_at(each, "DriftInformation", "StackResourceDriftStatus") == "NOT_CHECKED":
                found.add(str(each.get("ResourceType")))
    return sorted(found)


def earlier_code(deployed: JsonObject, digests: Mapping[str, str]) -> JsonObject:
    """Return the note for a template whose bundles have these digests. `deployed` is the stack's template.

    If no code changes, the note of the deployed template stays.
    """
    metadata = mapping_at(deployed, METADATA)
    old = mapping_at(metadata, CODE)
    changed = [name for name, digest in digests.items() if name in old and old[name] != digest]
    if not changed:
        return mapping_at(metadata, EARLIER_CODE)
    places = {name: _properties(deployed, name).get(_PLACE) for name in changed}
    return {name: {_DIGEST: old[name], _PLACE: place} for name, place in places.items() if isinstance(place, str)}


def with_earlier_code(deployed: JsonObject, functions: Collection[str]) -> tuple[JsonObject, list[str]]:
    """Return the stack's template with the earlier code, and the functions that get it.

    `functions` are those to roll back; none stands for all. A function whose earlier code is not noted is left out.
    """
    metadata = mapping_at(deployed, METADATA)
    noted = mapping_at(metadata, EARLIER_CODE)
    chosen = [name for name in noted if not functions or name in functions]
    resources = dict(mapping_at(deployed, "Resources"))
    digests = dict(mapping_at(metadata, CODE))
    for name in chosen:
        earlier = mapping_at(noted, name)
        entry = mapping_at(resources, names.function(name))
        place: JsonObject = {_PLACE: earlier.get(_PLACE)}
        resources[names.function(name)] = {**entry, "Properties": {**mapping_at(entry, "Properties"), **place}}
        digests[name] = earlier.get(_DIGEST)
    left: JsonObject = {name: each for name, each in noted.items() if name not in chosen}
    return {
        **deployed,
        METADATA: {**metadata, CODE: digests, EARLIER_CODE: left},
        "Resources": resources,
    }, chosen


def _properties(template: JsonObject, function: str) -> JsonObject:
    entry = mapping_at(template, "Resources", names.function(function))
    return mapping_at(entry, "Properties")


def _differences(old: Json, new: Json, path: str = "") -> Iterator[str]:
    """Yield a line for each value that differs, with its path. Lists of different lengths differ as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            if key not in IGNORED:
                yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{path}[{number}]")
    elif old != new:
        yield f"{path}: {_change(old, new)}"


def _change(old: Json, new: Json) -> str:
    """Return `old → new`. Long values begin shortly before their first difference."""
    before, after = _text(old), _text(new)
    start = 0
    if max(len(before), len(after)) > MAX_VALUE:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
        start = max(0, len(list(same)) - MAX_VALUE // 4)
    return f"{_cut(before, start)} → {_cut(after, start)}"


def _text(value: Json) -> str:
    return "none" if value is None else value if isinstance(value, str) and value else to_json(value)


def _cut(text: str, start: int) -> str:
    rest = text[start:]
    return f"{'…' if start else ''}{rest[:MAX_VALUE]}{'…' if len(rest) > MAX_VALUE else ''}"
