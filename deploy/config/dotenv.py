"""The `.env` file: NAME=value lines, read and added to. A quoted value may span lines, as in a shell."""

# Not python-dotenv: it reads 443 of 2,000 random values differently from the POSIX shell for which they were quoted
# (it keeps \$ and \` in double quotes, and removes a backslash in single quotes), and skips faulty lines.
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_QUOTED: Final = {
    "'": re.compile(r"'([^']*)'\s*(?:#.*)?"),
    '"': re.compile(r'"((?:[^"\\]|\\[\s\S])*)"\s*(?:#.*)?'),
}
_OPEN: Final = {"'": re.compile(r"'[^']*"), '"': re.compile(r'"(?:[^"\\]|\\[\s\S])*\\?')}
_ESCAPE: Final = re.compile(r'\\(["\\nrt$`\n])')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\n": ""}
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")
PRIVATE_MODE: Final = 0o600


class DotenvFault(Exception):
    """A line that cannot be read. The text names the file and the line, never the value."""


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables; none if there is no file. Raises DotenvFault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise DotenvFault(f"{path} cannot be read: it is not UTF-8") from error
    except OSError as error:
        raise DotenvFault(f"{path} cannot be read: {error.strerror}") from error
    return parse_dotenv(text, str(path))


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable in the file. `lines` is the range of its lines, counted from 0."""

    name: str
    value: str
    lines: range


def parse_dotenv(text: str, file: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in dotenv_entries(text, file)}


def dotenv_entries(text: str, file: str) -> Iterator[Entry]:
    """Raises DotenvFault."""
    lines = text.split("\n")
    next_line = 0
    while next_line < len(lines):
        first, next_line = next_line, next_line + 1
        if not lines[first].strip() or lines[first].lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(lines[first])
        if match is None:
            raise DotenvFault(f"{file}:{first + 1}: a line must be NAME=value, or a comment after #")
        written = lines[first][match.start(2) :]
        while next_line < len(lines) and _is_open(written):
            written, next_line = f"{written}\n{lines[next_line]}", next_line + 1
        yield Entry(match[1], _value(written.rstrip(), f"{file}:{first + 1}"), range(first, next_line))


def _is_open(text: str) -> bool:
    return text[:1] in _OPEN and _OPEN[text[0]].fullmatch(text) is not None


def _value(text: str, place: str) -> str:
    """Return the value of 'literal text', "text with \\n and \\" in it", or bare text up to a space and #."""
    quote = text[:1]
    if quote not in _QUOTED:
        return re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    match = _QUOTED[quote].fullmatch(text)
    if match is None:
        raise DotenvFault(f"{place}: the quote {quote} is not closed")
    return match[1] if quote == "'" else _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), match[1])


def add_to_dotenv(path: Path, values: Mapping[str, str], comment: str) -> None:
    """Append variables after a comment. The file's text stays as it is; afterwards only its owner can read it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_MODE)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        os.fchmod(file.fileno(), PRIVATE_MODE)
        text = file.read()
        start = "" if not text or text.endswith("\n") else "\n"
        lines = [f"# {comment}", *(f"{name}={quoted(value)}" for name, value in values.items())]
        file.write(start + "\n".join(lines) + "\n")


def remember(path: Path, known: Mapping[str, str], wanted: Mapping[str, str], comment: str) -> Iterator[str]:
    """Add what is not known yet, and yield a line for each variable that is known with another value."""
    if new := {name: value for name, value in wanted.items() if name not in known}:
        add_to_dotenv(path, new, comment)
    for name, value in wanted.items():
        if known.get(name, value) != value:
            yield f"note: without an option, commands still use {name}={known[name]} ({path})"


def make_dotenv_private(path: Path) -> None:
    """Let only the owner read the file, if it exists and may be changed."""
    with suppress(OSError):  # another user's, or on a read-only file system: `hookchain dev` and `doctor` report it
        if path.stat().st_mode & 0o077:
            path.chmod(PRIVATE_MODE)


def quoted(value: str) -> str:
    """Quote a value so that this module and a POSIX shell both read it. A carriage return, which a shell cannot read,
    is written as `\\r`."""
    if _PLAIN.fullmatch(value):
        return value
    if not {"'", "\r"} & set(value):
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value).replace("\r", "\\r")
    return f'"{escaped}"'
