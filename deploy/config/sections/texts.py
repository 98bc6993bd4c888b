"""Texts of the configuration that must have a form, which a pattern describes."""

import re

from pydantic import AfterValidator


def fitting(pattern: str | re.Pattern[str], rule: str) -> AfterValidator:
    """Return a validator that accepts a text if all of it matches the pattern. The fault is `must be` and `rule`."""

    def verify(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {rule}")
        return text

    return AfterValidator(verify)
