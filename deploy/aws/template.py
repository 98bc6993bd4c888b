"""The SAM template of a topology, made from template.yaml.j2 and read back: what a configuration needs on AWS."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import jinja2
import yaml

from deploy.aws import template_names as names
from deploy.aws.resources import functions, monitoring, policies, queues, stores
from deploy.cloud_access.aws_names import DEFAULT_STACK
from deploy.terminal.command_line import CommandError
from deploy.topology.topology import MOST_TRIES, Topology
from shared.jsontext import Json, JsonObject, mapping_at

FILE: Final = Path(__file__).with_name("template.yaml.j2")


def template(
    topology: Topology, code: Mapping[str, str], prefix: str = f"{DEFAULT_STACK}-", earlier_code: Json = None
) -> str:
    """Return the template. `code` are the digests of the functions' bundles, in the folders beside the template.

    `earlier_code` is the note of the code that the deployment replaces.
    """
    environment = jinja2.Environment(  # noqa: S701 the template is not HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"flow": flow, "short": short, "json": json.dumps}
    modules = {each.__name__.rpartition(".")[2]: each for each in (functions, monitoring, policies, queues, stores)}
    made = environment.from_string(FILE.read_text(encoding="utf-8"))
    return made.render(
        modules,
        names=names,
        several=several,
        MOST_TRIES=MOST_TRIES,
        topology=topology,
        code=code,
        prefix=prefix,
        earlier_code=earlier_code,
    )


def document_of(topology: Topology, prefix: str) -> JsonObject:
    """Return the template as a parser reads it, without the functions' code."""
    return read_template(template(topology, {each.name: "" for each in topology.functions}, prefix))


def parameter_defaults(topology: Topology, prefix: str) -> dict[str, str]:
    """Return the default of each of the template's parameters, by name."""
    parameters = mapping_at(document_of(topology, prefix), "Parameters")
    return {name: str(mapping_at(fields)["Default"]) for name, fields in parameters.items()}


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: a value that occurs twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 the library's
        return True


def flow(value: Json) -> str:
    """Return the value as YAML on one line."""
    # A text alone would end with the line `...`.
    text: str = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, width=math.inf, sort_keys=False)
    return text.strip()[1:-1]


def short(value: Json) -> str:
    """Return the value as YAML on one line, with the short tag of a function of CloudFormation: `!GetAtt Blobs.Arn`."""
    match value:
        case {"Fn::GetAtt": [name, attribute]}:
            return f"!GetAtt {name}.{attribute}"
        case {"Fn::Sub": text}:
            return f"!Sub {flow(text)}"
        case {"Ref": name}:
            return f"!Ref {name}"
        case _:
            return flow(value)


def several(values: Sequence[Json], indent: int) -> str:
    """Return what stands after a key: the only value, or a line for each of several."""
    if len(values) == 1:
        return f" {short(values[0])}"
    return "".join(f"\n{' ' * indent}- {short(each)}" for each in values)


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short tags, which it reads as their long forms."""


def read_template(text: str) -> JsonObject:
    return mapping_at(yaml.load(text, _Loader))  # noqa: S506 a loader of plain values


def _long_form(loader: _Loader, name: str, node: yaml.Node) -> Json:
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = str(loader.construct_scalar(node))
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise CommandError(f"!{name}: must have a text or a list")
    if name == "GetAtt":
        value = list[Json](str(value).split(".", 1)) if isinstance(value, str) else value
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


yaml.add_multi_constructor("!", _long_form, Loader=_Loader)
