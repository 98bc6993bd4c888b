"""The `.env` file: NAME=value lines, read and added to. A quoted value may span lines, as in a shell."""

# Not python-dotenv: it reads 443 of 2,000 random values differently from the POSIX shell for which they were quoted
# (it keeps \$ and \` in double quotes, and removes a backslash in single quotes), and skips faulty lines.
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.terminal.command_line import CommandError

_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ALMOST_A_NAME: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*[^\s=].*", re.DOTALL)
"""A line such as `my-key=value`, of which an error may show the name. It must have a value, because a line such as
`MIIEow+/==` may be the end of a key, and no part of a key is shown."""
_QUOTED: Final = {"'": re.compile(r"'([^']*)'"), '"': re.compile(r'"((?:[^"\\]|\\[\s\S])*)"')}
"""A value in quotes, by its quote."""
_AFTER_QUOTED: Final = re.compile(r"\s*(?:#.*)?")
"""The rest of a line after a value in quotes: it may be a comment."""
_ESCAPE: Final = re.compile(r'\\(["\\nrt$`\n])')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\n": ""}
"""The characters that do not stand for themselves after a backslash in double quotes."""
_NEEDS_NO_QUOTES: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")
"""A value that a shell reads as it is."""
PRIVATE_MODE: Final = 0o600


class DotenvFault(CommandError):
    """A line that cannot be read. The text names the file and the line, never the value."""


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables; none if there is no file. Raises DotenvFault."""
    return parse_dotenv(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of the file; empty if there is no file. Raises DotenvFault."""
    try:
        return path.read_text(encoding="utf-8-sig")  # without the byte order mark that an editor may write
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise DotenvFault(f"{path} cannot be read: it is not UTF-8") from error
    except OSError as error:
        raise DotenvFault(f"{path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable in the file.

    written  the value as it is in the file, with its quotes and the comment after it
    lines    the range of its lines, counted from 0
    """

    name: str
    value: str
    written: str
    lines: range


def parse_dotenv(text: str, file: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in dotenv_entries(text, file)}


def dotenv_entries(text: str, file: str) -> Iterator[Entry]:
    """Yield the variables in the order of the file. Raises DotenvFault."""
    lines = text.split("\n")
    next_line = 0
    while next_line < len(lines):
        first = next_line
        next_line += 1
        line = lines[first]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{file}:{first + 1}"
        assignment = _LINE.fullmatch(line)
        if assignment is None:
            raise DotenvFault(f"{place}: {_broken_rule(line, line_before=lines[first - 1] if first else '')}")
        name, written = assignment.groups()
        while _is_open(written) and next_line < len(lines):
            written += "\n" + lines[next_line]
            next_line += 1
        written = written.rstrip()
        yield Entry(name, _value(written, place), written, range(first, next_line))


def _broken_rule(line: str, line_before: str) -> str:
    """Return the rule that the line breaks. It shows only the name in the line, because the rest may be a secret."""
    if "-----BEGIN " in line_before:
        return "a value of several lines must be in quotes; or store it with `hookchain secrets set NAME < FILE`"
    rule = "a line must be NAME=value, or a comment after #"
    if "=" in line:
        rule += ". A name has capital letters, digits and underscores"
    if faulty := _ALMOST_A_NAME.fullmatch(line):
        rule += f": write {re.sub('[.-]', '_', faulty[1]).upper()}"
    return rule


def _is_open(written: str) -> bool:
    """Return whether a value begins with a quote that is not closed yet, so that the next line belongs to it."""
    quoted_value = _QUOTED.get(written[:1])
    return quoted_value is not None and not quoted_value.match(written)


def _value(written: str, place: str) -> str:
    """Return the value of 'literal text', "text with \\n and \\" in it", or bare text up to a space and #."""
    quote = written[:1]
    if quote not in _QUOTED:
        return re.split(r"\s#", written, maxsplit=1)[0].rstrip()
    match = _QUOTED[quote].match(written)
    if match is None or not _AFTER_QUOTED.fullmatch(written, match.end()):
        raise DotenvFault(f"{place}: the quote {quote} is not closed")
    if quote == "'":
        return match[1]
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), match[1])


@contextmanager
def locked_dotenv(path: Path) -> Iterator[None]:
    """Lock the file against other commands: two that read, change and replace it would lose the change of one."""
    with ExitStack() as stack:
        with suppress(OSError):  # some network file systems have no locks
            # The folder is locked, because a change replaces the file.
            folder = os.open(path.resolve().parent, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def add_to_dotenv(path: Path, values: Mapping[str, str], comment: str) -> None:
    """Append variables after a comment. The file's text stays as it is; afterwards only its owner can read it.

    Raises DotenvFault.
    """
    with locked_dotenv(path):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_MODE)
            with os.fdopen(descriptor, "r+b") as file:
                os.fchmod(descriptor, PRIVATE_MODE)
                text = file.read()
                start = "" if not text or text.endswith(b"\n") else "\n"
                lines = [f"# {comment}", *(f"{name}={quoted(value)}" for name, value in values.items())]
                _append(descriptor, (start + "\n".join(lines) + "\n").encode())
        except OSError as error:
            raise DotenvFault(f"{path} cannot be written: {error.strerror}") from error


def keep_target(
    path: Path, *, target: Mapping[str, str], defaults: Mapping[str, str], settings: Mapping[str, str], comment: str
) -> list[str]:
    """Add a deployment's target to the file, so that later commands find the deployment without options.

    `target` is for example GOOGLE_CLOUD_PROJECT, HOOKCHAIN_REGION and HOOKCHAIN_PREFIX. A variable that has its default
    is not written. Return a note for each variable of the target, and of the settings, that keeps another value.

    A variable that is in the file is not changed, because a second deployment with a name of its own must not change
    what a command without options means. Raises DotenvFault.
    """
    used = read_dotenv(path)
    if any(name in used and name not in defaults for name in target):
        used = {**defaults, **used}  # the file names a whole target: a variable that it lacks has its default there
    missing: dict[str, str] = {}
    notes: list[str] = []
    for name, value in {**target, **settings}.items():
        if used.get(name, value) != value:
            notes.append(f"note: without an option, commands still use {name}={used[name]} ({path})")
        elif name not in used and value != defaults.get(name):
            missing[name] = value
    if missing:
        add_to_dotenv(path, missing, comment)
    return notes


def _append(descriptor: int, content: bytes) -> None:
    """Append the content to a file, or nothing if this raises OSError: half a secret would be read as a whole one."""
    size = os.fstat(descriptor).st_size
    rest = content
    try:
        while rest:  # on a full disk, a write may store a part; the next one then raises
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def make_dotenv_private(path: Path) -> None:
    """Let only the owner read the file, if it exists and may be changed."""
    with suppress(OSError):  # another user's, or on a read-only file system: `hookchain dev` and `doctor` report it
        if path.stat().st_mode & 0o077:
            path.chmod(PRIVATE_MODE)


def quoted(value: str) -> str:
    """Quote a value so that this module and a POSIX shell both read it.

    A carriage return, which a shell cannot read, is written as `\\r`.
    """
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return value
    if not {"'", "\r"} & set(value):
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value).replace("\r", "\\r")
    return f'"{escaped}"'
