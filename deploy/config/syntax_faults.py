"""The faults of syntax in a YAML file, in words for the people who wrote it.

libyaml says what it expected. Here, each of its common problems has the probable cause in the line, and what to do.
"""

import re
from dataclasses import dataclass
from typing import Final

import yaml

_QUOTED: Final = "Put the whole value in quotes."
_BRACES: Final = "a value that begins with '{{' must be in quotes."
_BRACES_AT_START: Final = re.compile(r"(?:^|[\s:,\[])\{\{")
_SECOND_COLON: Final = "mapping values are not allowed in this context"
_RULES: Final = {
    "found unknown escape character": "in double quotes, a backslash begins an escape. Use single quotes.",
    "did not find expected '-' indicator": "this line is in a list, and does not begin with '- '.",
    "block sequence entries are not allowed in this context": (
        "a list must begin on a line of its own, or be written as [a, b]."
    ),
}
"""The rules for the problems that have one cause only, in libyaml's words."""


@dataclass(frozen=True, slots=True)
class _SyntaxFault:
    """A fault as libyaml reports it.

    problem     the fault, in libyaml's words
    context     what libyaml was reading, in its words
    start_line  the line in which that begins, from 1; 0 if libyaml does not say it
    above       the lines before the fault's
    line        the line with the fault; empty at the end of the file
    column      the fault's position in the line, from 0
    """

    problem: str
    context: str
    start_line: int
    above: list[str]
    line: str
    column: int

    @property
    def text_before(self) -> str:
        return self.line[: self.column]


def syntax_rule(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return the fault at the error's mark with advice, or libyaml's own words if the fault is an unusual one."""
    mark, start = error.problem_mark, error.context_mark
    lines = text.splitlines()
    number = mark.line if mark else 0
    fault = _SyntaxFault(
        problem=error.problem or "cannot be parsed",
        context=error.context or "",
        start_line=start.line + 1 if start else 0,
        above=lines[:number],
        line=lines[number] if mark and number < len(lines) else "",
        column=mark.column if mark else 0,
    )
    return _line_rule(fault) or _structure_rule(fault) or fault.problem


def _line_rule(fault: _SyntaxFault) -> str:
    """Return the rule for what the line alone shows; empty if it does not show the cause."""
    line, column = fault.line, fault.column
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line. Use spaces."
    if fault.problem in _RULES:
        return _RULES[fault.problem]
    if fault.problem == "found character that cannot start any token" and line[column:]:
        return f"a value cannot begin with {line[column]!r}. {_QUOTED}"
    if fault.problem.startswith("found undefined alias"):
        name = fault.problem.partition("'")[2].rstrip("'")
        return f"there is no anchor '&{name}'. Put a value that begins with '*' in quotes."
    if "alias" in fault.context and line[column - 1 : column] == "*":
        return f"a value cannot begin with '*'. {_QUOTED}"
    read = fault.text_before if fault.problem == _SECOND_COLON else line
    if _BRACES_AT_START.search(_unquoted(read)) and fault.context != "while scanning a quoted scalar":
        return _BRACES
    return ""


def _structure_rule(fault: _SyntaxFault) -> str:
    """Return the rule for what follows from the lines around; empty for an unusual fault."""
    problem = fault.problem
    if problem == _SECOND_COLON:
        return _colon_rule(fault)
    if problem == "found unexpected end of stream":
        return f"the quotation mark of line {fault.start_line} is not closed."
    if problem.startswith("did not find expected ',' or '"):
        bracket = "{" if problem.endswith("'}'") else "["
        rule = f"the '{bracket}' of line {fault.start_line} is not closed before this, or a ',' is missing."
        return f"{rule} Put a value that has one of [ ] {{ }} , in it in quotes."
    if problem == "did not find expected key":
        if fault.text_before.strip():
            return "something follows the value. In single quotes, write '' for an apostrophe."
        return "this line is indented like no line above it. Indent it like the keys beside it."
    if problem == "did not find expected <document start>":
        return "the line above ends what the file began with. Begin each key at the top in the first column."
    return ""


def _colon_rule(fault: _SyntaxFault) -> str:
    if ":" in fault.text_before:
        return "there is a second ': ' here. Put a value that has ': ' in it in quotes."
    above = [each for each in fault.above if each.strip() and not each.lstrip().startswith("#")]
    if above and re.search(r":\s", f"{above[-1]}\n"):
        return "this line is indented too far. Indent it like the keys beside it."
    return "the line above has no ':' and a space after its key."


def _unquoted(line: str) -> str:
    return re.sub(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'", "", line)
