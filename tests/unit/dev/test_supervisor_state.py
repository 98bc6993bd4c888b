"""The state folder: closed to other users, repaired if a file is damaged, kept as long as somebody can ask for it."""

import asyncio
import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config, read_config
from deploy.config.running_dev import PRODUCTION_FILE
from deploy.dev.backup import needed_secrets
from deploy.dev.caught import Mailbox
from deploy.dev.mail import MailRequest
from deploy.dev.supervisor.damaged_files import require_known_files, set_aside_damaged
from deploy.dev.supervisor.processes import Folders
from deploy.dev.supervisor.served_configuration import write_slices
from deploy.dev.supervisor.start import purge_deliveries, purge_state
from deploy.dev.supervisor.state_folder import locked
from deploy.history.local_journal import JournalReader
from deploy.history.local_requests import RequestEntry, write_requests
from deploy.history.local_retention import newest_at
from deploy.terminal.command_line import CommandError
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.database import VERSIONS, transaction
from shared.cloud.local.journal import open_journal, write_entries
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter
from shared.jsontext import JsonObject
from shared.ledger import Settlement
from shared.outcomes import DeliveryState
from shared.retention import DAY_SECONDS
from shared.times import rfc3339
from tests.fakes.deliveries import message_of, settled

NOW = 1_790_000_000.0
MAILING = """\
sources:
  shop: {auth: {scheme: basic, secret: shop-password}}
routes:
  - {name: all, from: shop, to: people}
destinations:
  people: {email: {to: people@example.com}}
"""
FULL = r"must have 4 MiB free; got 0\.2 MiB\. Free some space"


def test_a_state_folder_that_others_could_read_is_closed_to_them_with_all_it_holds(tmp_path: Path) -> None:
    state, blobs = tmp_path / "state", tmp_path / "state" / "blobs"
    blobs.mkdir(parents=True)
    files = [state / "ledger.db", blobs / "body"]
    for path in files:
        path.touch(0o644)
    for path in (state, blobs):
        path.chmod(0o755)
    with locked(state):
        assert {path.stat().st_mode & 0o777 for path in (state, blobs)} == {0o700}
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


@pytest.mark.parametrize(("mode", "file"), [(0o1777, "dev.lock"), (0o755, "holiday.jpg")])
def test_a_folder_with_other_files_is_rejected_and_unchanged(tmp_path: Path, mode: int, file: str) -> None:
    (tmp_path / file).touch()
    tmp_path.chmod(mode)
    with pytest.raises(CommandError, match="not Hookchain's"), locked(tmp_path):
        pass
    assert tmp_path.stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("place", ["file", "file/state", "missing/../file"])
def test_a_state_folder_that_cannot_be_written_is_named_with_the_systems_reason(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    state = tmp_path / place
    rule = r"must be a folder that you can write to; got .*HOOKCHAIN_STATE="
    with pytest.raises(CommandError, match=rule), locked(state):
        pass


def test_nothing_starts_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CommandError, match=FULL), locked(tmp_path):
        pass


def test_a_disk_that_becomes_full_is_named_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)

    def run(free: int) -> None:
        with locked(tmp_path):
            monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CommandError, match=f"{tmp_path}: its disk {FULL}"):
        run(200_000)
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space left"):  # on another disk
        run(2**30)


def a_journal(state: Path, events: int) -> None:
    with closing(open_journal(state / "journal.db")) as journal, transaction(journal):
        requests = [RequestEntry(NOW, "POST", 200, "shop", event_id=f"e{n}") for n in range(events)]
        write_requests(journal, requests)
        write_entries(journal, [DeadLetter("d1", "request_rejected", "no", NOW, b"{}", "events")])
    with closing(sqlite3.connect(state / "journal.db")) as journal:
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("name", VERSIONS)
def test_a_file_of_a_newer_version_ends_the_start_with_one_line(tmp_path: Path, name: str) -> None:
    with closing(sqlite3.connect(tmp_path / name)) as database:
        database.execute(f"PRAGMA user_version = {VERSIONS[name] + 1}")
    newer = rf"^\S+/{name}: a newer Hookchain wrote it: .*Start that version again\. .*$"
    with pytest.raises(CommandError, match=newer):
        require_known_files(tmp_path)
    with closing(sqlite3.connect(tmp_path / name)) as database:
        database.execute(f"PRAGMA user_version = {VERSIONS[name]}")
    require_known_files(tmp_path)


@pytest.mark.parametrize("name", ["journal.db", "search.db", "mail.db"])
def test_a_damaged_file_that_no_delivery_needs_is_set_aside_with_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no database" * 1_000)
    [line] = set_aside_damaged(tmp_path, NOW)
    assert line.startswith(f"{name} is damaged (file is not a database) and was set aside as {name}.damaged-20260921T")
    assert "\n" not in line
    assert len(list(tmp_path.glob(f"{name}.damaged-*"))) == 1
    JournalReader(tmp_path / "journal.db").close()
    Mailbox(tmp_path).close()
    assert set_aside_damaged(tmp_path, NOW) == []


@pytest.mark.parametrize("name", ["bus.db", "ledger.db", "owners.db", "records.db"])
def test_a_damaged_file_that_deliveries_need_is_named_with_what_is_lost(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no database" * 1_000)
    with pytest.raises(CommandError, match=rf"{name}: must be a readable SQLite file; got: .* move it away; then"):
        set_aside_damaged(tmp_path, NOW)
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["bus.db", "ledger.db"])
def test_a_needed_file_that_was_emptied_is_damaged_and_a_new_one_is_not(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert set_aside_damaged(tmp_path, NOW) == []
    a_journal(tmp_path, events=1)
    assert set_aside_damaged(tmp_path, NOW) == []
    with closing(open_journal(tmp_path / "journal.db")) as journal, transaction(journal):
        journal.execute("UPDATE events SET routed_at = received_at")
        write_entries(journal, [AttemptEntry("d1", "e0", "all", "inbox", 1, NOW, NOW, "delivered", "", "202")])
    with pytest.raises(CommandError, match=rf"{name}: .* got: an empty file, and the journal shows"):
        set_aside_damaged(tmp_path, NOW)


# Retention


def test_a_large_body_stays_as_long_as_whoever_may_ask_for_it(tmp_path: Path) -> None:
    asyncio.run(LocalBlobs(tmp_path / "blobs").put("e1", b"large"))
    [path] = tmp_path.glob("blobs/*/*")
    os.utime(path, (NOW, NOW))
    notify: JsonObject = {
        "retention": {"bodies_seconds": 7 * DAY_SECONDS, "dead_letters_seconds": DAY_SECONDS},
        "destinations": {"crm": {"retry_seconds": [4 * DAY_SECONDS, 6 * DAY_SECONDS]}},
    }
    purge_state(tmp_path, notify, NOW + 21 * DAY_SECONDS)
    assert path.exists()
    purge_state(tmp_path, notify, NOW + 21 * DAY_SECONDS + 1)
    assert not path.exists()


@pytest.mark.parametrize("state", ["retry_scheduled", "held"])
def test_a_large_body_stays_while_a_delivery_waits_for_it(tmp_path: Path, state: DeliveryState) -> None:
    path = _old_blob(tmp_path, "e1-body")
    delivery = _large_delivery("e1-body")
    asyncio.run(_settled(tmp_path, delivery, state))
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert path.exists()

    asyncio.run(_forget(tmp_path, delivery))
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert not path.exists()


def test_a_large_body_stays_as_long_as_its_dead_letter(tmp_path: Path) -> None:
    path = _old_blob(tmp_path, "e1-body")
    delivery = _large_delivery("e1-body")
    names = "e1", "tell", "crm"
    letter = DeadLetter(delivery.id, "expired", "late", NOW, message_of(delivery, NOW), "deliveries", *names)
    with closing(open_journal(tmp_path / "journal.db")) as connection, transaction(connection):
        write_entries(connection, [letter])
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert path.exists()

    purge_state(tmp_path, {"destinations": {}}, NOW + 45 * DAY_SECONDS + 1)
    assert not path.exists()


def _old_blob(folder: Path, name: str) -> Path:
    asyncio.run(LocalBlobs(folder / "blobs").put(name, b"large"))
    [path] = folder.glob("blobs/*/*")
    os.utime(path, (NOW - 400 * DAY_SECONDS, NOW - 400 * DAY_SECONDS))
    return path


def _large_delivery(name: str) -> Delivery:
    return Delivery(Event("e1", "/sources/web", "order", rfc3339(NOW), "0" * 64, dataref=name), "tell", "crm")


async def _settled(folder: Path, delivery: Delivery, state: DeliveryState) -> None:
    ledger = LocalLedger(folder / "ledger.db")
    await settled(ledger, delivery, Settlement(state, NOW, retry_at=NOW + 60))
    await ledger.close()


async def _forget(folder: Path, delivery: Delivery) -> None:
    ledger = LocalLedger(folder / "ledger.db")
    await ledger.rows(1, event_id="e1")
    await ledger.forget(delivery.id, NOW)
    await ledger.close()


def test_a_final_delivery_is_known_for_45_days(tmp_path: Path) -> None:
    asyncio.run(_settled(tmp_path, _large_delivery("e1-body"), "delivered"))
    for now, count in ((NOW + 45 * DAY_SECONDS, 1), (NOW + 45 * DAY_SECONDS + 1, 0)):
        asyncio.run(purge_deliveries(tmp_path, now))
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
            assert ledger.execute("SELECT count(*) FROM deliveries").fetchone() == (count,)


def test_the_newest_row_is_one_of_the_journal_or_of_the_ledger(tmp_path: Path) -> None:
    assert newest_at(tmp_path) is None
    asyncio.run(_settled(tmp_path, _large_delivery("e1-body"), "delivered"))
    assert newest_at(tmp_path) == NOW
    with closing(open_journal(tmp_path / "journal.db")) as connection, transaction(connection):
        letter = DeadLetter("d1", "expired", "late", NOW + 60, b"{}", "deliveries", "e1", "tell", "crm")
        write_entries(connection, [letter])
    assert newest_at(tmp_path) == NOW + 60


def test_caught_mails_are_kept_as_long_as_bodies(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    old = NOW - 7 * DAY_SECONDS - 1
    mailbox.keep([MailRequest("old", old, "{}", 1), MailRequest("new", NOW, "{}", 1)])
    purge_state(tmp_path, {"destinations": {}, "retention": {"bodies_seconds": 7 * DAY_SECONDS}}, NOW)
    assert mailbox.count() == 1
    mailbox.close()


@pytest.mark.parametrize(
    ("is_production", "environ", "names"),
    [
        (False, {}, ("shop-password",)),
        (True, {}, ("sendgrid-api-key", "shop-password")),
        (True, {"SMTP_URL": "smtp://localhost:25"}, ("shop-password",)),
    ],
)
def test_a_backup_names_the_mail_services_secrets_only_where_mails_are_sent(
    tmp_path: Path, is_production: bool, environ: dict[str, str], names: tuple[str, ...]
) -> None:
    (tmp_path / "hookchain.yaml").write_text(MAILING)
    slices = compile_config(read_config(tmp_path / "hookchain.yaml", {}))
    write_slices(slices, Folders(tmp_path, tmp_path, tmp_path))
    if is_production:
        (tmp_path / PRODUCTION_FILE).touch()
    assert needed_secrets(tmp_path, environ) == names
