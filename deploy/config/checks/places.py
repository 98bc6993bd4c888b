"""Where a fault is, in an operator's words."""

from typing import Final

from deploy.config.config_file import ConfigFile
from deploy.config.faults import Path
from shared.jsontext import Json

_NAMED_INSIDE: Final = frozenset({"routes", "tests"})
_NAMED: Final = frozenset({"sources", "destinations", "lists", "chains"}) | _NAMED_INSIDE


def place(file: ConfigFile, path: Path) -> str:
    """`source 'crm': auth.secret` for the path to it; what stands in a list goes by its name, or counts from 1."""
    words = [str(part) for part in _written(path, file.document) if not str(part).startswith("function-")]
    section, rest = words[0] if words else "", words[2:]
    if section not in _NAMED or len(words) < 2:
        return ".".join(words)
    name = words[1]
    if section in _NAMED_INSIDE:
        things = file.document[section] if isinstance(file.document, dict) else None
        thing = things[path[1]] if isinstance(things, list) and isinstance(path[1], int) else None
        if not isinstance(thing, dict) or "name" not in thing:
            return f"{section.removesuffix('s')} {int(name) + 1}" + (f": {'.'.join(rest)}" if rest else "")
        name = str(thing["name"])
    return f"{section.removesuffix('s')} {name!r}" + (f": {'.'.join(rest)}" if rest else "")


def _written(path: Path, document: Json) -> Path:
    """Without what only a model sees: the position of what stands alone, a scheme's name, the mark of a key."""
    parts: list[str | int] = []
    inside = document
    for position, part in enumerate(path, 1):
        if _is_scheme(part, path[: position - 1], inside):
            continue
        if isinstance(part, int) and isinstance(inside, list):
            inside = inside[part] if part < len(inside) else None
        elif isinstance(part, str) and isinstance(inside, dict) and (part in inside or position == len(path)):
            inside = inside.get(part)
        elif inside is not None:
            continue
        parts.append(part)
    return tuple(part for part in parts if part != "[key]")


def _is_scheme(part: str | int, before: Path, inside: Json) -> bool:
    """A way of proof has its scheme's name after its position."""
    return bool(before) and isinstance(before[-1], int) and isinstance(inside, dict) and inside.get("scheme") == part
