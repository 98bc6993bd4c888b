"""Write YAML that every reader reads as the same values.

In YAML 1.1, `no` is false; in YAML 1.2, `1e3` is a number. So a text is written without quotation marks only if it
begins with a letter, and is nothing but a text in both versions.
"""

import json
import re
from typing import Final

from shared.jsontext import Json
from shared.writers.writing import BoundedText

_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w./@+=%&?()'-]| (?=[\w./@(])|:(?=[\w/@]))*")
"""A text without a character that could mean something in YAML. A space or colon must not look like an end."""
_WORDS: Final = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""The words, in lower case, that YAML 1.1 or 1.2 reads as another value than a text."""
# A string of JSON is one of YAML, except for these characters, which are line breaks to YAML, or not printable.
_HIDDEN: Final = "\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
_TO_ESCAPE: Final = re.compile(f"[{_HIDDEN}]")
# A text that can be a block under a `|`. Each of its lines begins with a character that shows the indentation.
_LINE: Final = f"[^\x00-\x20{_HIDDEN}][^\x00-\x1f{_HIDDEN}]*+"
_BLOCK: Final = re.compile(f"{_LINE}(?:\n++{_LINE})*+\n?")
_MAX_KEY_CHARACTERS: Final = 500
"""The longest key that is written before a colon. A reader looks for the colon in the first 1,024 characters."""


def write_yaml(value: Json) -> str:
    """Return the value as a YAML document. Raises Permanent (`output_too_large`)."""
    document = BoundedText()
    _write(value, "", "", document)
    return document.text()


def _write(value: Json, lead: str, pad: str, document: BoundedText) -> None:
    """Write a value. `lead` is the beginning of its first line, and `pad` that of all others."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _write_entry(key, item, lead, pad, document)
            lead = pad
    elif isinstance(value, list) and value:
        for item in value:
            _write(item, f"{lead}- ", f"{pad}  ", document)
            lead = pad
    else:
        document.add(f"{lead}{_scalar(value, pad, document)}\n")


def _write_entry(key: str, value: Json, lead: str, pad: str, document: BoundedText) -> None:
    """Write a key and its value. A long key is written after a `?`, and its value after a colon in another line."""
    name = _flow_text(key)
    if len(name) > _MAX_KEY_CHARACTERS:
        document.add(f"{lead}? {name}\n")
        _write(value, f"{pad}: ", f"{pad}  ", document)
    elif isinstance(value, dict | list) and value:
        document.add(f"{lead}{name}:\n")
        _write(value, f"{pad}  ", f"{pad}  ", document)
    else:
        document.add(f"{lead}{name}: {_scalar(value, pad, document)}\n")


def _scalar(value: Json, pad: str, document: BoundedText) -> str:
    """Return a scalar, an empty list or an empty object as it is written after its key."""
    if isinstance(value, str):
        is_block = "\n" in value and _BLOCK.fullmatch(value)
        return _block(value, pad, document) if is_block else _flow_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        # To YAML 1.1, a number with an exponent and no point is a text.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, int):
        return str(value)
    return "{}" if isinstance(value, dict) else "[]"


def _flow_text(text: str) -> str:
    """Return a text in one line, in quotation marks unless it needs none."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    has_no_hidden = quoted.isascii() and "\x7f" not in quoted  # faster than the search, and true of most texts
    return quoted if has_no_hidden else _TO_ESCAPE.sub(_escaped, quoted)


def _escaped(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def _block(text: str, pad: str, document: BoundedText) -> str:
    """Return a text as a block of lines under a `|`. Raises Permanent (`output_too_large`)."""
    mark = "|" if text.endswith("\n") else "|-"
    document.verify(len(text))
    lines = text.removesuffix("\n").split("\n")
    document.verify(sum(len(pad) + len(line) for line in lines if line))
    indented_lines = [f"{pad}  {line}" if line else "" for line in lines]
    return "\n".join([mark, *indented_lines])
