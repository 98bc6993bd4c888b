"""Where a fault is, in an operator's words."""

from typing import Final

from deploy.config_file import ConfigFile
from deploy.faults import Path

_NAMED_INSIDE: Final = frozenset({"routes", "tests"})
_NAMED: Final = frozenset({"sources", "destinations", "lists", "chains"}) | _NAMED_INSIDE


def place(file: ConfigFile, path: Path) -> str:
    """`source 'crm': auth.secret` for the path to it; what stands in a list goes by its name."""
    words = [str(part) for part in path if not str(part).startswith("function-")]
    section, rest = words[0] if words else "", words[2:]
    if section not in _NAMED or len(words) < 2:
        return ".".join(words)
    name = words[1]
    if section in _NAMED_INSIDE:
        things = file.document[section] if isinstance(file.document, dict) else None
        thing = things[path[1]] if isinstance(things, list) and isinstance(path[1], int) else None
        name = str(thing.get("name", name)) if isinstance(thing, dict) else name
    return f"{section.removesuffix('s')} {name!r}" + (f": {'.'.join(rest)}" if rest else "")
