"""Parsing JSON in a test: the value, or the code of its rejection."""

from shared.jsontext import Json
from shared.limits import DEFAULT, Limits
from tests.unit.shared import format_outcomes


def parsed(body: str | bytes, limits: Limits = DEFAULT) -> Json:
    return format_outcomes.parsed(body, "application/json", limits)


def rejection(body: str | bytes, limits: Limits = DEFAULT) -> str:
    return format_outcomes.rejection(body, "application/json", limits)
