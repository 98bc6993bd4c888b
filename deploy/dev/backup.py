"""A backup of a state folder as one file, made while it is used, and the folder that is restored from it.

The SQLite files are copied as they were at one moment: a lock on all of them holds every writer for some milliseconds,
in which the reading transactions begin. So the copies fit each other like the files after a kill of every process,
which the processes recover from. No order of copies alone would do: a message of the bus becomes a row of the ledger,
and rows of the ledger become the message of a digest. The blobs are copied afterwards. A blob is written before the
message that refers to it, so each one is there.

Keys, tokens and logs stay behind. Secrets are not in the state folder; the backup names those that are needed.

A restore replaces the current state, which is newer than the backup. Before that, the two are compared: which
deliveries and events are only in the current one, and which erasures and ends of access the restored one must repeat.
"""

import base64
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.config.running_dev import PAUSE_FILE, PRODUCTION_FILE, is_production, read_dev_file
from deploy.dev.pubsub import messages, store
from deploy.dev.supervisor.damaged_files import damage_of
from deploy.history.local import read_slice
from deploy.history.local_erasure import FORGOTTEN_FILE, read_forgotten
from deploy.history.stored_messages import event_in, message_json
from deploy.history.text_index import FILE_NAME as SEARCH
from deploy.secrets.needs import needs
from deploy.terminal.command_line import CommandError
from shared import ledger_rules, ports
from shared.cloud.local import database, documents, journal, ledger
from shared.jsontext import JsonObject, mapping_at, to_json, value_at
from shared.subscribers.directory import API_KEYS

VERSION: Final = 1
MANIFEST: Final = "backup.json"
BLOBS: Final = "blobs"
SLICES: Final = "slices"
DATABASES: Final = tuple(name for name in database.VERSIONS if name != SEARCH)
"""Without the search index, which is built again from the journal."""
SMALL_FILES: Final = (PRODUCTION_FILE, FORGOTTEN_FILE)
EVENT_ID_CHARACTERS: Final = 32


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first member of a backup. `created_at` is the moment of its state, in Unix seconds."""

    created_at: float
    secrets: tuple[str, ...]

    def text(self) -> str:
        return to_json({"version": VERSION, "created_at": self.created_at, "secrets": list(self.secrets)})


def write_backup(state: Path, file: Path, now: float, environ: Mapping[str, str]) -> Manifest:
    """Write the backup; the file is there as a whole or not at all. Raises CommandError, sqlite3.Error and OSError."""
    manifest = Manifest(now, needed_secrets(state, environ))
    with tempfile.TemporaryDirectory(prefix=".hookchain-backup-", dir=file.parent) as work:
        copies = copy_databases(state, Path(work))
        draft = Path(work, "draft")
        with tarfile.open(draft, "w:gz", compresslevel=1) as archive:
            (Path(work) / MANIFEST).write_text(manifest.text(), encoding="utf-8")
            archive.add(Path(work) / MANIFEST, MANIFEST)
            for name, copy in copies.items():
                archive.add(copy, name)
            for path in sorted((state / BLOBS).glob("*/*")):
                if not path.name.startswith("."):  # a draft
                    with suppress(FileNotFoundError):  # past its retention
                        archive.add(path, f"{BLOBS}/{path.parent.name}/{path.name}")
            for path in [*(state / name for name in SMALL_FILES), *sorted((state / SLICES).glob("*.json"))]:
                if path.is_file():
                    archive.add(path, str(path.relative_to(state)))
        draft.chmod(database.PRIVATE_FILE)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(file)
    return manifest


def needed_secrets(state: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the secrets that the configuration of the state needs.

    Those of a mail service are left out if mails are caught.
    """
    found = {path.stem: read_slice(state, path.stem) for path in (state / SLICES).glob("*.json")}
    slices = {name: slice_ for name, slice_ in found.items() if slice_ is not None}
    if not {"receive", "transform", "notify"} <= slices.keys():
        return ()
    dev = read_dev_file(state)
    has_caught_mails = not is_production(state) and not (dev and dev.sends_mail)
    return tuple(
        need.name for need in needs(slices, environ) if not (has_caught_mails and need.origin == "mail service")
    )


def copy_databases(state: Path, target: Path) -> dict[str, Path]:
    """Copy the SQLite files as they are at one moment; return the copies by name.

    Raises CommandError for a damaged file, sqlite3.Error and OSError.
    """
    names = [name for name in DATABASES if (state / name).is_file() and (state / name).stat().st_size]
    copies = {name: target / name for name in names}
    with ExitStack() as stack:
        readers = {name: stack.enter_context(closing(_open(state / name))) for name in names}
        with ExitStack() as locks:
            for name in names:
                writer = locks.enter_context(closing(_open(state / name)))
                writer.execute("BEGIN IMMEDIATE")
            for reader in readers.values():
                reader.execute("BEGIN")
                # SQLite begins to read only now: what is committed after the locks end is not in the copy.
                reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        for name, reader in readers.items():
            with closing(sqlite3.connect(copies[name])) as copy:
                reader.backup(copy)
                # One file each: the copy has no other process, and needs no log beside it.
                copy.execute("PRAGMA journal_mode = DELETE")
    for name, path in copies.items():
        if damage := damage_of(path):
            raise CommandError(f"{state / name} is damaged ({damage}). Nothing was written")
    return copies


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=database.BUSY_SECONDS, isolation_level=None)


def read_backup(file: Path, target: Path) -> Manifest:
    """Unpack the backup into an empty folder. Raises CommandError and OSError."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            archive.extractall(target, filter=_require_own_member)  # noqa: S202 data_filter is in it
        document = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        if value_at(document, "version") != VERSION:
            raise CommandError(f"{file}: a newer Hookchain wrote it. Use that version")
        manifest = Manifest(float(document["created_at"]), tuple(map(str, document["secrets"])))
    except (tarfile.TarError, zlib.error, EOFError, ValueError, LookupError, TypeError, FileNotFoundError) as error:
        rule = "must be a whole backup that `hookchain backup` wrote"
        raise CommandError(f"{file}: {rule}; got another file, or a part of one") from error
    (target / MANIFEST).unlink()
    for path in (target, *target.rglob("*")):
        path.chmod(database.PRIVATE_FOLDER if path.is_dir() else database.PRIVATE_FILE)
    for name in DATABASES:
        if damage := damage_of(target / name):
            raise CommandError(f"{file}: {name} in it is damaged ({damage})")
        if (target / name).is_file():
            with closing(sqlite3.connect(target / name)) as connection:
                database.require_known_version(connection, name)
    return manifest


def _require_own_member(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo:
    """Return the member. Raises TarError for what no backup has, such as a link.

    Raises CommandError if the disk has no room for this member.
    """
    folder, _, _ = member.name.partition("/")
    if not member.isfile() or folder not in {MANIFEST, *DATABASES, *SMALL_FILES, BLOBS, SLICES}:
        raise tarfile.TarError(member.name)
    if member.size > shutil.disk_usage(target).free:
        raise CommandError(f"the disk of {target} has no room for the backup")
    return tarfile.data_filter(member, target)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The unfinished work of a state.

    deliveries  the keys of the deliveries that are made without anybody's doing
    held        the keys of those that are held, until their destination is resumed or they are released
    events      the ids of events that are not routed yet
    """

    deliveries: frozenset[str]
    held: frozenset[str]
    events: frozenset[str]


def waiting_in(state: Path) -> Waiting:
    """Return what waits in a state that nothing runs on. Raises sqlite3.Error."""
    deliveries: set[str] = set()
    held: set[str] = set()
    events: set[str] = set()
    for _, topic, document in _messages(state):
        if topic == ports.EVENTS:
            events.add(_event_id(document))
        elif topic == ports.DELIVERIES:
            deliveries.add(str(document.get("id", "")))
    for key, _, row_state in _rows(state):
        if row_state == ledger_rules.HELD:
            held.add(key)
        elif row_state not in ledger_rules.FINAL:
            deliveries.add(key)
            continue
        deliveries.discard(key)
    return Waiting(frozenset(deliveries), frozenset(held), frozenset(events))


class Repeats(NamedTuple):
    """The numbers of deliveries that were made after a backup, and are made again by the restored state.

    at_start    without anybody's doing
    at_release  once their destination is resumed or they are released
    """

    at_start: int
    at_release: int


def repeated_in(current: Path, restored: Path, waiting: Waiting) -> Repeats | None:
    """Return how many deliveries of the current state the restored one makes again; None if that cannot be read.

    Those are deliveries that wait or are held in the restored state, and those of the events that it routes again,
    unless they are final there.
    """
    if not (current / ledger.FILE_NAME).is_file():
        return None

    def is_routed_again(event: str) -> bool:
        return event[:EVENT_ID_CHARACTERS] in waiting.events

    final_in_restored = {
        key for key, event, row_state in _rows(restored) if row_state in ledger_rules.FINAL and is_routed_again(event)
    }

    at_start = at_release = 0
    try:
        for key, event, row_state in _rows(current):
            if row_state not in (ledger_rules.DELIVERED, ledger_rules.MERGED):
                continue
            if key in waiting.held:
                at_release += 1
            elif key in waiting.deliveries or (is_routed_again(event) and key not in final_in_restored):
                at_start += 1
    except sqlite3.Error:
        return None
    return Repeats(at_start, at_release)


def missing_events(current: Path, restored: Path) -> int:
    """Return how many events of the current state are not in the restored one; 0 also if that cannot be read."""
    if not (current / journal.FILE_NAME).is_file():
        return 0
    try:
        with closing(sqlite3.connect(current / journal.FILE_NAME)) as connection:
            connection.execute("ATTACH ? AS restored", (str(restored / journal.FILE_NAME),))
            statement = "SELECT count(*) FROM events WHERE id NOT IN (SELECT id FROM restored.events)"
            (count,) = connection.execute(statement).fetchone()
    except sqlite3.Error:
        return 0
    return int(count)


def _rows(state: Path) -> Iterator[tuple[str, str, str]]:
    """Yield key, event and state of each delivery, of which there may be millions."""
    if (state / ledger.FILE_NAME).is_file():
        with closing(sqlite3.connect(state / ledger.FILE_NAME)) as connection:
            yield from connection.execute("SELECT key, event_id, state FROM deliveries")


def _messages(state: Path) -> Iterator[tuple[int, str, JsonObject]]:
    """Yield id, topic and document of each message on the bus."""
    if not (state / store.FILE_NAME).is_file():
        return
    with closing(sqlite3.connect(state / store.FILE_NAME)) as bus:
        for number, topic, content in bus.execute("SELECT id, topic, content FROM message"):
            document = message_json(base64.b64decode(messages.content_of(content).get("data", "")))
            yield number, topic.rpartition("/")[2], mapping_at(document)


def _event_id(event: JsonObject) -> str:
    """Return the id of the event as it was received: a part that `split` made has a number after it."""
    return str(event.get("id", ""))[:EVENT_ID_CHARACTERS]


def forgotten_since(current: Path, created_at: float) -> list[JsonObject]:
    """Return what `hookchain forget` has erased in the current state since then, oldest first.

    An erasure has two notes, of its beginning and its end. The last one counts.
    """
    notes = [each for each in read_forgotten(current) if isinstance(at := each.get("at"), float) and at > created_at]
    return [*{to_json({**each, "at": None}): each for each in notes}.values()]


def drop_messages(state: Path, events: Sequence[str]) -> None:
    """Delete the bus's messages of these events. Raises sqlite3.Error."""
    found = [(number,) for number, _, document in _messages(state) if _event_id(event_in(document) or {}) in events]
    if found:
        with closing(sqlite3.connect(state / store.FILE_NAME)) as bus, bus:
            bus.executemany("DELETE FROM owed WHERE message = ?", found)
            bus.executemany("DELETE FROM message WHERE id = ?", found)


def end_access(current: Path, restored: Path) -> int | None:
    """End all portal sessions, and the access of API keys that were deleted or rotated after the backup.

    The current state has the rotated form of a key, which replaces the restored one. Return how many keys were deleted;
    None if the current state cannot be read, which leaves the keys of the backup valid.
    """
    if not (restored / documents.FILE_NAME).is_file():
        return 0
    with closing(sqlite3.connect(restored / documents.FILE_NAME)) as connection:
        with connection:
            connection.execute("DELETE FROM documents WHERE partition GLOB 'sessions.*'")
        select = "SELECT count(*) FROM documents WHERE partition = ?"
        (key_count,) = connection.execute(select, (API_KEYS,)).fetchone()
        if not key_count:
            return 0
        if not (current / documents.FILE_NAME).is_file():
            return None
        try:
            connection.execute("ATTACH ? AS current", (str(current / documents.FILE_NAME),))
            with connection:
                statement = (
                    "DELETE FROM main.documents WHERE partition = ?1"
                    " AND id NOT IN (SELECT id FROM current.documents WHERE partition = ?1)"
                )
                deleted = connection.execute(statement, (API_KEYS,)).rowcount
                statement = (
                    "UPDATE main.documents SET text = newer.text FROM current.documents AS newer"
                    " WHERE main.documents.partition = ?1 AND newer.partition = ?1 AND newer.id = main.documents.id"
                )
                connection.execute(statement, (API_KEYS,))
        except sqlite3.Error:
            return None
    return deleted


def put_in_place(restored: Path, state: Path, aside: Path) -> None:
    """Make the restored folder the state folder, from which nothing is delivered until `hookchain resume --all`.

    The current one is kept as `aside`, unless it has only the lock.
    """
    (restored / PAUSE_FILE).touch(mode=database.PRIVATE_FILE)
    if any(path.suffix == ".db" for path in state.iterdir()):
        state.replace(aside)
    else:
        shutil.rmtree(state)
    restored.replace(state)
