"""The port `Blobs` on a folder: named bytes, one file for each blob, which is replaced as a whole."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from shared.errors import Temporary

# The modes of the SQLite files too. They are repeated here because `receive` writes blobs and needs no database: the
# module of those files imports sqlite3, which takes 3 ms of its start.
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600

MAX_NAME_BYTES: Final = 200
"""The longest name of a file. File systems accept 255 bytes."""
MARK: Final = "="
"""The first character of a file that is named like its blob."""


class LocalBlobs:
    """The blobs of a folder. Each method raises Temporary (`blobs_unavailable`) if the file system fails.

    A blob's file is in a subfolder, which is named by the first two digits of the hash of the blob's name. The file is
    named like its blob, with a MARK, and encoded so that no name leaves the folder. If that is too long, the file is
    named by the hash alone. So were all files in earlier versions.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._synced: set[Path] = set()
        """The folders that this process has made and written to the disk: they outlive a loss of power."""

    async def put(self, name: str, content: bytes) -> None:
        """Write or replace the blob. Once this returns, it outlives a loss of power."""
        with _temporary(name, "written"):
            await self._write(paths_of(self._folder, name)[0], content)

    async def create(self, name: str, content: bytes) -> None:
        """Write the blob unless it exists: then its content stays. Once this returns, it outlives a loss of power."""
        with _temporary(name, "written"):
            paths = paths_of(self._folder, name)
            existing_path = next((path for path in paths if path.exists()), None)
            if existing_path is None:
                await self._write(paths[0], content)
            else:  # another process may have made it just now, and its name might not outlive a loss of power yet
                await asyncio.to_thread(_sync, existing_path.parent)

    async def get(self, name: str) -> bytes | None:
        """Return the content; None if there is no blob."""
        with _temporary(name, "read"):
            # Not in a thread: handing 1 MB over to another thread takes longer than reading it.
            return _read_first(paths_of(self._folder, name))

    async def delete(self, name: str) -> None:
        """Delete the blob, if there is one."""
        with _temporary(name, "deleted"):
            for path in paths_of(self._folder, name):
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def names(self, beginning: str) -> list[str]:
        """Return the names of the blobs that begin so, sorted, except those whose file is named by a hash alone."""
        paths = await asyncio.to_thread(lambda: list(self._folder.glob("*/*")))
        names = (unquote(path.name.removeprefix(MARK)) for path in paths if path.name.startswith(MARK))
        return sorted(name for name in names if name.startswith(beginning))

    async def _write(self, path: Path, content: bytes) -> None:
        folder = path.parent
        try:
            await asyncio.to_thread(_replace, path, content, is_folder_synced=folder in self._synced)
            self._synced.add(folder)
        except FileNotFoundError:
            self._synced.discard(folder)  # somebody deleted it: the next try makes it again
            raise


@contextlib.contextmanager
def _temporary(name: str, done: str) -> Iterator[None]:
    """Raise an OSError of the block as Temporary."""
    try:
        yield
    except OSError as error:
        raise Temporary("blobs_unavailable", f"blob {name!r} cannot be {done}: {error.strerror}") from error


def paths_of(folder: Path, name: str) -> tuple[Path, ...]:
    """Return where the blob is written, and where else an earlier version wrote it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    blob_folder = folder / digest[:2]
    hashed_path = blob_folder / digest
    readable_name = MARK + quote(name, safe="")
    if len(readable_name) > MAX_NAME_BYTES:
        return (hashed_path,)
    return (blob_folder / readable_name, hashed_path)


def _read_first(paths: tuple[Path, ...]) -> bytes | None:
    """Return the content of the first of these files that exists; None if none does."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
    return None


def purge_blobs(folder: Path, before: float, needed: Collection[str] = ()) -> int:
    """Delete the files that were last written before that time, and return how many there were.

    Drafts that a killed process left are deleted too. The blobs with the `needed` names stay. Raises OSError.
    """
    count = 0
    needed_paths = {path for name in needed for path in paths_of(folder, name)}
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # another process has deleted it meanwhile
            if path.stat().st_mtime < before and path not in needed_paths:
                path.unlink()
                count += 1
    return count


def _replace(path: Path, content: bytes, *, is_folder_synced: bool) -> None:
    """Replace the file as a whole: no reader sees half a blob, and a confirmed blob survives a power cut.

    This runs in a thread. It makes as few calls of the system as possible, because after each one the thread waits for
    the interpreter's lock.
    """
    folder = path.parent
    if not is_folder_synced:
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        _sync(folder.parent)
    draft = path.with_name(f".{os.urandom(8).hex()}")
    try:
        _write(draft, content)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(folder)


def _write(path: Path, content: bytes) -> None:
    """Create the file, and return once its content is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Return once the names of the folder's files are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
