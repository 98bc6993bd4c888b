"""YAML that every reader reads as the same values: also those of YAML 1.1, where `no` is false, and of 1.2, where
`1e3` is a number. Text is plain only if it begins with a letter and has no meaning in either version.
"""

import json
import re
from typing import Final

from shared.jsontext import Json
from shared.writers.writing import BoundedText

_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w./@+=%&?()'-]| (?=[\w./@(])|:(?=[\w/@]))*")
_WORDS: Final = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
# JSON's strings are YAML's, except for characters that YAML takes for line breaks or does not print.
_HIDDEN: Final = "\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
_TO_ESCAPE: Final = re.compile(f"[{_HIDDEN}]")
# Text that can be a block under a `|`: each line begins with a character that shows the indentation.
_LINE: Final = f"[^\x00-\x20{_HIDDEN}][^\x00-\x1f{_HIDDEN}]*+"
_BLOCK: Final = re.compile(f"{_LINE}(?:\n++{_LINE})*+\n?")
_LONGEST_KEY: Final = 500  # a reader looks for the colon in 1,024 characters


def write_yaml(value: Json) -> str:
    """Raises Permanent (`output_too_large`)."""
    document = BoundedText()
    _write(value, "", "", document)
    return document.text()


def _write(value: Json, lead: str, pad: str, document: BoundedText) -> None:
    """Write a value; `lead` begins the first line, `pad` the others."""
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
    name = _flow_text(key)
    if len(name) > _LONGEST_KEY:
        document.add(f"{lead}? {name}\n")
        _write(value, f"{pad}: ", f"{pad}  ", document)
    elif isinstance(value, dict | list) and value:
        document.add(f"{lead}{name}:\n")
        _write(value, f"{pad}  ", f"{pad}  ", document)
    else:
        document.add(f"{lead}{name}: {_scalar(value, pad, document)}\n")


def _scalar(value: Json, pad: str, document: BoundedText) -> str:
    if isinstance(value, str):
        return _block(value, pad, document) if "\n" in value and _BLOCK.fullmatch(value) else _flow_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML 1.1 wants the point
    if isinstance(value, int):
        return str(value)
    return "{}" if isinstance(value, dict) else "[]"


def _flow_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isascii() and "\x7f" not in quoted else _TO_ESCAPE.sub(_escaped, quoted)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _block(text: str, pad: str, document: BoundedText) -> str:
    mark = "|" if text.endswith("\n") else "|-"
    document.verify(len(text))
    lines = text.removesuffix("\n").split("\n")
    document.verify(sum(len(pad) + len(line) for line in lines if line))
    return "\n".join([mark, *(f"{pad}  {line}" if line else "" for line in lines)])
