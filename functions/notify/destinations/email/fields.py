"""An event's data as rows that a person reads: one row a value, however deep it stands."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.jsontext import Json, to_json

MAX_ROWS: Final = 100
MAX_VALUE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 120
MAX_JOINED: Final = 10
NOTHING: Final = "—"

_PLAIN_KEY: Final = re.compile(r"[^\s.\[\]\"]{1,80}")
# Controls but tab and line feed, and what turns the direction of the text around it, which can make a value look like
# another one.
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WEB_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\^{|}\x00-\x20\x7f-\x9f]{1,2000}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """`link` is the value where it is a web address and nothing else; `cut` says how much of it is shown."""

    name: str
    value: str
    link: str | None = None
    cut: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    rows: tuple[Row, ...]
    more: bool


def rows_of(data: Json) -> Rows:
    """Return the first MAX_ROWS of them. Data that is one value has none: the body shows it."""
    if not isinstance(data, dict | list):
        return Rows((), False)
    found = list(itertools.islice(_walk("", data), MAX_ROWS + 1))
    return Rows(tuple(found[:MAX_ROWS]), len(found) > MAX_ROWS)


def _walk(name: str, value: Json) -> Iterator[Row]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            shown = key if _PLAIN_KEY.fullmatch(key) else f"[{to_json(key)}]"
            yield from _walk(f"{name}.{shown}" if name and not shown.startswith("[") else f"{name}{shown}", item)
    elif isinstance(value, list) and value:
        joined = _joined(value)
        if joined is not None:
            yield _row(name, joined)
            return
        for number, item in enumerate(value):
            yield from _walk(f"{name}[{number}]", item)
    else:
        yield _row(name, _text(value))


def _joined(items: list[Json]) -> str | None:
    """Return a short list of plain values on one line, else None."""
    if len(items) > MAX_JOINED or any(isinstance(item, dict | list) for item in items):
        return None
    texts = [_text(item) for item in items]
    return ", ".join(texts) if all(len(text) <= 80 and "\n" not in text for text in texts) else None


def _row(name: str, text: str) -> Row:
    name, text = visible(name), visible(text)
    cut = None
    if len(text) > MAX_VALUE_CHARACTERS:
        cut = f"… {MAX_VALUE_CHARACTERS} of {len(text):,} characters"
        text = text[:MAX_VALUE_CHARACTERS]
    if len(name) > MAX_NAME_CHARACTERS:
        name = name[: MAX_NAME_CHARACTERS - 1] + "…"
    link = text if cut is None and _WEB_LINK.fullmatch(text) else None
    return Row(name or "value", text, link, cut)


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value if value.strip() else NOTHING
    return NOTHING if value is None or value in ([], {}) else to_json(value)


def visible(text: str) -> str:
    """Return the text without what a reader cannot see and a terminal or a mail program might obey."""
    return _UNSEEN.sub("\ufffd", text)
