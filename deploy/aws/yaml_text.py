"""YAML as a person writes a CloudFormation template: short tags, short lists on one line, and comments.

A key that begins with `# ` is a comment, and its value None: it stands before the next key.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Tag:
    """A function of CloudFormation by its short name: `!Ref Prefix`."""

    name: str
    value: "Node"


Scalar: TypeAlias = str | int | float | bool | None
Node: TypeAlias = Scalar | Tag | Sequence["Node"] | Mapping[str, "Node"]
Fields: TypeAlias = Mapping[str, Node]

WIDTH: Final = 120
SHORT: Final = 66
"""A longer mapping has a line for each entry."""
COMMENT: Final = "# "
_PLAIN: Final = re.compile(r"[A-Za-z_/$(]")
_SPECIAL: Final = re.compile(r":(?:\s|$)|\s#|^\s|\s$|\n")
_BRACKETS: Final = re.compile(r"[\[\]{},?]")
_OTHER_TYPES: Final = re.compile(r"(?i:true|false|yes|no|y|n|on|off|null)")


def ref(name: str) -> Tag:
    return Tag("Ref", name)


def sub(text: str) -> Tag:
    return Tag("Sub", text)


def get_att(name: str, attribute: str = "Arn") -> Tag:
    return Tag("GetAtt", f"{name}.{attribute}")


def to_yaml(document: Fields) -> str:
    """Return the text. Sections stand apart from each other, and so do the resources."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            lines += ["", f"{_text(key)}:", *_block(value, 1, is_apart=key == "Resources")]
        else:
            lines += _block({key: value}, 0)
    return "\n".join(lines).strip() + "\n"


def _block(fields: Fields, depth: int, is_apart: bool = False) -> Iterator[str]:
    indent, is_commented = "  " * depth, False
    for number, (key, value) in enumerate(fields.items()):
        if is_apart and number and not is_commented:
            yield ""
        is_commented = key.startswith(COMMENT)
        if is_commented:
            yield from _comment(key, indent)
        else:
            yield from _entry(f"{indent}{_text(key)}:", value, depth)


def _comment(key: str, indent: str) -> Iterator[str]:
    return (f"{indent}# {line}" for line in wrap(key.removeprefix(COMMENT), WIDTH - len(indent) - 2))


def _entry(start: str, value: Node, depth: int) -> Iterator[str]:
    """Yield a key with its value. Short values stand on its line, but for mappings."""
    tag, inner = (f" !{value.name}", value.value) if isinstance(value, Tag) else ("", value)
    short = None if isinstance(inner, Mapping) and inner else _inline(value)
    indent = "  " * (depth + 1)
    folded = _folded(inner, WIDTH - len(indent)) if isinstance(inner, str) else []
    if short is not None and (len(start) + 1 + len(short) <= WIDTH or (isinstance(inner, str) and not folded)):
        yield f"{start} {short}"
    elif isinstance(inner, str):
        yield f"{start}{tag} {'>-' if folded else '|-'}"
        yield from (f"{indent}{line}".rstrip() for line in folded or inner.split("\n"))
    elif isinstance(inner, Mapping):
        yield f"{start}{tag}"
        yield from _block(inner, depth + 1)
    elif isinstance(inner, Sequence):
        yield f"{start}{tag}"
        for item in inner:
            yield from _item(item, depth + 1)
    else:
        raise TypeError(f"{start}: is not a YAML value: {value!r}")


def _folded(text: str, width: int) -> list[str]:
    """Return the lines that YAML joins with spaces; none if that would not give the text again."""
    lines = wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return lines if " ".join(lines) == text and text.isprintable() and not text.startswith(" ") else []


def _is_block(text: str) -> bool:
    """Return whether the lines of a text, as they are, give it again."""
    lines = text.split("\n")
    is_whole = bool(lines[0] and lines[-1]) and all(line.isprintable() and not line.endswith(" ") for line in lines)
    return len(lines) > 1 and is_whole and not lines[0].startswith(" ")


def _item(item: Node, depth: int) -> Iterator[str]:
    indent = "  " * depth
    short = _inline(item)
    if short is not None and len(indent) + 2 + len(short) <= WIDTH:
        yield f"{indent}- {short}"
    elif isinstance(item, Mapping):
        comments = [key for key in item if key.startswith(COMMENT)] if next(iter(item)).startswith(COMMENT) else []
        yield from (line for key in comments[:1] for line in _comment(key, indent))
        first, *rest = _block({key: each for key, each in item.items() if key not in comments[:1]}, depth + 1)
        yield f"{indent}- {first.strip()}"
        yield from rest
    else:
        yield from _entry(f"{indent}-", item, depth)


def _inline(value: Node, in_brackets: bool = False) -> str | None:
    """Return the value on one line; None if it does not read well so."""
    match value:
        case Tag():
            inner = _inline(value.value, in_brackets)
            return None if inner is None else f"!{value.name} {inner}"
        case str():
            return None if _is_block(value) else _text(value, in_brackets)
        case Mapping():
            if any(key.startswith(COMMENT) for key in value):
                return None
            fields = [(key, _inline(each, True)) for key, each in value.items()]
            if any(each is None for _, each in fields):
                return None
            text = "{" + ", ".join(f"{_text(key, True)}: {each}" for key, each in fields) + "}"
            return text if len(text) <= SHORT else None
        case Sequence():
            items = [_inline(each, True) for each in value]
            return None if None in items else f"[{', '.join(each for each in items if each is not None)}]"
        case _:
            return json.dumps(value)


def _text(text: str, in_brackets: bool = False) -> str:
    is_plain = _PLAIN.match(text) and not _SPECIAL.search(text) and not _OTHER_TYPES.fullmatch(text)
    if is_plain and text.isprintable() and not (in_brackets and _BRACKETS.search(text)):
        return text
    return f"'{text}'" if '"' in text and "'" not in text and text.isprintable() else quoted(text)


def quoted(text: str) -> str:
    """Return the text in double quotes. In YAML, a control character must be escaped, and some characters count as line
    breaks."""
    return "".join(each if each.isprintable() else _escaped(each) for each in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08x}"
