"""Warnings about lines of `.env` that can be read, but whose value is probably not the intended one.

For example, the value in the line `SHOP_KEY=k7mQ #2x9` ends before ` #`. No warning contains a value.
"""

import re
from collections.abc import Iterator, Mapping, Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple

from deploy.config.dotenv import dotenv_entries, read_text

_COMMENT: Final = re.compile(r"[^'\"].*?\s#(.*)")
"""A value without quotes, and the comment after it."""
_COMMENT_OF_COMMAND: Final = re.compile(r" set \d{4}-\d{2}-\d{2}")
"""The comment that `hookchain secrets set` writes: ` set 2026-11-30`."""
_SCHEME: Final = re.compile(r"(Bearer|Basic) ", re.IGNORECASE)
"""The beginning of an Authorization header, which is easily copied together with the token."""
_UNUSUAL: Final = {
    # “k7mQ”
    re.compile(r"[“”„‟‘’‚‛«»].*"): (
        "the value begins with a typographic quotation mark. Write ' or \" around a value, or nothing"
    ),
    # $SHOP_KEY, ${SHOP_KEY}, $(cat key)x or `cat key`
    re.compile(r"\$\{?[A-Za-z_]\w*\}?|.*\$\(.+\).*|`.*`"): (
        "a variable or command in the value is not replaced, as it is in a shell. Write the value itself"
    ),
    re.compile(r"<[^<>]+>"): "the value is in angle brackets, as a placeholder is. Write the value itself",
    re.compile(r".+;"): "the value ends in `;`. Remove it, unless it belongs to the value",
}
"""The forms of values that are seldom intended, each with its warning. A value gets only the first one."""


class DotenvWarning(NamedTuple):
    """A warning about a variable in .env."""

    variable: str
    text: str


def dotenv_warnings(path: Path, shell: Mapping[str, str], secrets: AbstractSet[str]) -> Iterator[DotenvWarning]:
    """Yield a warning for each line that is seldom intended, and for each secret that the shell overrides.

    `secrets` are the variables of the secrets that the configuration names. Raises DotenvFault.
    """
    entries = list(dotenv_entries(read_text(path), str(path)))
    last = {entry.name: entry for entry in entries}
    for entry in entries:
        name, used = entry.name, last[entry.name]
        place = f"{path}:{entry.lines.start + 1}: {name}"
        if entry.value != used.value:
            line = used.lines.start + 1
            yield DotenvWarning(name, f"{place} has another value in line {line}: that of line {line} is used")
        for text in _value_warnings(name, entry.value, entry.written):
            yield DotenvWarning(name, f"{place}: {text}")
    for name in sorted(secrets & last.keys() & shell.keys()):
        if shell[name] != last[name].value:
            yield DotenvWarning(name, f"{name}: the shell's value is used, and {path.name} has another one")


def _value_warnings(name: str, value: str, written: str) -> Iterator[str]:
    """Yield a text for each reason to doubt the value. `written` is the value with its quotes and comment."""
    comment = _COMMENT.match(written)
    if comment and not _COMMENT_OF_COMMAND.fullmatch(comment[1]):
        advice = "If it belongs to the value, put both in quotes; if not, the value alone"
        yield f"the rest after ` #` is read as a comment. {advice}"
    if value.startswith(f"{name}="):
        yield f"the value begins with `{name}=`: write the name once"
    if unusual := next((text for form, text in _UNUSUAL.items() if form.fullmatch(value)), None):
        yield unusual
    if scheme := _SCHEME.match(value):
        advice = "Write only what is after it, unless the secret is a header's whole value"
        yield f"the value begins with `{scheme[1]} `. {advice}"
