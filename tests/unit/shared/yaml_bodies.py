"""Helpers of test_formats_yaml and test_formats_yaml_limits."""

from shared.jsontext import Json
from shared.limits import DEFAULT, Limits
from tests.unit.shared import format_outcomes

YAML = "application/yaml"


def parsed(body: str | bytes, limits: Limits = DEFAULT) -> Json:
    return format_outcomes.parsed(body, YAML, limits)


def rejection(body: str | bytes, limits: Limits = DEFAULT) -> str:
    return format_outcomes.rejection(body, YAML, limits)
