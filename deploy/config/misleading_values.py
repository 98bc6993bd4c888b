"""Find the values in the operator's file that YAML probably reads otherwise than they were meant."""

import re
from collections.abc import Iterator
from typing import Final

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, Unquoted

_TEMPLATE_IN_COMMENT: Final = re.compile(r"\s+#(?: |\S*)\{\{")
"""What follows the value `Order` in `Order #{{ data.number }}`. A comment with other words before the braces is
intended."""
_OBVIOUS_LITERAL: Final = re.compile(
    r"""
    true | false | null | ~
    | [-+]? (?: 0 | [1-9][0-9]* ) (?: \.[0-9]* )? (?: e[-+]?[0-9]+ )?  # 7, -0.5 and 1e3, but not 0777, which is octal
    | [-+]? \.[0-9]+ (?: e[-+]?[0-9]+ )?                               # .5
    | [-+]? \.inf | \.nan
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""The spellings that YAML and every reader take for the same truth value, null or number."""
_SWITCHES: Final = frozenset({"breaker", "tls"})
"""The settings of a destination that may be `off`, which YAML reads as false."""
_DATA: Final = frozenset({"tests", "chains", "steps", "examples"})
"""The keys of the parts of the file in which null may be a value of an event."""


def misleading_values(file: ConfigFile) -> Iterator[Fault]:
    """Yield a warning for each value that ends before ` #` and a template, is missing, or looks like text and is not.

    The last are truth values and numbers of YAML 1.1 that look like a word, a time or a code: `no`, `12:30`, `0777`.
    """
    for path, value in file.unquoted.items():
        if _TEMPLATE_IN_COMMENT.match(value.comment):
            rule = "ends before ` #`, and the rest is a comment: put the whole value in quotes"
            yield Fault(value.end_line, "a value", rule)
        rule = _reading_rule(path, value)
        if rule:
            yield Fault(file.line(path), ".".join(map(str, path)), rule)


def _reading_rule(path: DocumentPath, value: Unquoted) -> str:
    """Return the rule for a missing value, or for one that looks like text and is not; empty for any other."""
    written = value.written
    if value.is_text or _OBVIOUS_LITERAL.fullmatch(written):
        return ""
    if not written:
        is_left_out = _DATA.isdisjoint(path)
        return "has no value, so it counts as left out: write a value, or take it out" if is_left_out else ""
    if written.lower() == "off" and not _SWITCHES.isdisjoint(path[-1:]):
        return ""
    read = value.as_json()
    return f"{written} is read as {read}: put it in quotes, or write {read}"
