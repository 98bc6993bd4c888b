"""The Blobs port on a folder: one file a blob, replaced whole."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from shared.errors import Temporary

_PRIVATE_FOLDER: Final = 0o700
"""As for the SQLite files, whose module receive need not import: sqlite3 takes 3 ms of its start."""


MAX_NAME_BYTES: Final = 200
"""Of a file: file systems take 255."""


class LocalBlobs:
    """A file is in the folder of its name's hash, and named like its blob, encoded so that no name leaves the folder.

    A name that is too long for a file, and every name of an earlier version, is the hash alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        await self._write(_replace_first, name, content)

    async def create(self, name: str, content: bytes) -> None:
        await self._write(_create, name, content)

    async def get(self, name: str) -> bytes | None:
        """Return the blob. It is read on the event loop itself: to hand 1 MB over to a thread takes longer."""
        try:
            return _read_first(paths_of(self._folder, name))
        except OSError as error:
            raise Temporary("blobs_unavailable", f"blob {name!r} cannot be read: {error.strerror}") from error

    async def delete(self, name: str) -> None:
        """Delete the blob, if there is one."""
        try:
            for path in paths_of(self._folder, name):
                await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            raise Temporary("blobs_unavailable", f"blob {name!r} cannot be deleted: {error.strerror}") from error

    async def names(self, beginning: str) -> list[str]:
        """Return the names of the blobs that begin so, but for those whose file is named by its hash alone."""
        paths = await asyncio.to_thread(lambda: list(self._folder.glob("*/*")))
        names = (unquote(path.name.removeprefix(MARK)) for path in paths if path.name.startswith(MARK))
        return sorted(name for name in names if name.startswith(beginning))

    async def _write(self, write: Callable[[tuple[Path, ...], bytes], None], name: str, content: bytes) -> None:
        try:
            await asyncio.to_thread(write, paths_of(self._folder, name), content)
        except OSError as error:
            raise Temporary("blobs_unavailable", f"blob {name!r} cannot be written: {error.strerror}") from error


MARK: Final = "="
"""The first character of a file that is named like its blob."""


def paths_of(folder: Path, name: str) -> tuple[Path, ...]:
    """Return where the blob is written, and where else an earlier version wrote it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    hashed, readable = folder / digest[:2] / digest, MARK + quote(name, safe="")
    return (folder / digest[:2] / readable, hashed) if len(readable) <= MAX_NAME_BYTES else (hashed,)


def _read_first(paths: tuple[Path, ...]) -> bytes | None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
    return None


def purge_blobs(folder: Path, before: float, needed: Collection[str] = ()) -> int:
    """Delete what was last written before that time, a killed writer's halves too; how many they were.

    The blobs with the `needed` names stay. Raises OSError.
    """
    count = 0
    kept = {path for name in needed for path in paths_of(folder, name)}
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before and path not in kept:
                path.unlink()
                count += 1
    return count


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace_first(paths: tuple[Path, ...], content: bytes) -> None:
    _replace(paths[0], content)


def _create(paths: tuple[Path, ...], content: bytes) -> None:
    if not any(path.exists() for path in paths):
        _replace_first(paths, content)


def _replace(path: Path, content: bytes) -> None:
    """Replace the file whole: nobody reads half a blob, and what was confirmed outlives a loss of power."""
    path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as draft:
        try:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
            for folder in (path.parent, path.parent.parent):  # where the new names are
                _sync(folder)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
