"""The template of a configuration as tests read it, and as SAM translates it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from deploy.aws import sam, template as aws_template
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at, value_at
from tests.unit.topology.configured import topology

CODE: Final = dict.fromkeys(("receive", "transform", "notify", "subscribe", "audit"), "0123456789abcdef")


def text(needs: Topology | None = None) -> str:
    return aws_template.template(needs or topology(), CODE)


def template(needs: Topology | None = None) -> JsonObject:
    return aws_template.read_template(text(needs))


def tool_or_skip(name: str) -> str:
    path = sam.TOOLS / name
    if not path.exists():
        pytest.skip(f"{name} is not installed: make sam")
    return str(path)


@dataclass(frozen=True)
class Stack:
    """A template's resources, by their names in it."""

    resources: dict[str, JsonObject]

    def of_kind(self, kind: str) -> dict[str, JsonObject]:
        """The properties of the resources of a kind."""
        found = {name: each for name, each in sorted(self.resources.items()) if each["Type"] == f"AWS::{kind}"}
        return {name: mapping_at(each, "Properties") for name, each in found.items()}

    def statements(self, role: str) -> list[JsonObject]:
        policies = objects_at(self.resources[role], "Properties", "Policies")
        return [each for policy in policies for each in objects(value_at(policy, "PolicyDocument", "Statement"))]

    def rights(self, role: str) -> set[tuple[str, str]]:
        """Each action with each resource, as `sqs:SendMessage`, `EventsQueue`."""
        allowed: set[tuple[str, str]] = set()
        for each in self.statements(role):
            assert each["Effect"] == "Allow"
            assert each.keys() <= {"Effect", "Action", "Resource", "Condition"}
            allowed |= {(action, named(on)) for action in texts(each["Action"]) for on in listed(each["Resource"])}
        return allowed


def stack_of(document: JsonObject) -> Stack:
    return Stack(mappings_at(document, "Resources"))


def translated() -> JsonObject:
    tool_or_skip("python")
    document: JsonObject = json.loads(sam.translated(text()))
    return document


def listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def texts(value: Json) -> list[str]:
    return [str(each) for each in listed(value)]


def objects(value: Json) -> list[JsonObject]:
    return [each for each in listed(value) if isinstance(each, dict)]


def inside(value: Json, *path: str) -> Json:
    for key in path:
        assert isinstance(value, dict)
        value = value[key]
    return value


def whole(value: Json) -> int:
    assert isinstance(value, int)
    return value


def named(value: Json) -> str:
    """The resource that an ARN or a reference is of; for another text, the text."""
    if not isinstance(value, dict):
        return str(value)
    [(function, argument)] = value.items()
    if function == "Fn::GetAtt":
        return texts(argument)[0]
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", str(argument))


def walk(value: Json) -> Iterator[JsonObject]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)
