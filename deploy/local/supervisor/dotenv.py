"""The `.env` file: NAME=value lines, read into settings, added to and never rewritten."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_ESCAPE: Final = re.compile(r'\\(["\\nrt$])')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")
PRIVATE_MODE: Final = 0o600


class DotenvFault(Exception):
    """A line that cannot be read; its text names file and line, never the value."""


def read_dotenv(path: Path) -> dict[str, str]:
    """Empty where there is no file. Raises DotenvFault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DotenvFault(f"{path} cannot be read: {type(error).__name__}") from error
    return parse_dotenv(text, str(path))


def parse_dotenv(text: str, file: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DotenvFault(f"{file}:{number}: a line is NAME=value, or a comment after #")
        values[match[1]] = _value(match[2], f"{file}:{number}")
    return values


def _value(text: str, place: str) -> str:
    """'as it is', "with \\n and \\" in it", or bare up to a space and #."""
    if text[:1] in {"'", '"'}:
        quote = text[0]
        pattern = r"'([^']*)'\s*(?:#.*)?" if quote == "'" else r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?'
        match = re.fullmatch(pattern, text)
        if match is None:
            raise DotenvFault(f"{place}: the quote {quote} is not closed")
        return match[1] if quote == "'" else _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), match[1])
    return re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def add_to_dotenv(path: Path, values: Mapping[str, str], comment: str) -> None:
    """What stands in the file stays as it is. Afterwards only its owner can read it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_MODE)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        os.fchmod(file.fileno(), PRIVATE_MODE)
        text = file.read()
        start = "" if not text or text.endswith("\n") else "\n"
        lines = [f"# {comment}", *(f"{name}={_quoted(value)}" for name, value in values.items())]
        file.write(start + "\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
