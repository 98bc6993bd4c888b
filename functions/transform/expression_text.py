"""Expressions over an event, in a step's settings and in a route's `where`: checked when the configuration is."""

from typing import Annotated

from pydantic import AfterValidator

from shared.event import NAMES
from shared.expressions import Expression


def over_event(text: str) -> Expression:
    """Raises ExpressionFault."""
    return Expression(text, NAMES)


def _checked(text: str) -> str:
    over_event(text)
    return text


ExpressionText = Annotated[str, AfterValidator(_checked)]
