"""An expression in a step's settings: text that is checked when the configuration is."""

from typing import Annotated

from pydantic import AfterValidator

from shared.expressions import Expression


def _expression(text: str) -> str:
    Expression(text)
    return text


ExpressionText = Annotated[str, AfterValidator(_expression)]
