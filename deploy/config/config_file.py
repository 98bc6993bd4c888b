"""The operator's file as it is written: its values with their lines, and its faults, such as a duplicate key.

Whether the values are a valid configuration is not looked at here: deploy/config/compiler.py checks them.
"""

import datetime
import json
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from deploy.config.syntax_faults import syntax_rule
from shared.jsontext import Json, JsonObject, list_at, mapping_at, mappings_at, value_at, values_in

DocumentPath = tuple[str | int, ...]
"""Keys and positions from the top of the file: ("routes", 0, "to")."""
NO_FILE: Final = "no file"
"""The name in messages of the configuration that is made from the environment."""
MAX_VALUES: Final = 250_000
"""The most values of a configuration. An alias counts as a copy of the values that it stands for."""
_TEMPLATE_IN_COMMENT: Final = re.compile(r"\s+#(?: |\S*)\{\{")
"""The rest of a line as in `Order #{{ data.number }}`. A comment with other words before the braces is intended."""
_FLOAT: Final = "tag:yaml.org,2002:float"
"""The tag that YAML gives to a decimal number, and to infinity and NaN."""
_LITERALS: Final = frozenset({f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null")})
"""The tags of the values without quotes that are no text."""
_OBVIOUS_LITERAL: Final = re.compile(
    r"true|false|null|~||[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?|[-+]?\.[0-9]+(?:e[-+]?[0-9]+)?"
    r"|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)
"""The spellings that YAML and every reader take for the same truth value, null or number."""
_SWITCHES: Final = frozenset({"breaker", "tls"})
"""Settings of a destination that may be `off`, which YAML reads as false."""
_DATA: Final = frozenset({"tests", "chains", "steps", "examples"})
"""The keys of parts of the file in which null may be a value of an event."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A fault in a configuration.

    line   the number of the line, from 1; 0 if there is no file
    where  the name of the setting
    rule   the rule that the setting breaks, the value that was found, and the advice
    """

    line: int
    where: str
    rule: str

    def text(self, file: str) -> str:
        place = f"{file}:{self.line}: " if self.line else ""
        return f"{place}{self.where}: {self.rule}" if self.where else f"{place}{self.rule}"


def unreadable(name: str) -> str:
    """Return the rule for a file that the configuration names and that cannot be read."""
    return f"the file {name!r}, relative to the configuration's folder, cannot be read"


class ConfigFaults(Exception):
    """The configuration is invalid. The text has one line for each fault."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(fault.text(file) for fault in self.faults))


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration as it is written.

    file          its name in messages
    folder        the folder to which the names of files in it are relative
    document      its values. Of a duplicate key, it has the last value
    lines         the line of each value, from 1
    value_faults  the faults of duplicate keys, and of numbers that JSON does not have
    not_texts     the truth values, numbers and nulls, as they are written without quotes
    cut_lines     the lines in which ` #` ends a value before a template, as in `Order #{{ data.number }}`
    """

    file: str
    folder: Path
    document: Json
    lines: Mapping[DocumentPath, int] = field(default_factory=dict)
    value_faults: tuple[Fault, ...] = ()
    not_texts: Mapping[DocumentPath, str] = field(default_factory=dict)
    cut_lines: tuple[int, ...] = ()

    def line(self, path: DocumentPath) -> int:
        """Return the line of the value at the path, or of the nearest value around it; 0 if there is no file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def value(self, *path: str | int) -> Json:
        """Return the value at the path; None if there is none."""
        return value_at(self.document, *path)

    def mapping(self, *path: str | int) -> JsonObject:
        """Return the mapping at the path; an empty one if there is none."""
        return mapping_at(self.document, *path)

    def mappings(self, *path: str | int) -> dict[str, JsonObject]:
        """Return the entries of the mapping at the path that are mappings themselves: a model reports any other."""
        return mappings_at(self.document, *path)

    def numbered_mappings(self, *path: str | int) -> Iterator[tuple[int, JsonObject]]:
        """Yield the position and the value of each entry of the list at the path that is a mapping."""
        for position, entry in enumerate(list_at(self.document, *path)):
            if isinstance(entry, dict):
                yield position, entry


def texts_in(value: Json) -> Iterator[str]:
    """Yield each text in the value, but not the keys."""
    return (each for _, each in values_in(value) if isinstance(each, str))


def read_config_file(path: Path) -> ConfigFile:
    """Read the file. Raises ConfigFaults if it does not exist or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigFaults(str(path), [Fault(0, str(path), f"cannot be read: {reason}")]) from error
    return parse_config(text, str(path), path.parent)


def parse_config(text: str, file: str, folder: Path) -> ConfigFile:
    """Return the values of a YAML text. `file` is its name in messages.

    Faults that do not keep the text from being read are in `value_faults`. Raises ConfigFaults for all others.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigFaults(file, [Fault(1, "empty", "must have at least `sources`")])
        if _size(node, {}) > MAX_VALUES:
            raise ValueError(f"its aliases stand for more than {MAX_VALUES} values")
        document = _plain(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigFaults(file, [Fault(line, "not YAML", syntax_rule(error, text))]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        is_too_long = "set_int_max_str_digits" in str(error)
        rule = "a whole number has too many digits. Put it in quotes" if is_too_long else str(error).splitlines()[0]
        raise ConfigFaults(file, [Fault(1, "not YAML", rule)]) from error
    except (KeyError, AttributeError) as error:  # PyYAML looks up what such a tag stands for
        rule = "a value does not fit its tag, such as `!!bool` or `!!timestamp`. Take the tag out"
        raise ConfigFaults(file, [Fault(1, "not YAML", rule)]) from error
    values = list(_values(node, (), node.start_mark.line + 1))
    return ConfigFile(
        file,
        folder,
        document,
        lines={each.path: each.line for each in values},
        value_faults=tuple(fault for each in values for fault in _value_faults(each)),
        not_texts={each.path: str(each.node.value) for each in values if _is_other_than_text(each.node)},
        cut_lines=_cut_lines(values, text),
    )


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """A loader that parses with libyaml and composes in Python.

    libyaml parses ten times as fast. For values that are nested too deeply, Python raises a RecursionError, where
    libyaml's own loader ends the process.
    """

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)


def _size(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return the number of values in a node, where each alias counts as a copy.

    `sizes` has the sizes of nodes by their id, and None for the nodes around this one. Raises ValueError if an alias
    stands for a node around it.
    """
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:
            raise ValueError("an alias stands for what it is in")
        return size
    sizes[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    if isinstance(node, yaml.MappingNode):
        children = [each for pair in node.value for each in pair]
    size = 1 + sum(_size(child, sizes) for child in children)
    sizes[id(node)] = size
    return size


class _Value(NamedTuple):
    """A value in the file. `line` is that of its key, if it has one, from 1."""

    path: DocumentPath
    node: yaml.Node
    line: int
    is_duplicate: bool


def _values(node: yaml.Node, path: DocumentPath, line: int, is_duplicate: bool = False) -> Iterator[_Value]:
    """Yield the value of the node, and each value in it. The last one of a duplicate key is the one that counts."""
    yield _Value(path, node, line, is_duplicate)
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _values(item, (*path, position), item.start_mark.line + 1)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            yield from _values(value, (*path, name), key.start_mark.line + 1, name in seen)
            seen.add(name)


def _value_faults(value: _Value) -> Iterator[Fault]:
    """Yield a fault for a duplicate key, of which YAML keeps the last, and for a number that JSON does not have."""
    where = ".".join(map(str, value.path))
    if value.is_duplicate:
        yield Fault(value.line, where, "is a duplicate key; keep one")
    node = value.node
    if not isinstance(node, yaml.ScalarNode) or node.tag != _FLOAT:
        return
    if not math.isfinite(SafeConstructor().construct_yaml_float(node)):
        rule = f"must be a finite number; got {node.value}. Put it in quotes if it is text"
        yield Fault(node.start_mark.line + 1, where, rule)


def _is_other_than_text(node: yaml.Node) -> bool:
    """Return whether YAML reads the node, which has no quotes, as a truth value, a number or a null."""
    return isinstance(node, yaml.ScalarNode) and not node.style and node.tag in _LITERALS


def _cut_lines(values: Sequence[_Value], text: str) -> tuple[int, ...]:
    """Return the lines in which a value without quotes ends before a comment that begins with a template."""
    lines = {number: line for number, line in enumerate(text.splitlines()) if _TEMPLATE_IN_COMMENT.search(line)}
    nodes = [each.node for each in values if isinstance(each.node, yaml.ScalarNode)] if lines else []
    ends = [node.end_mark for node in nodes if not node.style]
    cut_ends = [end for end in ends if _TEMPLATE_IN_COMMENT.match(lines.get(end.line, ""), end.column)]
    return tuple(sorted({end.line + 1 for end in cut_ends}))


def misleading_values(file: ConfigFile) -> Iterator[Fault]:
    """Yield a warning for each value that YAML probably reads otherwise than it was meant.

    These are a value that ends before ` #`, a key without a value, and each truth value and number of YAML 1.1 that
    looks like a word, a time or a code. A key without a value may be meant in a part of _DATA, and `off` in _SWITCHES.
    """
    for number in file.cut_lines:
        yield Fault(number, "a value", "ends before ` #`, and the rest is a comment: put the whole value in quotes")
    for path, written in file.not_texts.items():
        is_switched_off = bool(path) and path[-1] in _SWITCHES and written.lower() == "off"
        if path and not written and _DATA.isdisjoint(path):
            rule = "has no value, so it counts as left out: write a value, or take it out"
            yield Fault(file.line(path), ".".join(map(str, path)), rule)
        elif not _OBVIOUS_LITERAL.fullmatch(written) and not is_switched_off:
            read = read_as(written)
            rule = f"{written} is read as {read}: put it in quotes, or write {read}"
            yield Fault(file.line(path), ".".join(map(str, path)), rule)


def read_as(written: str) -> str:
    """Return what YAML reads in a value that is written so, as JSON."""
    return json.dumps(yaml.safe_load(written))


def _plain(value: object) -> Json:
    """Return YAML's values as JSON: keys as text, dates as they are written.

    Raises ValueError for a whole number that Python does not write as text: one of more than 4,300 digits.
    """
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, int):
        str(value)  # a hexadecimal number is read without that limit
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _key(key: Hashable) -> str:
    if key is True or key is False:
        return "on" if key else "off"  # YAML 1.1 reads a key `on` as a truth value
    return str(key)


def load_data(path: Path) -> JsonObject:
    """Return the content of a YAML file that is part of the program."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: JsonObject = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 a safe loader, in C
    return content
