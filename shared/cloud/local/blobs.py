"""The Blobs port on a folder: one file a blob, replaced whole."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.errors import Temporary

_PRIVATE_FOLDER: Final = 0o700
"""As for the SQLite files, whose module receive need not import: sqlite3 takes 3 ms of its start."""


class LocalBlobs:
    """A file is named by the hash of its blob's name, so that no name, however odd, leaves the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        await self._write(_replace, name, content)

    async def create(self, name: str, content: bytes) -> None:
        await self._write(_create, name, content)

    async def get(self, name: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._path(name).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Temporary("blobs_unavailable", f"blob {name!r} cannot be read: {error.strerror}") from error

    async def delete(self, name: str) -> None:
        """Delete the blob, if there is one."""
        try:
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)
        except OSError as error:
            raise Temporary("blobs_unavailable", f"blob {name!r} cannot be deleted: {error.strerror}") from error

    async def _write(self, write: Callable[[Path, bytes], None], name: str, content: bytes) -> None:
        try:
            await asyncio.to_thread(write, self._path(name), content)
        except OSError as error:
            raise Temporary("blobs_unavailable", f"blob {name!r} cannot be written: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._folder / digest[:2] / digest


def purge_blobs(folder: Path, before: float) -> int:
    """Delete what was last written before that time, a killed writer's halves too; how many they were.

    Raises OSError.
    """
    count = 0
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path, content: bytes) -> None:
    if not path.exists():
        _replace(path, content)


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
