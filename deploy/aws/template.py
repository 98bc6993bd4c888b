"""The SAM template of a topology: what a configuration needs on AWS, readable as if written by hand."""

from collections.abc import Mapping
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources.functions import (
    RESERVE,
    RUNTIME,
    functions,
    reserved_parameter,
    reserves,
    size_parameters,
    variable_parameter,
)
from deploy.aws.resources.monitoring import HAS_ADDRESS, HAS_ALARMS, monitoring
from deploy.aws.resources.queues import bus_sources, queues
from deploy.aws.resources.stores import stores
from deploy.aws.stack_changes import CODE
from deploy.aws.yaml_text import Fields, Node, Tag, get_att, ref
from deploy.cloud_access.aws_names import DEFAULT_STACK, STACK_TAG
from deploy.topology.functions import Function
from deploy.topology.topology import Topology

HEADER: Final = """\
# Hookchain on AWS. `hookchain plan-aws` writes this file from the configuration, so change the configuration instead.
"""
ARCHITECTURES: Final = ("arm64", "x86_64")
"""The default is first: it costs less a second."""
SWITCH: Final = ("on", "off")
LOG_DAYS: Final = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365)
"""Retentions that CloudWatch Logs accepts."""


def template(topology: Topology, code: Mapping[str, str], prefix: str = f"{DEFAULT_STACK}-") -> Fields:
    """Return the template. `code` are the digests of the functions' bundles, in the folders beside the template."""
    public = {each.name: each.function.url for each in topology.functions if each.function.is_public}
    conditions: dict[str, Node] = {
        HAS_ADDRESS: _is_set("EmailAddress", ""),
        HAS_ALARMS: Tag("Equals", [ref("Alarms"), SWITCH[0]]),
    }
    conditions |= {reserves(each.name): _reserves(each.function) for each in topology.functions}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Hookchain: receives webhooks, transforms them and notifies people and systems",
        "Metadata": {CODE: {each.name: code[each.name] for each in topology.functions}},
        "Parameters": _parameters(topology, prefix),
        "Conditions": conditions,
        "Globals": {
            "Function": {
                "Runtime": RUNTIME,
                "Architectures": [ref("Architecture")],
                "Environment": {
                    "Variables": {"HOOKCHAIN_PREFIX": ref("Prefix"), "HOOKCHAIN_BUCKET": ref(names.BUCKET)}
                },
                "Tags": {STACK_TAG: ref("Prefix")},
            }
        },
        "Resources": {
            **functions(topology),
            **queues(topology),
            **bus_sources(topology),
            **stores(topology),
            **monitoring(topology),
        },
        "Outputs": {
            f"{names.logical(name)}Url": {
                "Description": url,
                "Value": get_att(f"{names.function(name)}Url", "FunctionUrl"),
            }
            for name, url in public.items()
        },
    }


def parameter_defaults(topology: Topology, prefix: str) -> dict[str, str]:
    return {name: str(fields["Default"]) for name, fields in _parameters(topology, prefix).items()}


def _parameters(topology: Topology, prefix: str) -> dict[str, Fields]:
    variables = {variable: each for each in topology.functions for variable in each.function.variables}
    return {
        "Prefix": {
            "Type": "String",
            "Default": prefix,
            "Description": "The beginning of all names, so that an account can hold two deployments",
            "AllowedPattern": "[a-z](?:-?[a-z0-9]){2,27}-",
        },
        "Architecture": {
            "Type": "String",
            "Default": ARCHITECTURES[0],
            "Description": "The processors that the functions run on",
            "AllowedValues": ARCHITECTURES,
        },
        "EmailAddress": {
            "Type": "String",
            "Default": "",
            "Description": "The address that alarms are mailed to; empty: none",
        },
        "Alarms": {
            "Type": "String",
            "Default": SWITCH[0],
            "Description": "CloudWatch's alarms, of which each metric is charged",
            "AllowedValues": SWITCH,
        },
        RESERVE: {
            "Type": "String",
            "Default": SWITCH[0],
            "Description": "Reserve instances for functions that nobody else calls, where the account allows it",
            "AllowedValues": SWITCH,
        },
        **{
            variable_parameter(variable): {
                "Type": "String",
                "Default": needed.variables.get(variable, ""),
                "Description": f"{variable} of {needed.name}",
            }
            for variable, needed in variables.items()
        },
        "LogDays": {
            "Type": "Number",
            "Default": 30,
            "Description": "The days that logs are kept",
            "AllowedValues": LOG_DAYS,
        },
        **{key: value for each in topology.functions for key, value in size_parameters(each).items()},
    }


def _reserves(function: Function) -> Tag:
    is_set = _is_set(reserved_parameter(function), 0)
    return is_set if function.is_public else Tag("And", [Tag("Equals", [ref(RESERVE), SWITCH[0]]), is_set])


def _is_set(parameter: str, empty: Node) -> Tag:
    return Tag("Not", [Tag("Equals", [ref(parameter), empty])])
