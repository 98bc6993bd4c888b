"""The text for a file that is not YAML. libyaml names the token that it expected, which helps few readers."""

import re
from typing import Final

import yaml

_QUOTED: Final = "Put the whole value in quotes."
_BRACES: Final = "a value that begins with '{{' must be in quotes."
_TEMPLATE: Final = re.compile(r"(?:^|[\s:,\[])\{\{")
_SECOND_COLON: Final = "mapping values are not allowed in this context"
_WORDS: Final = {
    "found unknown escape character": "in double quotes, a backslash begins an escape. Use single quotes.",
    "did not find expected '-' indicator": "this line is in a list, and does not begin with '- '.",
    "block sequence entries are not allowed in this context": (
        "a list must begin on a line of its own, or be written as [a, b]."
    ),
}


def syntax_rule(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return what is wrong at the error's mark, and what to do; libyaml's own words for an unusual fault."""
    problem, mark = error.problem or "cannot be parsed", error.problem_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    column = mark.column if mark else 0
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line. Use spaces."
    if problem in _WORDS:
        return _WORDS[problem]
    if problem == "found character that cannot start any token" and line[column:]:
        return f"a value cannot begin with {line[column]!r}. {_QUOTED}"
    if problem.startswith("found undefined alias"):
        name = problem.partition("'")[2].rstrip("'")
        return f"there is no anchor '&{name}'. Put a value that begins with '*' in quotes."
    if "alias" in f"{error.context}" and line[column - 1 : column] == "*":
        return f"a value cannot begin with '*'. {_QUOTED}"
    read = line[:column] if problem == _SECOND_COLON else line
    if _TEMPLATE.search(_unquoted(read)) and error.context != "while scanning a quoted scalar":
        return _BRACES
    return _structure_rule(error, problem, lines, line, column)


def _structure_rule(error: yaml.MarkedYAMLError, problem: str, lines: list[str], line: str, column: int) -> str:
    start = error.context_mark.line + 1 if error.context_mark else 0
    if problem == _SECOND_COLON:
        return _colon_rule(lines, error.problem_mark.line if error.problem_mark else 0, line, column)
    if problem == "found unexpected end of stream":
        return f"the quotation mark of line {start} is not closed."
    if problem.startswith("did not find expected ',' or '"):
        bracket = "{" if problem.endswith("'}'") else "["
        return f"the '{bracket}' of line {start} is not closed before this, or a ',' is missing."
    if problem == "did not find expected key":
        if line[:column].strip():
            return "something follows the value. In single quotes, write '' for an apostrophe."
        return "this line is indented like no line above it. Indent it like the keys beside it."
    if problem == "did not find expected <document start>":
        return "the line above ends what the file began with. Begin each key at the top in the first column."
    return problem


def _colon_rule(lines: list[str], number: int, line: str, column: int) -> str:
    if ":" in line[:column]:
        return "there is a second ': ' here. Put a value that has ': ' in it in quotes."
    above = next((each for each in reversed(lines[:number]) if each.strip() and not each.lstrip().startswith("#")), "")
    if re.search(r":\s", f"{above}\n"):
        return "this line is indented too far. Indent it like the keys beside it."
    return "the line above has no ':' and a space after its key."


def _unquoted(line: str) -> str:
    return re.sub(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'", "", line)
