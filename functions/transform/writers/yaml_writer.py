"""YAML that every reader takes for the same values: those of YAML 1.1, where `no` is false, and those of 1.2, where
`1e3` is a number. So text is plain only where it begins with a letter and no schema gives it a meaning.
"""

import json
import re
from typing import Final

from shared.jsontext import Json

_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w./@+=%&?()'-]| (?=[\w./@(])|:(?=[\w/@]))*")
_WORDS: Final = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
# JSON's strings are YAML's, but for what YAML counts among line breaks or does not print.
_HIDDEN: Final = "\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
_TO_ESCAPE: Final = re.compile(f"[{_HIDDEN}]")
# Text that can stand as it is under a `|`: each line begins with what shows the indentation.
_LINE: Final = f"[^\x00-\x20{_HIDDEN}][^\x00-\x1f{_HIDDEN}]*+"
_BLOCK: Final = re.compile(f"{_LINE}(?:\n++{_LINE})*+\n?")
_LONGEST_KEY: Final = 500  # a reader looks no further than 1,024 characters for the colon


def write_yaml(value: Json) -> str:
    lines: list[str] = []
    _write(value, "", "", lines)
    return "\n".join(lines) + "\n"


def _write(value: Json, lead: str, pad: str, lines: list[str]) -> None:
    """`lead` begins the first line, which may stand after a key or a dash; `pad` each further one."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _write_entry(key, item, lead, pad, lines)
            lead = pad
    elif isinstance(value, list) and value:
        for item in value:
            _write(item, f"{lead}- ", f"{pad}  ", lines)
            lead = pad
    else:
        lines.append(lead + _scalar(value, pad))


def _write_entry(key: str, value: Json, lead: str, pad: str, lines: list[str]) -> None:
    name = _flow_text(key)
    if len(name) > _LONGEST_KEY:
        lines.append(f"{lead}? {name}")
        _write(value, f"{pad}: ", f"{pad}  ", lines)
    elif isinstance(value, dict | list) and value:
        lines.append(f"{lead}{name}:")
        _write(value, f"{pad}  ", f"{pad}  ", lines)
    else:
        lines.append(f"{lead}{name}: {_scalar(value, pad)}")


def _scalar(value: Json, pad: str) -> str:
    if isinstance(value, str):
        return _block(value, pad) if "\n" in value and _BLOCK.fullmatch(value) else _flow_text(value)
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


def _block(text: str, pad: str) -> str:
    mark = "|" if text.endswith("\n") else "|-"
    return "\n".join([mark, *(f"{pad}  {line}" if line else "" for line in text.removesuffix("\n").split("\n"))])
