"""Parsing XML in a test: the value, or the code of its rejection."""

from shared.limits import DEFAULT, Limits
from tests.unit.shared import format_outcomes

XML = "application/xml"


def rejection(body: str | bytes, limits: Limits = DEFAULT) -> str:
    return format_outcomes.rejection(body, XML, limits)
