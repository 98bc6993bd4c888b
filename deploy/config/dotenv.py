"""The `.env` file: NAME=value lines, read and added to. A quoted value may span lines, as in a shell."""

# Not python-dotenv: it reads 443 of 2,000 random values differently from the POSIX shell for which they were quoted
# (it keeps \$ and \` in double quotes, and removes a backslash in single quotes), and skips faulty lines.
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Set as AbstractSet
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.terminal.command_line import CommandError

_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ALMOST_A_NAME: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*[^\s=].*", re.DOTALL)
"""A line whose name has a dot or a hyphen. A line of base64, which ends in `=` or `==`, has no such value."""
_QUOTED: Final = {
    "'": re.compile(r"'([^']*)'\s*(?:#.*)?"),
    '"': re.compile(r'"((?:[^"\\]|\\[\s\S])*)"\s*(?:#.*)?'),
}
"""A whole quoted value, by its quote, with an optional comment after it."""
_OPEN: Final = {"'": re.compile(r"'[^']*"), '"': re.compile(r'"(?:[^"\\]|\\[\s\S])*\\?')}
"""The beginning of a quoted value whose end is in a later line, by its quote."""
_ESCAPE: Final = re.compile(r'\\(["\\nrt$`\n])')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\n": ""}
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")
"""A value that needs no quotes in a shell."""
_CUT: Final = re.compile(r"[^'\"].*?\s#(?! set \d{4}-\d{2}-\d{2}$)")
"""A value without quotes before a comment, except the one that `hookchain secrets set` writes."""
_SCHEME: Final = re.compile(r"(Bearer|Basic) ", re.IGNORECASE)
"""The word of an Authorization header, copied together with the token."""
_UNUSUAL: Final = (
    (
        re.compile(r"[“”„‟‘’‚‛«»].*"),
        "the value begins with a typographic quotation mark. Write ' or \" around a value, or nothing",
    ),
    (
        re.compile(r"\$\{?[A-Za-z_]\w*\}?|.*\$\(.+\).*|`.*`"),
        "a variable or command in the value is not replaced, as it is in a shell. Write the value itself",
    ),
    (re.compile(r"<[^<>]+>"), "the value is in angle brackets, as a placeholder is. Write the value itself"),
    (re.compile(r".+;"), "the value ends in `;`. Remove it, unless it belongs to the value"),
)
"""The forms of values that are seldom intended, each with its warning."""
PRIVATE_MODE: Final = 0o600
_PEM_RULE: Final = "a value of several lines must be in quotes; or store it with `hookchain secrets set NAME < FILE`"


class DotenvFault(CommandError):
    """A line that cannot be read. The text names the file and the line, never the value."""


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables; none if there is no file. Raises DotenvFault."""
    return parse_dotenv(_read(path), str(path))


def _read(path: Path) -> str:
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

    lines   the range of its lines, counted from 0
    is_cut  the value has no quotes and ends at a comment
    """

    name: str
    value: str
    lines: range
    is_cut: bool


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
        place = f"{file}:{first + 1}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment = _LINE.fullmatch(line)
        if assignment is None:
            is_in_pem = first > 0 and "-----BEGIN " in lines[first - 1]
            raise DotenvFault(f"{place}: {_PEM_RULE if is_in_pem else _rule(line)}")
        written_value = assignment[2]
        while _is_open(written_value) and next_line < len(lines):
            written_value += "\n" + lines[next_line]
            next_line += 1
        written_value = written_value.rstrip()
        is_cut = _CUT.match(written_value) is not None
        yield Entry(assignment[1], _value(written_value, place), range(first, next_line), is_cut)


def _rule(line: str) -> str:
    """Return the rule that the line breaks. It shows only the name in the line, because the rest may be a secret."""
    rule = "a line must be NAME=value, or a comment after #"
    if "=" in line:
        rule += ". A name has capital letters, digits and underscores"
    faulty = _ALMOST_A_NAME.fullmatch(line)
    if faulty:
        name = re.sub("[.-]", "_", faulty[1]).upper()
        rule += f": write {name}"
    return rule


class DotenvWarning(NamedTuple):
    """A warning about a variable in .env. The text does not contain the value."""

    variable: str
    text: str


def dotenv_warnings(path: Path, shell: Mapping[str, str], secrets: AbstractSet[str]) -> Iterator[DotenvWarning]:
    """Yield a warning for each line that is seldom intended, and for each secret that the shell overrides.

    `secrets` are the variables of the secrets that the configuration names. Raises DotenvFault.
    """
    entries = list(dotenv_entries(_read(path), str(path)))
    last = {entry.name: entry for entry in entries}
    for entry in entries:
        name, used = entry.name, last[entry.name]
        place = f"{path}:{entry.lines.start + 1}: {name}"
        if entry.value != used.value:
            line = used.lines.start + 1
            text = f"{place} has another value in line {line}: that of line {line} is used"
            yield DotenvWarning(name, text)
        if entry.is_cut:
            rule = "the rest after ` #` is read as a comment"
            advice = "If it belongs to the value, put both in quotes; if not, the value alone"
            yield DotenvWarning(name, f"{place}: {rule}. {advice}")
        if entry.value.startswith(f"{name}="):
            yield DotenvWarning(name, f"{place}: the value begins with `{name}=`: write the name once")
        if unusual := next((text for pattern, text in _UNUSUAL if pattern.fullmatch(entry.value)), None):
            yield DotenvWarning(name, f"{place}: {unusual}")
        if scheme := _SCHEME.match(entry.value):
            advice = "Write only what is after it, unless the secret is a header's whole value"
            yield DotenvWarning(name, f"{place}: the value begins with `{scheme[1]} `. {advice}")
    for name in sorted(secrets & last.keys() & shell.keys()):
        if shell[name] != last[name].value:
            yield DotenvWarning(name, f"{name}: the shell's value is used, and {path.name} has another one")


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
    if quote == "'":
        return match[1]
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), match[1])


@contextmanager
def locked_dotenv(path: Path) -> Iterator[None]:
    """Let no other command write the file meanwhile, so that none replaces it by an older text with a change."""
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
            with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
                os.fchmod(descriptor, PRIVATE_MODE)
                text = file.read()
                start = "" if not text or text.endswith("\n") else "\n"
                lines = [f"# {comment}", *(f"{name}={quoted(value)}" for name, value in values.items())]
                _append(descriptor, (start + "\n".join(lines) + "\n").encode())
        except OSError as error:
            raise DotenvFault(f"{path} cannot be written: {error.strerror}") from error


def _append(descriptor: int, content: bytes) -> None:
    """Append the content to a file. Raises OSError, after which nothing is appended: half a secret would be read."""
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, content)
        if written < len(content):
            os.write(descriptor, content[written:])  # raises the reason
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def remember(
    path: Path, *, target: Mapping[str, str], defaults: Mapping[str, str], settings: Mapping[str, str], comment: str
) -> list[str]:
    """Add the variables of a deployment's target, and its settings; return a line for each that has another value.

    Of the target, those with their defaults are left out. The first target stays: a second deployment with a name of
    its own must not change what a command without options means. Raises DotenvFault.
    """
    known = read_dotenv(path)
    if known.keys() & (target.keys() - defaults.keys()):
        known = {**defaults, **known}
    unusual = {name: value for name, value in target.items() if value != known.get(name, defaults.get(name))}
    wanted = {**unusual, **settings}
    new = {name: value for name, value in wanted.items() if name not in known}
    if new:
        add_to_dotenv(path, new, comment)
    kept = [name for name, value in wanted.items() if known.get(name, value) != value]
    return [f"note: without an option, commands still use {name}={known[name]} ({path})" for name in kept]


def make_dotenv_private(path: Path) -> None:
    """Let only the owner read the file, if it exists and may be changed."""
    with suppress(OSError):  # another user's, or on a read-only file system: `hookchain dev` and `doctor` report it
        if path.stat().st_mode & 0o077:
            path.chmod(PRIVATE_MODE)


def quoted(value: str) -> str:
    """Quote a value so that this module and a POSIX shell both read it.

    A carriage return, which a shell cannot read, is written as `\\r`.
    """
    if _PLAIN.fullmatch(value):
        return value
    if not {"'", "\r"} & set(value):
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value).replace("\r", "\\r")
    return f'"{escaped}"'
