"""What changed on disk since the last look, by modification times: the same on every system."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

SUFFIXES: Final = frozenset({".py", ".yaml", ".yml", ".json", ".j2", ".html", ".txt", ".css", ".js", ".pem"})
SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build"})

Snapshot = Mapping[Path, int]


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Modification times of the files in these folders, or of these files, that could matter to a process."""
    found: dict[Path, int] = {}
    for folder in dict.fromkeys(folders):
        for path in _files(folder):
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # an editor is just replacing it
                continue
    return found


def changes(before: Snapshot, after: Snapshot) -> tuple[Path, ...]:
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        for name in names:
            if Path(name).suffix in SUFFIXES:
                yield Path(parent, name)
