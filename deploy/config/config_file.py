"""The operator's file as it is written: its values with their lines, and its faults, such as a duplicate key.

`parse_config` accepts any YAML whose values JSON has, too. compiler.py checks that they are a valid configuration.
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
from yaml.composer import Composer

from deploy.config.syntax_faults import syntax_rule
from shared.jsontext import Json, JsonObject, list_at, mapping_at, mappings_at, value_at, values_in

DocumentPath = tuple[str | int, ...]
"""Keys and positions from the top of the file: ("routes", 0, "to")."""
NO_FILE: Final = "no file"
"""The name in messages of the configuration that is made from the environment."""
MAX_VALUES: Final = 250_000
"""The most values of a configuration. An alias counts as a copy of the values that it stands for."""
MAX_DEPTH: Final = 100
"""The most levels of values in each other. pydantic and jsonschema call themselves for each level, up to some 170."""
MAX_NUMBER_CHARACTERS: Final = 1_000
"""The most characters of a whole number. Python cannot convert more than 4,300 digits to text, and a hexadecimal number
has more decimal digits than characters."""
_TOO_DEEP: Final = f"its values are nested deeper than {MAX_DEPTH} levels"
_COMMENT: Final = re.compile(r"\s+#.*")
_YAML_TAG: Final = "tag:yaml.org,2002:"
"""The beginning of YAML's names of types, such as `tag:yaml.org,2002:float`."""
_LITERALS: Final = frozenset({f"{_YAML_TAG}{name}" for name in ("bool", "int", "float", "null")})
"""The types of values without quotes that are not text, although they may have been meant as text."""


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


class Unquoted(NamedTuple):
    """A value as it is written, without quotes. In `subject: Order #{{ data.number }}`, it is only `Order`.

    written   its text; empty if there is a key and no value
    is_text   YAML does not read it as a truth value, a number or null
    end_line  the number of the line in which it ends, from 1
    comment   the comment after it, with the white space before it; empty if there is none
    """

    written: str
    is_text: bool
    end_line: int
    comment: str

    def as_json(self) -> str:
        """Return what YAML reads: `false` for `off`."""
        return json.dumps(yaml.safe_load(self.written))


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration as it is written.

    file          its name in messages
    folder        the folder to which the names of files in it are relative
    document      its values. Of a duplicate key, it has the last value
    lines         the line of each value, from 1
    value_faults  the faults of duplicate keys, and of numbers that JSON does not have
    unquoted      the values without quotes
    """

    file: str
    folder: Path
    document: Json
    lines: Mapping[DocumentPath, int] = field(default_factory=dict)
    value_faults: tuple[Fault, ...] = ()
    unquoted: Mapping[DocumentPath, Unquoted] = field(default_factory=dict)

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
    except RecursionError as error:
        raise ConfigFaults(file, [Fault(1, "not YAML", _TOO_DEEP)]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigFaults(file, [Fault(1, "not YAML", str(error).splitlines()[0])]) from error
    except (KeyError, AttributeError) as error:  # PyYAML's errors for `!!bool maybe` and for `!!timestamp soon`
        rule = "a value does not fit its tag, such as `!!bool` or `!!timestamp`. Take the tag out"
        raise ConfigFaults(file, [Fault(1, "not YAML", rule)]) from error
    values = list(_values(node, (), node.start_mark.line + 1))
    if too_deep := next((each for each in values if len(each.path) > MAX_DEPTH), None):
        raise ConfigFaults(file, [Fault(too_deep.line, ".".join(map(str, too_deep.path[:3])), _TOO_DEEP)])
    text_lines = text.splitlines()
    return ConfigFile(
        file,
        folder,
        document,
        lines={each.path: each.line for each in values},
        value_faults=tuple(fault for each in values for fault in _value_faults(each)),
        unquoted={each.path: _unquoted(each.node, text_lines) for each in values if _is_unquoted(each.node)},
    )


class _Loader(Composer, yaml.CSafeLoader):
    """A loader that parses with libyaml, which is ten times as fast as Python, and composes in Python.

    For values that are nested too deeply, Python's composer raises a RecursionError, where libyaml's ends the process.
    """

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MAX_NUMBER_CHARACTERS:
        raise ValueError("a whole number has too many digits. Put it in quotes")
    return loader.construct_yaml_int(node)


_Loader.add_constructor(f"{_YAML_TAG}int", _whole_number)


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
    if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_YAML_TAG}float":
        return
    if not math.isfinite(yaml.constructor.SafeConstructor().construct_yaml_float(node)):
        rule = f"must be a finite number; got {node.value}. Put it in quotes if it is text"
        yield Fault(node.start_mark.line + 1, where, rule)


def _is_unquoted(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style


def _unquoted(node: yaml.Node, text_lines: Sequence[str]) -> Unquoted:
    end = node.end_mark
    last_line = text_lines[end.line] if end.line < len(text_lines) else ""
    # Not the whole rest of the line: a long line with many values would be kept many times.
    comment = _COMMENT.match(last_line, end.column)
    return Unquoted(str(node.value), node.tag not in _LITERALS, end.line + 1, comment[0] if comment else "")


def _plain(value: object) -> Json:
    """Return YAML's values as JSON: keys and dates as text."""
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _key(key: Hashable) -> str:
    if key is True or key is False:
        return "on" if key else "off"  # YAML 1.1 reads a key `on` as a truth value
    return str(key)
