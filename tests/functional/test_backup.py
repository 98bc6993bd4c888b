"""`hookchain backup` and `restore`: what waited is delivered, and nothing that the backup knew as delivered."""

import gzip
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.caught import open_caught
from deploy.dev.mail import MailRequest
from tests.functional.test_serve import CONFIG, ENVIRON, Receiver, crm, send, wait_for_message
from tests.running.processes import ROOT, wait_for
from tests.running.stack import Stack, running

pytestmark = pytest.mark.slow

__all__ = ["crm"]

TWO: Final = (
    CONFIG.replace("to: crm", "to: [crm, later]")
    + """\
  later:
    webhook: {url: "http://127.0.0.1:PORT/later", allow_private: true}
    retry: [1s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s, 5s]
"""
)
RATE: Final = 50.0


def hookchain(state: Path, *arguments: str) -> str:
    config = str(state.parent / "hookchain.yaml")
    environ = {**os.environ, **ENVIRON, "HOOKCHAIN_STATE": str(state), "HOOKCHAIN_CONFIG": config}
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def send_some(stack: Stack, numbers: range) -> None:
    """Send an event for each number, RATE a second."""
    begun = time.monotonic()
    for at, number in enumerate(numbers):
        time.sleep(max(0.0, begun + at / RATE - time.monotonic()))
        assert send(f"{stack.url}/shop", number) == 200


def stop(stack: Stack, folder: Path) -> None:
    os.kill(stack.pid, signal.SIGTERM)
    wait_for_message(folder, "Stopped")


def delivered_in(file: Path, folder: Path) -> set[tuple[str, int]]:
    """Return what the backup knows as delivered: path and number."""
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        bodies = journal.execute("SELECT id, document FROM bodies JOIN events ON events.seq = event_seq").fetchall()
    numbers = {event: json.loads(document)["data"]["id"] for event, document in bodies}
    with closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        rows = ledger.execute("SELECT destination, event_id FROM deliveries WHERE state = 'delivered'").fetchall()
    paths = {"crm": "/in", "later": "/later"}
    return {(paths[destination], numbers[event]) for destination, event in rows if event in numbers}


def numbers_in(text: str, pattern: str) -> list[int]:
    found = re.search(pattern, text)
    assert found, text
    return [int((each or "0").replace(",", "")) for each in found.groups()]


@pytest.mark.timeout(600)
def test_under_load_what_waited_is_delivered_and_what_the_backup_knew_is_not(tmp_path: Path, crm: Receiver) -> None:
    config = TWO.replace("http://127.0.0.1:PORT", crm.url)
    state, kept, file = tmp_path / "state", tmp_path / "kept", tmp_path / "monday.backup"
    crm.failing = "/later"
    with running(tmp_path, config, ENVIRON, serves=True) as stack:
        send_some(stack, range(60))
        sending = threading.Thread(target=send_some, args=(stack, range(60, 240)))
        sending.start()
        wait_for(lambda: len({*crm.taken}) > 120)
        assert "It has no secret. A restore needs these: shop-key" in hookchain(state, "backup", str(file))
        sending.join()
        crm.failing = ""
        send_some(stack, range(240, 480))
        hookchain(state, "resume", "later")
        wait_for(lambda: len({*crm.taken}) == 2 * 480)
        stop(stack, tmp_path)
    before = list(crm.taken)
    known = delivered_in(file, tmp_path / "unpacked")
    assert len(known) > 60
    shutil.copytree(state, kept)
    shutil.rmtree(state)

    said = hookchain(state, "restore", str(file))
    print(said)
    waiting, unrouted = numbers_in(said, r"It will make ([\d,]+) deliver\w+(?: and those of ([\d,]+) event)?")
    assert f"up to {waiting:,}" in said
    assert sorted(path.name for path in tmp_path.glob("state*")) == ["state"]
    with running(tmp_path, config, ENVIRON, serves=True) as stack:
        assert send(f"{stack.url}/shop", 9_000) == 200
        time.sleep(2.0)
        assert crm.taken == before
        assert "hookchain resume --all" in hookchain(state, "status")
        hookchain(state, "resume", "--all")
        wait_for(lambda: {("/in", 9_000), ("/later", 9_000)} <= {*crm.taken})
        hookchain(state, "resume", "later")
        wait_for(lambda: len({*crm.taken[len(before) :]}) >= waiting + 2)
        time.sleep(3.0)
        stop(stack, tmp_path)
    again = crm.taken[len(before) :]
    made = {*again} - {("/in", 9_000), ("/later", 9_000)}
    assert len(again) == len({*again})
    assert not made & known
    assert waiting <= len(made) <= waiting + 2 * unrouted

    said = hookchain(kept, "restore", str(file))
    print(said)
    [repeated] = numbers_in(said, r"Of these, ([\d,]+) were made after the backup")
    assert repeated == len(made & {*before})
    assert re.search(r"[23]\d\d events arrived after the backup", said)


def test_what_was_forgotten_since_the_backup_is_forgotten_again(tmp_path: Path, crm: Receiver) -> None:
    state, file = tmp_path / "state", tmp_path / "monday.backup"
    crm.failing = "/in"
    with running(tmp_path, TWO.replace("http://127.0.0.1:PORT", crm.url), ENVIRON, serves=True) as stack:
        for number in (1, 2):
            assert send(f"{stack.url}/shop", number) == 200
        wait_for(lambda: {("/later", 1), ("/later", 2)} <= {*crm.taken})
        with closing(sqlite3.connect(state / "ledger.db")) as ledger:
            ids = [id for (id,) in ledger.execute("SELECT key FROM deliveries WHERE destination = 'later'")]
        with open_caught(state) as caught:  # as `hookchain dev` would have caught them
            caught.mailbox.keep([MailRequest(id, 1.0, f'{{"hookchain_delivery": "{id}"}}', 1) for id in ids])
        hookchain(state, "backup", str(file))
        hookchain(state, "forget", "--where", "data.id == `1`", "--yes")
        stop(stack, tmp_path)
    link = tmp_path / "link"
    link.symlink_to(state, target_is_directory=True)
    said = hookchain(link, "restore", str(file))
    assert link.is_symlink()
    assert re.search("Forgotten again, as at .*: 1 event: ", said)
    assert "It will make 1 delivery, which waited" in said
    assert re.search(r"The old state is kept in .*/state\.before-", said)
    assert file.stat().st_mode & 0o777 == 0o600
    for path in (each for each in state.rglob("*.db") if each.name in {"journal.db", "ledger.db", "bus.db"}):
        with closing(sqlite3.connect(path)) as database:
            assert not [line for line in database.iterdump() if '"id":1}' in line], path
    with open_caught(state) as caught:
        assert sum(map(caught.count_of_delivery, ids)) == 1
    crm.failing = ""
    with running(tmp_path, TWO.replace("http://127.0.0.1:PORT", crm.url), ENVIRON, serves=True) as stack:
        hookchain(state, "resume", "--all")
        hookchain(state, "resume", "crm")
        wait_for(lambda: ("/in", 2) in crm.taken)
        stop(stack, tmp_path)
    assert ("/in", 1) not in crm.taken


def test_deliveries_that_were_held_and_made_since_are_counted_apart(tmp_path: Path, crm: Receiver) -> None:
    state, file = tmp_path / "state", tmp_path / "monday.backup"
    with running(tmp_path, TWO.replace("http://127.0.0.1:PORT", crm.url), ENVIRON, serves=True) as stack:
        hookchain(state, "pause", "crm")
        for number in (1, 2, 3):
            assert send(f"{stack.url}/shop", number) == 200
        wait_for(lambda: {("/later", 1), ("/later", 2), ("/later", 3)} <= {*crm.taken})
        with closing(sqlite3.connect(state / "ledger.db")) as ledger:
            count_held = "SELECT count(*) FROM deliveries WHERE state = 'held'"
            wait_for(lambda: ledger.execute(count_held).fetchone() == (3,))
        hookchain(state, "backup", str(file))
        hookchain(state, "resume", "crm")
        wait_for(lambda: {("/in", 1), ("/in", 2), ("/in", 3)} <= {*crm.taken})
        stop(stack, tmp_path)
    said = hookchain(state, "restore", str(file))
    assert "It will make 0 deliveries, which waited at that time." in said
    assert "3 more deliveries are held. Of these, 3 were made after the backup: they will be made again if you" in said
    before = list(crm.taken)
    with running(tmp_path, TWO.replace("http://127.0.0.1:PORT", crm.url), ENVIRON, serves=True) as stack:
        assert "except those to destinations that are paused themselves" in hookchain(state, "resume", "--all")
        time.sleep(2.0)
        assert crm.taken == before
        hookchain(state, "resume", "crm")
        wait_for(lambda: len(crm.taken) == len(before) + 3)
        stop(stack, tmp_path)


MANIFEST: Final = ("backup.json", tarfile.REGTYPE, b'{"version": 1, "created_at": 1.0, "secrets": []}')


def archive(*members: tuple[str, bytes, bytes]) -> bytes:
    """Return an archive with these members: name, type, and content or the target of a link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as made:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = content.decode()
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            made.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a backup",
        gzip.compress(b"half of one" * 99)[:-9],
        archive(("backup.json", tarfile.REGTYPE, b'{"version": 1}')),
        archive(MANIFEST, ("../evil.db", tarfile.REGTYPE, b"x")),
        archive(MANIFEST, ("blobs/../../evil", tarfile.REGTYPE, b"x")),
        archive(MANIFEST, ("/tmp/evil", tarfile.REGTYPE, b"x")),
        archive(MANIFEST, ("dev.lock", tarfile.REGTYPE, b"x")),
        archive(MANIFEST, ("ledger.db", tarfile.SYMTYPE, b"journal.db")),
        archive(MANIFEST, ("blobs", tarfile.SYMTYPE, b"slices"), ("blobs/aa/evil", tarfile.REGTYPE, b"x")),
        archive(MANIFEST, ("bus.db", tarfile.FIFOTYPE, b"")),
    ],
    # A compressed file has the time in it, so that the workers of a test run would disagree about its name.
    ids=[
        *("nothing", "text", "half a file", "no database", "parent folder", "parent of blobs", "absolute path"),
        *("file of a process", "link to a file", "link to a folder", "pipe"),
    ],
)
def test_another_file_is_rejected_and_the_state_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "ledger.db").touch()
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(AssertionError, match="must be a whole backup that `hookchain backup` wrote"):
        hookchain(tmp_path / "state", "restore", str(tmp_path / "file"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "state"]


def test_another_file_makes_no_state_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a backup")
    with pytest.raises(AssertionError, match="must be a whole backup"):
        hookchain(tmp_path / "new" / "state", "restore", str(tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("target", ["state", "pipe"])
def test_a_backup_replaces_nothing_but_a_file(tmp_path: Path, target: str) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "ledger.db").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AssertionError, match="must be the name of a file; got a folder, a pipe or a device"):
        hookchain(tmp_path / "state", "backup", str(tmp_path / target))
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("command", "file", "rule"),
    [
        ("backup", "missing/file", "must be in a folder that exists"),
        ("restore", ".", "must be a file"),
        ("restore", "missing", "does not exist"),
    ],
)
def test_a_place_that_is_no_file_is_named(tmp_path: Path, command: str, file: str, rule: str) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "ledger.db").touch()
    with pytest.raises(AssertionError, match=f"{tmp_path / file}: {rule}"):
        hookchain(tmp_path / "state", command, str(tmp_path / file))
