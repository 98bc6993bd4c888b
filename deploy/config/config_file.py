"""Reading hookchain.yaml, with the line of each thing in it."""

import datetime
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from deploy.config.faults import ConfigFaults, DocumentPath, Fault
from shared.jsontext import Json

Lines: TypeAlias = dict[DocumentPath, int]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """`file` is its name as the operator knows it; `folder` is what `{file: …}` in it is relative to.

    `repeated` are the keys that stand twice, of which `document` has the last.
    """

    file: str
    folder: Path
    document: Json
    lines: Mapping[DocumentPath, int] = field(default_factory=dict)
    repeated: tuple[Fault, ...] = ()

    def line(self, path: DocumentPath) -> int:
        """The line of the nearest thing that stands in the file; 0 where there is no file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read_config_file(path: Path) -> ConfigFile:
    """Raises ConfigFaults for a file that is not there, or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigFaults(str(path), [Fault(0, str(path), f"cannot be read: {reason}")]) from error
    return parse_config(text, str(path), path.parent)


def parse_config(text: str, file: str, folder: Path) -> ConfigFile:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigFaults(file, [Fault(line, "not YAML", error.problem or "cannot be parsed")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigFaults(file, [Fault(1, "not YAML", str(error).splitlines()[0])]) from error
    if node is None:
        raise ConfigFaults(file, [Fault(1, "empty", "a configuration has at least `sources`")])
    lines: Lines = {}
    repeated = tuple(_walk(node, (), lines))
    return ConfigFile(file, folder, _plain(document), lines, repeated)


def _walk(node: yaml.Node, path: DocumentPath, lines: Lines) -> Iterator[Fault]:
    """Notes each thing's line, and yields the keys that stand twice: YAML would keep the last in silence."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _walk(item, (*path, position), lines)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield Fault(key.start_mark.line + 1, ".".join(map(str, (*path, name))), "stands twice; keep one")
            seen.add(name)
            lines[(*path, name)] = key.start_mark.line + 1
            yield from _walk(value, (*path, name), lines)


def _plain(value: object) -> Json:
    """YAML's values as JSON's: keys as text, dates as they are written."""
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


NAME = "no file"


def config_from_environment(environ: Mapping[str, str]) -> ConfigFile:
    """Raises ConfigFaults where EMAIL_ADDRESS, a comma list, is missing."""
    addresses: list[Json] = [text.strip() for text in environ.get("EMAIL_ADDRESS", "").split(",") if text.strip()]
    if not addresses:
        rule = "without a configuration file, set EMAIL_ADDRESS to the address that webhooks are mailed to"
        raise ConfigFaults(NAME, [Fault(0, "EMAIL_ADDRESS", rule)])
    document: Json = {
        "sources": {
            "webhook": {
                "unwrap": True,
                "auth": [
                    {"scheme": "basic", "secret": "webhook-password"},
                    {"scheme": "header", "header": "X-Webhook-Password", "secret": "webhook-password"},
                ],
            }
        },
        "routes": [{"name": "mail", "from": "webhook", "to": "mail"}],
        "destinations": {"mail": {"email": {"to": addresses, "subject": "Webhook notification"}}},
    }
    return ConfigFile(NAME, Path(), document)
